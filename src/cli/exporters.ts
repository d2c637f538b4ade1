/** A finding for other programs: Node Feature Discovery, Prometheus. A question without an answer has a value of its own. */
import { hex } from '../cpu.ts';
import { interfacesAnswer } from './detection.ts';
import type { Answer, Finding, ShownInterface } from './finding.ts';
import { printable } from './io.ts';

/** `yes` and `no` are Kubernetes' usual `true` and `false`. */
const LABELS: Readonly<Record<Answer, string>> = { yes: 'true', no: 'false', 'not recorded': 'not-recorded' };

/**
 * A feature file of Node Feature Discovery's local source: one label a line. Label names and values are at most 63
 * characters of A-Z, a-z, 0-9, `-`, `_` and `.`, with a letter or digit at both ends.
 */
export function detectionNfd(finding: Finding): string {
  const { hypervisorBit, commonhv, interfaces, complete, detection } = finding;
  const offered = detection.commonhv;
  const labels: [string, string][] = [
    ['hypervisor-bit', LABELS[hypervisorBit]],
    ['present', LABELS[offered === undefined ? commonhv : 'yes']],
    ['interfaces', complete ? `${interfaces.length}` : 'not-recorded'],
  ];
  if (offered !== undefined && commonhv !== 'not recorded') {
    labels.push(['draft', `${offered.draft ?? 'any'}`]);
    labels.push(['rng', `${offered.rng !== undefined}`]);
    if (offered.rng !== undefined) labels.push(['rng-secure', `${offered.rng.secure ?? 'unknown'}`]);
    labels.push(['generation', `${offered.generation !== undefined}`]);
  }
  for (const [i, { signature, location, product }] of interfaces.entries()) {
    const name = label(signature || (product ?? ''));
    labels.push([`interface.${i + 1}`, name], [`location.${i + 1}`, hex(location)]);
    labels.push([`has.${name}`, 'true']);
  }
  const lines = labels.map(([name, value]) => `feature.node.kubernetes.io/commonhv.${name}=${value}`);
  return `${[...new Set(lines)].join('\n')}\n`;
}

/** A signature as a label: a character that a label cannot hold becomes `-`, or all are hex where nothing would be left. */
function label(signature: string): string {
  const text = printable(signature)
    .replace(/[^A-Za-z0-9_.]+/g, '-')
    .replace(/^[-_.]+|[-_.]+$/g, '');
  const bytes = [...signature].map((char) => char.charCodeAt(0).toString(16).padStart(2, '0'));
  return text === '' ? bytes.join('') : text;
}

/** Samples: 1, 0, and NaN, which no rule takes for either. */
const SAMPLES: Readonly<Record<Answer, string>> = { yes: '1', no: '0', 'not recorded': 'NaN' };

/** A file for the node exporter's textfile collector. */
export function detectionPrometheus(finding: Finding): string {
  const { hypervisorBit, commonhv, interfaces, complete, detection } = finding;
  const offered = detection.commonhv;
  const present = offered === undefined ? commonhv : 'yes';
  const answers = { hypervisor_bit: hypervisorBit, commonhv: present, interfaces: interfacesAnswer(finding) };
  const each = Object.entries(answers).map(([question, answer]) => `${labels({ question, answer })} 1`);
  return [
    metric('hypervisor_bit', 'Whether CPUID.1.ECX bit 31 is set; NaN: not recorded.', [
      ` ${SAMPLES[hypervisorBit]}`,
    ]),
    metric('present', 'Whether the hypervisor offers CommonHV; NaN: not recorded.', [` ${SAMPLES[present]}`]),
    metric('answer', 'Each question of the detection with its answer: yes, no, or not recorded.', each),
    metric('info', 'CommonHV as the hypervisor offers it.', infoOf(finding)),
    metric('interfaces', 'Paravirtual interfaces that the hypervisor offers; NaN: not all recorded.', [
      ` ${complete ? interfaces.length : 'NaN'}`,
    ]),
    metric('interface_info', 'A paravirtual interface of the hypervisor.', interfaces.map(interfaceSample)),
    metric('detect_cpuids', 'CPUID instructions that the detection executed.', [` ${detection.cost.cpuid}`]),
  ].join('');
}

function infoOf({ detection, commonhv: answer }: Finding): readonly string[] {
  const { commonhv } = detection;
  if (commonhv === undefined || answer === 'not recorded') return [];
  const { rng, generation } = commonhv;
  const about = {
    draft: commonhv.draft,
    max_leaf: hex(commonhv.maxLeaf),
    preferred: commonhv.preferred,
    rng_msr: rng && hex(rng.msr),
    rng_secure: rng && (rng.secure ?? 'unknown'),
    generation_msr: generation && hex(generation.msr),
  };
  return [`${labels(about)} 1`];
}

function interfaceSample(
  { signature, product, location, confirmed, source }: ShownInterface,
  i: number,
): string {
  const pairs = {
    order: i + 1,
    signature: printable(signature),
    product,
    location: hex(location),
    confirmed,
    source,
  };
  return `${labels(pairs)} 1`;
}

function metric(name: string, help: string, samples: readonly string[]): string {
  if (samples.length === 0) return '';
  const lines = samples.map((sample) => `commonhv_${name}${sample}\n`);
  return `# HELP commonhv_${name} ${help}\n# TYPE commonhv_${name} gauge\n${lines.join('')}`;
}

function labels(pairs: Readonly<Record<string, unknown>>): string {
  const list = Object.entries(pairs).map(
    ([name, value]) => `${name}="${`${value ?? ''}`.replace(/[\\"]/g, '\\$&')}"`,
  );
  return `{${list.join(',')}}`;
}
