/** A diagnosis as text, JSON and Prometheus metrics. */
import { columns, type Paint, printable } from '../io.ts';
import type { State } from './check.ts';
import type { Diagnosis } from './checks.ts';

const COLORS = { good: 'green', weak: 'yellow', bad: 'red', unknown: 'cyan' } as const;

export function diagnosisText({ checks, result, protected: safe }: Diagnosis, paint: Paint): string {
  const rows = checks.map(({ state, text, evidence, remedy }) => [
    paint(COLORS[state], state),
    `${printable(text)} (${printable(evidence)})${remedy === undefined ? '' : `\n${' '.repeat(9)}→ ${remedy}`}`,
  ]);
  const color = safe === undefined ? 'cyan' : safe ? 'green' : 'red';
  return `${columns(rows)}\n\n${paint(color, result)}\n`;
}

export function diagnosisJson({ checks, result, protected: safe, resumed }: Diagnosis): string {
  const rows = checks.map((check) => ({ ...check, remedy: check.remedy ?? null }));
  return `${JSON.stringify({ protected: safe ?? null, resumed: resumed ?? null, result, checks: rows }, undefined, 2)}\n`;
}

/** For the textfile collector of Prometheus' node_exporter. */
export function diagnosisPrometheus({ checks, protected: safe, resumed }: Diagnosis): string {
  const states: readonly State[] = ['good', 'weak', 'bad', 'unknown'];
  const lines = [
    '# HELP commonhv_protected Whether the kernel is reseeded when the machine is copied: 1 yes, 0 no, -1 not known.',
    '# TYPE commonhv_protected gauge',
    `commonhv_protected ${safe === undefined ? -1 : Number(safe)}`,
    '# HELP commonhv_check State of each check: 1 for the state that holds.',
    '# TYPE commonhv_check gauge',
    ...checks.flatMap(({ id, state }) =>
      states.map((name) => `commonhv_check{check="${id}",state="${name}"} ${Number(name === state)}`),
    ),
  ];
  if (resumed !== undefined)
    lines.push(
      '# HELP commonhv_restores Restores since boot that are on record.',
      '# TYPE commonhv_restores gauge',
      `commonhv_restores ${resumed}`,
    );
  return `${lines.join('\n')}\n`;
}
