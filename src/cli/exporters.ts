/** What `detect` found, for other programs: a verdict of one line, Node Feature Discovery, Prometheus. */
import { hex } from '../cpu.ts';
import type { Inconclusive } from '../cpuid-dump.ts';
import type { Detection, Interface } from '../guest/index.ts';
import { printable } from './io.ts';

/**
 * One line: what is below, with Hyper-V's leaves taken for an addition where something else is there too. `unknown`: what a
 * record leaves open.
 */
export function result(
  { hypervisorBit, commonhv, interfaces }: Detection,
  unknown: ReadonlySet<Inconclusive>,
): string {
  const hyperv = (other: Interface) =>
    other.signature === 'Microsoft Hv' || other.signature === 'Linux KVM Hv';
  const main = interfaces.filter((one) => !hyperv(one));
  const names = (list: readonly Interface[]) =>
    [...new Set(list.map(({ product, signature }) => product ?? `"${printable(signature)}"`))].join(' and ');
  if (main.length > 0) {
    return names(main) + (main.length < interfaces.length ? ", with Hyper-V's interface beside it" : '');
  }
  if (interfaces.length > 0) return names(interfaces);
  if (unknown.has('interfaces') || (unknown.has('commonhv') && commonhv !== undefined)) {
    return 'too little was recorded to say';
  }
  if (commonhv !== undefined) return 'a hypervisor with CommonHV and no other interface';
  return hypervisorBit ? 'a hypervisor that shows no interface' : 'no hypervisor to be seen';
}

/**
 * A feature file of Node Feature Discovery's local source: one label a line. Label names and values are at most 63
 * characters of A-Z, a-z, 0-9, `-`, `_` and `.`, with a letter or digit at both ends.
 */
export function detectionNfd({ hypervisorBit, commonhv, interfaces }: Detection): string {
  const labels: [string, string][] = [['hypervisor-bit', `${hypervisorBit}`]];
  if (commonhv !== undefined) {
    labels.push(['draft', `${commonhv.draft ?? 'any'}`]);
    labels.push(['rng', `${commonhv.rng !== undefined}`]);
    if (commonhv.rng !== undefined) labels.push(['rng-secure', `${commonhv.rng.secure ?? 'unknown'}`]);
    labels.push(['generation', `${commonhv.generation !== undefined}`]);
  }
  for (const [i, { signature, location }] of interfaces.entries()) {
    const name = label(signature);
    labels.push([`interface.${i + 1}`, name], [`location.${i + 1}`, hex(location)]);
    labels.push([`has.${name}`, 'true']);
  }
  const lines = labels.map(([name, value]) => `feature.node.kubernetes.io/commonhv.${name}=${value}`);
  return `${[...new Set(lines)].join('\n')}\n`;
}

/** A signature as a label: what a label cannot hold becomes `-`, or its hex where nothing would be left. */
function label(signature: string): string {
  const text = printable(signature)
    .replace(/[^A-Za-z0-9_.]+/g, '-')
    .replace(/^[-_.]+|[-_.]+$/g, '');
  const bytes = [...signature].map((char) => char.charCodeAt(0).toString(16).padStart(2, '0'));
  return text === '' ? bytes.join('') : text;
}

/** A file for the node exporter's textfile collector. */
export function detectionPrometheus({ hypervisorBit, commonhv, interfaces, cost }: Detection): string {
  const metric = (name: string, help: string, samples: readonly string[]) =>
    samples.length === 0
      ? ''
      : `# HELP commonhv_${name} ${help}\n# TYPE commonhv_${name} gauge\n` +
        samples.map((sample) => `commonhv_${name}${sample}\n`).join('');
  const labels = (pairs: Readonly<Record<string, unknown>>) =>
    `{${Object.entries(pairs)
      .map(([name, value]) => `${name}="${`${value ?? ''}`.replace(/[\\"]/g, '\\$&')}"`)
      .join(',')}}`;
  const about = commonhv && {
    draft: commonhv.draft,
    max_leaf: hex(commonhv.maxLeaf),
    preferred: commonhv.preferred,
    rng_msr: commonhv.rng && hex(commonhv.rng.msr),
    rng_secure: commonhv.rng && (commonhv.rng.secure ?? 'unknown'),
    generation_msr: commonhv.generation && hex(commonhv.generation.msr),
  };
  const each = interfaces.map(({ signature, product, location, confirmed, source }, i) => {
    const pairs = {
      order: i + 1,
      signature: printable(signature),
      product,
      location: hex(location),
      confirmed,
      source,
    };
    return `${labels(pairs)} 1`;
  });
  return [
    metric('hypervisor_bit', 'Whether CPUID.1.ECX bit 31 is set.', [` ${Number(hypervisorBit)}`]),
    metric('present', 'Whether the hypervisor offers CommonHV.', [` ${Number(commonhv !== undefined)}`]),
    metric('info', 'CommonHV as the hypervisor offers it.', about ? [`${labels(about)} 1`] : []),
    metric('interfaces', 'Paravirtual interfaces that the hypervisor offers.', [` ${interfaces.length}`]),
    metric('interface_info', 'A paravirtual interface of the hypervisor.', each),
    metric('detect_cpuids', 'CPUID instructions that the detection executed.', [` ${cost.cpuid}`]),
  ].join('');
}
