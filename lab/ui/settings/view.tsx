/** The form of settings: the offer of the next machine's hypervisor. */
import type { Draft } from 'commonhv/spec';
import { DRAFTS, MEMORY, type Settings, withDraft } from '../../model/settings.ts';
import { change, changed, image, noWebAssembly, settings, start, validationError } from '../../state/lab.ts';
import { Section } from '../section.tsx';
import { FaultFields } from './fault.tsx';
import { Check, Choice, HexField, NumberField, Select } from './fields.tsx';
import { InterfacesView } from './interfaces.tsx';
import { Share } from './share.tsx';

const SOURCE_TITLES = {
  os: 'good: the system’s generator',
  stuck: 'stuck: one value for ever',
  counting: 'counting: 1, 2, 3, …',
} as const;
const INPUT_TITLES = { none: 'refused, #GP', ignore: 'accepted, dropped', mix: 'mixed in' } as const;

/** Beside the machine there is space for the form; above it, it would push the machine off the screen. */
const WIDE = matchMedia('(min-width: 62rem)').matches;

function summaryOf({ commonhv, draft, interfaces, rng, source, generation, faulty }: Settings): string {
  if (!commonhv) return 'no CommonHV';
  const count = interfaces.length === 1 ? '1 interface' : `${interfaces.length} interfaces`;
  const quality = rng ? `${{ os: 'good', stuck: 'stuck', counting: 'counting' }[source]} RNG` : 'no RNG';
  const parts = [`draft ${draft}`, count, quality];
  if (draft === 3) parts.push(generation ? 'generation' : 'no generation');
  if (faulty !== '') parts.push('a faulty hypervisor');
  return parts.join(', ');
}

export function SettingsView() {
  const now = settings.value;
  return (
    <Section id="settings" title="Hypervisor" lead="The next machine’s hypervisor offers this to its guest.">
      <details class="fold" open={WIDE}>
        <summary>{summaryOf(now)}</summary>
        <form
          class="settings"
          onSubmit={(event) => {
            event.preventDefault();
            start();
          }}
        >
          <Check
            label="CommonHV offered"
            checked={now.commonhv}
            onChange={(commonhv) => change({ commonhv })}
          />
          {now.commonhv && <OfferFields now={now} />}
          <MachineFields now={now} />
          <Apply />
        </form>
      </details>
    </Section>
  );
}

function OfferFields({ now }: { now: Settings }) {
  return (
    <>
      <Choice
        legend="Draft"
        value={String(now.draft)}
        options={DRAFTS.map((draft) => [String(draft), `draft ${draft}`] as const)}
        onChange={(draft) => {
          settings.value = withDraft(now, Number(draft) as Draft);
        }}
        row
      />
      <Check
        label="Hypervisor bit (CPUID.1.ECX bit 31)"
        checked={now.hypervisorBit}
        onChange={(hypervisorBit) => change({ hypervisorBit })}
      />
      <InterfacesView />
      <RngFields now={now} />
      <fieldset disabled={now.draft !== 3}>
        <legend>Generation{now.draft === 3 ? '' : ' (draft 3 only)'}</legend>
        <Check
          label="Generation offered"
          checked={now.generation}
          onChange={(generation) => change({ generation })}
        />
        {now.generation && (
          <HexField
            label="MSR"
            value={now.generationMsr}
            onChange={(generationMsr) => change({ generationMsr })}
          />
        )}
      </fieldset>
      <FaultFields now={now} />
    </>
  );
}

function RngFields({ now }: { now: Settings }) {
  return (
    <fieldset>
      <legend>Random numbers</legend>
      <Check label="RNG offered" checked={now.rng} onChange={(rng) => change({ rng })} />
      {now.rng && (
        <>
          <HexField label="MSR" value={now.rngMsr} onChange={(rngMsr) => change({ rngMsr })} />
          <Select
            label="Source"
            value={now.source}
            options={Object.entries(SOURCE_TITLES)}
            onChange={(source) => change({ source: source as typeof now.source })}
          />
          <Select
            label="Guest input"
            value={now.input}
            options={Object.entries(INPUT_TITLES).filter(([input]) => now.draft !== 1 || input !== 'none')}
            onChange={(input) => change({ input: input as typeof now.input })}
          />
        </>
      )}
    </fieldset>
  );
}

function MachineFields({ now }: { now: Settings }) {
  return (
    <fieldset>
      <legend>Machine</legend>
      <Select
        label="Engine"
        value={now.engine}
        options={[
          ...(noWebAssembly ? [] : [['v86', 'v86: a machine in this page'] as const]),
          ['model', 'model: the hypervisor alone'] as const,
        ]}
        onChange={(engine) => change({ engine: engine as typeof now.engine })}
      />
      <NumberField
        label="Memory, MiB"
        value={now.memory}
        min={MEMORY.least}
        max={MEMORY.most}
        onChange={(memory) => change({ memory })}
      />
    </fieldset>
  );
}

function Apply() {
  return (
    <div class="apply">
      {validationError.value !== undefined && (
        <p class="flaw" role="alert">
          {validationError.value}
        </p>
      )}
      <button type="submit" class="main" disabled={validationError.value !== undefined}>
        {image.value ? 'Start this image' : 'Start a new machine'}
      </button>
      <Share />
      <p role="status" class="hint">
        {changed.value ? 'Changed: the machine that runs keeps its own settings.' : ''}
      </p>
    </div>
  );
}
