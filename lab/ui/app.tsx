/** The page: the stories, the results, the settings, and the machine that follows from them. */
import { embedded, fragment, problems } from '../state/address.ts';
import { noWebAssembly, shown } from '../state/lab.ts';
import { SECTIONS } from '../state/sections.ts';
import { player } from '../state/stories.ts';
import { ConformanceView } from './conformance/view.tsx';
import { LeavesView } from './leaves/view.tsx';
import { MachineView } from './machine/view.tsx';
import { RandomView } from './random/view.tsx';
import { Results } from './results.tsx';
import { SettingsView } from './settings/view.tsx';
import { StoriesView } from './stories/view.tsx';
import { TimelineView } from './timeline/view.tsx';

export function App() {
  if (embedded.value) return <Embedded />;
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
        <Navigation />
      </header>
      <Notices />
      <main>
        <StoriesView />
        <Results />
        <div class="page">
          <SettingsView />
          <div class="parts">
            <MachineView />
            <LeavesView machine={shown.value} />
            <TimelineView machine={shown.value} />
            <RandomView />
            <ConformanceView machine={shown.value} />
          </div>
        </div>
      </main>
    </>
  );
}

/** In a frame of another page: one story, or the results and the timeline, and the way to the whole lab. */
function Embedded() {
  return (
    <main class="embedded">
      <h1 class="unseen">CommonHV lab</h1>
      <Notices />
      {player.name.value !== undefined && <StoriesView />}
      <Results />
      {player.name.value === undefined && <TimelineView machine={shown.value} />}
      <p>
        <a href={`./#${fragment(false)}`} target="_blank" rel="noreferrer">
          The whole lab<span class="unseen">, opens in a new tab</span>
        </a>
      </p>
    </main>
  );
}

const EXAMPLES = [
  ['draft=1', 'draft 1'],
  ['draft=2&compare=3', 'draft 2 beside draft 3'],
  [
    'interface=KVMKVMKVM@40000100&interface=Microsoft%20Hv@40000000',
    'two interfaces, KVM preferred by order',
  ],
  ['rng-source=stuck', 'an RNG that is stuck'],
  ['rng-source=counting', 'an RNG that counts'],
  ['generation=0', 'no generation'],
  ['faulty=features.draft', 'a fault in the features'],
  ['commonhv=0', 'no CommonHV'],
  ['engine=model', 'the hypervisor alone'],
] as const;

function Navigation() {
  return (
    <nav aria-label="Parts of the page, and examples">
      <details class="menu">
        <summary>Go to</summary>
        <ul>
          {SECTIONS.map(([id, title]) => (
            <li key={id}>
              <a href={`#${id}`} onClick={closeMenu}>
                {title}
              </a>
            </li>
          ))}
        </ul>
      </details>
      <details class="menu">
        <summary>Examples</summary>
        <ul>
          {EXAMPLES.map(([address, title]) => (
            <li key={address}>
              <a href={`#${address}`} onClick={closeMenu}>
                {title}
              </a>
            </li>
          ))}
        </ul>
      </details>
      <a href="./draft3.html">Draft 3</a>
    </nav>
  );
}

function closeMenu(event: { currentTarget: HTMLElement }): void {
  event.currentTarget.closest('details')?.removeAttribute('open');
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
