/** The results on the running machines in six short answers, from the same data as the sections below them. */
import type { Detection } from 'commonhv/guest';
import { commonPrefix } from '../model/common-prefix.ts';
import { faultyNamed } from '../model/faulty.ts';
import { nameOf } from '../model/interface-text.ts';
import { whyNoGeneration } from '../model/settings.ts';
import type { Session } from './session.ts';

/** `warned`: neither right nor wrong, and worth reading; `none`: nothing to say; `waiting`: not known yet. */
export type Standing = 'well' | 'ill' | 'warned' | 'none' | 'waiting';

export interface Answer {
  readonly id: 'draft' | 'interfaces' | 'rng' | 'generation' | 'conformance' | 'copies';
  readonly title: string;
  readonly text: string;
  readonly standing: Standing;
  /** The section that says more. */
  readonly section: string;
}

type Said = Pick<Answer, 'text' | 'standing'>;
const WAITING: Said = { text: 'not known yet', standing: 'waiting' };

export function answers(machines: readonly Session[], shown: Session | undefined): readonly Answer[] {
  const detection = shown?.seen.value?.detection ?? shown?.checked.value?.detection;
  const about = (tell: (machine: Session, found: Detection) => Said): Said => {
    if (shown === undefined) return { text: 'no machine', standing: 'none' };
    if (detection !== undefined) return tell(shown, detection);
    return shown.alive ? WAITING : { text: 'not asked', standing: 'none' };
  };
  return [
    { id: 'draft', title: 'Draft', section: 'leaves', ...about(draftOf) },
    { id: 'interfaces', title: 'Interfaces', section: 'leaves', ...about(interfacesOf) },
    { id: 'rng', title: 'RNG', section: 'random', ...about(rngOf) },
    { id: 'generation', title: 'Generation', section: 'leaves', ...about(generationOf) },
    { id: 'conformance', title: 'Conformance', section: 'conformance', ...conformanceOf(shown) },
    { id: 'copies', title: 'Copies', section: 'random', ...copiesOf(machines) },
  ];
}

function draftOf({ settings }: Session, { commonhv }: Detection): Said {
  if (commonhv === undefined) return { text: 'no CommonHV', standing: 'warned' };
  const { draft } = commonhv;
  if (draft === undefined) return { text: 'offers nothing', standing: 'warned' };
  return draft === settings.draft
    ? { text: `draft ${draft}`, standing: 'well' }
    : { text: `draft ${draft}, made for ${settings.draft}`, standing: 'warned' };
}

function interfacesOf({ seen }: Session, { interfaces, commonhv }: Detection): Said {
  const [first] = interfaces;
  const found = commonhv === undefined ? ' by scan' : '';
  if (first === undefined) return { text: `none${found}`, standing: 'none' };
  const many = interfaces.length > 1;
  const name = many ? `${interfaces.length}, first ${nameOf(first)}` : nameOf(first);
  if (commonhv === undefined) return { text: `${name}${found}`, standing: 'warned' };
  // Asked directly, the hypervisor has no host CPU that could confirm a location.
  const all = seen.value === undefined || interfaces.every((entry) => entry.confirmed);
  return all
    ? { text: name, standing: 'well' }
    : { text: `${name}, not ${many ? 'all ' : ''}confirmed`, standing: 'warned' };
}

function rngOf({ read }: Session, { commonhv }: Detection): Said {
  const rng = commonhv?.rng;
  if (rng === undefined) return { text: 'none', standing: 'none' };
  const { failed } = read.look.value;
  if (failed !== undefined) return { text: `bad: ${failed.test}`, standing: 'ill' };
  if (rng.secure === undefined) return { text: 'no statement', standing: 'none' };
  return rng.secure
    ? { text: 'said to be secure', standing: 'well' }
    : { text: 'said not to be secure', standing: 'warned' };
}

function generationOf(machine: Session, { commonhv }: Detection): Said {
  if (commonhv?.generation === undefined) return { text: 'none', standing: 'none' };
  const failed = machine.verified.value?.report.rules.some(
    ({ id, outcome }) => id.startsWith('generation.') && outcome === 'failed',
  );
  if (failed) return { text: 'wrong, see conformance', standing: 'ill' };
  const { value } = machine.acknowledged;
  if (value !== undefined) return { text: `acknowledged, ${Math.round(value)} ms`, standing: 'well' };
  return { text: commonhv.generation.ack ? 'not acknowledged' : 'offered', standing: 'none' };
}

function conformanceOf(machine: Session | undefined): Said {
  if (machine === undefined) return { text: 'no machine', standing: 'none' };
  if (machine.busy.value === 'verifying') return { text: 'verifying', standing: 'waiting' };
  const report = machine.verified.value?.report;
  if (report === undefined)
    return machine.alive && !machine.settled.value ? WAITING : { text: 'not verified', standing: 'none' };
  if (!report.present) return { text: 'no CommonHV', standing: 'warned' };
  if (report.failed > 0) {
    const broken = report.rules.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
    return {
      text: `breaks ${broken[0]}${broken.length === 1 ? '' : ` and ${broken.length - 1} more`}`,
      standing: 'ill',
    };
  }
  const missed = notFound(machine);
  if (missed !== undefined) return { text: `${missed} not found`, standing: 'warned' };
  return report.warned > 0
    ? { text: `conforms, ${report.warned} warned`, standing: 'warned' }
    : { text: `conforms, ${report.passed} rules`, standing: 'well' };
}

/** The rule that the machine's hypervisor breaks on purpose, where the suite did not find that. */
export function notFound({ settings, verified }: Session): string | undefined {
  const rule = settings.faulty === '' ? undefined : faultyNamed(settings.faulty)?.rule;
  const report = verified.value?.report;
  if (rule === undefined || report === undefined) return undefined;
  return report.failed + report.warned > 0 ? undefined : rule;
}

function copiesOf(machines: readonly Session[]): Said {
  const shared = sharedBy(machines);
  if (machines.length < 2) return { text: 'none made', standing: 'none' };
  if (shared === undefined) return WAITING;
  if (shared > 0) return { text: `draw the same ${shared} values`, standing: 'ill' };
  const told = whyNoGeneration(machines[0]!.settings) === undefined;
  return { text: told ? 'differ' : 'differ, by chance', standing: told ? 'well' : 'warned' };
}

/** How many values two copies drew alike from the start; `undefined` until both have drawn. */
export function sharedBy([first, second]: readonly Session[]): number | undefined {
  if (first === undefined || second === undefined) return undefined;
  const count = Math.min(first.drawn.look.value.total, second.drawn.look.value.total);
  return count === 0 ? undefined : commonPrefix(first.drawn.first, second.drawn.first);
}
