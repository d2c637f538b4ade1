/** The page: the settings, and the machine that follows from them. */
import { ConformanceView } from './conformance/view.tsx';
import { noWebAssembly, problems, shown } from './lab.ts';
import { LeavesView } from './leaves/view.tsx';
import { MachineView } from './machine/view.tsx';
import { RandomView } from './random/view.tsx';
import { SECTIONS } from './sections.ts';
import { SettingsView } from './settings/view.tsx';
import { TimelineView } from './timeline/view.tsx';

export function App() {
  return (
    <>
      <a class="skip" href="#machine">
        Skip to the machine
      </a>
      <header class="top">
        <div>
          <h1>CommonHV lab</h1>
          <p>A guest discovers its hypervisor, and you watch. All of it runs in this page.</p>
        </div>
        <nav aria-label="Parts of the page">
          <ul>
            {SECTIONS.map(([id, title]) => (
              <li key={id}>
                <a href={`#${id}`}>{title}</a>
              </li>
            ))}
            <li>
              <a href="./draft3.html">Draft 3</a>
            </li>
          </ul>
        </nav>
      </header>
      <Notices />
      <div class="page">
        <SettingsView />
        <main class="parts">
          <MachineView />
          <LeavesView machine={shown.value} />
          <TimelineView machine={shown.value} />
          <RandomView />
          <ConformanceView machine={shown.value} />
        </main>
      </div>
    </>
  );
}

function Notices() {
  return (
    <div role="status">
      {noWebAssembly && (
        <p class="notice">
          This browser has no WebAssembly, so no machine can run. The model stands in for it: the hypervisor
          itself, asked directly.
        </p>
      )}
      {problems.value.length > 0 && (
        <div class="notice">
          <p>Not all of the address was understood; the usual settings stand in:</p>
          <ul>
            {problems.value.map((problem) => (
              <li key={problem}>{problem}</li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
