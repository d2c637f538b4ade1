/** One machine's console, and its state above it. */
import { useEffect, useState } from 'preact/hooks';
import { machines, selected } from '../../state/lab.ts';
import type { Session } from '../../state/session.ts';
import { Terminal } from './terminal.tsx';

export function ConsoleView({ machine, at }: { machine: Session; at: number }) {
  return (
    <div class={machine.probe ? 'console' : 'console tall'}>
      <ConsoleHead machine={machine} at={at} />
      {machine.hasMachine ? (
        <Terminal machine={machine} />
      ) : (
        <p class="hint">The model has no machine and no console: it is the hypervisor, asked directly.</p>
      )}
    </div>
  );
}

/** How to read and to ask the probe, once for all consoles. */
export function Legend() {
  return (
    <p class="hint legend">
      The probe’s serial line. Grey is asked: <code>c</code> CPUID, <code>r</code> RDMSR, <code>w</code>{' '}
      WRMSR, with leaf or MSR. Below each is the answer, in hexadecimal: EAX EBX ECX EDX, or EDX EAX. Type a
      line of your own: <kbd>c 4f000000 0</kbd>.
    </p>
  );
}

function ConsoleHead({ machine, at }: { machine: Session; at: number }) {
  const many = machines.value.length > 1;
  const state = machine.state.value;
  const first = machine.firstAnswer.value;
  return (
    <div class="console-head">
      {many ? (
        <label class="check">
          <input
            type="radio"
            name="shown"
            checked={selected.value === at}
            onChange={() => {
              selected.value = at;
            }}
          />
          <span>{machine.name}</span>
        </label>
      ) : (
        <strong>{machine.settings.engine}</strong>
      )}
      <span role="status" class={`state ${state}${machine.detail.value === '' ? '' : ' troubled'}`}>
        {state}
        {machine.busy.value !== '' && `, ${machine.busy.value}`}
        {machine.detail.value !== '' && `: ${machine.detail.value}`}
      </span>
      {first !== undefined && !many && (
        <span class="hint">asked and answered after {Math.round(first)} ms</span>
      )}
      {!machine.probe && !machine.console.spoken.value && machine.alive && (
        <Elapsed since={machine.started} />
      )}
    </div>
  );
}

/** Seconds while a system has not said anything yet: a kernel unpacks itself for a while first. */
function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="hint elapsed">
      nothing on the console yet, {Math.max(0, Math.floor((now - since) / 1000))} s
    </span>
  );
}
