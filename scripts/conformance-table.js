// node scripts/conformance-table.js [--print]: docs/conformance.md from the rules and the faulty hypervisors of the built package.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  faultyHypervisors,
  faultyMachines,
  isChecked,
  isGuestRule,
  rulesOf,
  SECTIONS,
  sectionOf,
} from 'commonhv/conformance';

const cell = (text) =>
  text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('*', '\\*');

function provedBy(rule, draft) {
  if (isGuestRule(rule))
    return rule.testedBy === undefined ? `guests; ${rule.reason}` : `guests; tests in ${rule.testedBy}`;
  if (!isChecked(rule)) return `cannot be checked: ${rule.reason}`;
  const all = [...faultyHypervisors, ...faultyMachines];
  const own = all.filter((one) => one.rule === rule.id && (one.drafts ?? [3]).includes(draft));
  if (own.length === 0) return 'a hypervisor that does and one that does not both pass';
  return own.map(({ title }) => title).join('; ');
}

function table(draft) {
  const rows = rulesOf(draft).map((rule) => [
    SECTIONS[sectionOf(rule)][draft],
    rule.level === 'advisory' ? `(no sentence) ${rule.text}` : rule.text,
    rule.level,
    `\`${rule.id}\``,
    provedBy(rule, draft),
  ]);
  return [
    '| Section | Sentence | Level | Rule | A hypervisor that breaks it, which the rule catches |',
    '| ------- | -------- | ----- | ---- | --------------------------------------------------- |',
    ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
  ].join('\n');
}

function count(draft) {
  const rules = rulesOf(draft).filter(({ level }) => level !== 'advisory');
  const checked = rules.filter(isChecked).length;
  const guests = rules.filter(isGuestRule).length;
  return (
    `${rules.length} rules from its sentences: ${checked} are checked, ${guests} are about guests, ` +
    `${rules.length - checked - guests} cannot be checked from a guest.`
  );
}

/** The places where a draft is unclear and the project chose: the sentence after READING in a comment, and its file. */
function readings() {
  const source = fileURLToPath(new URL('../src/', import.meta.url));
  return readdirSync(source, { recursive: true })
    .map(String)
    .filter((file) => /(?<!\.test)\.ts$/.test(file))
    .sort()
    .flatMap((file) => {
      const comments = readFileSync(source + file, 'utf8').replace(/\n\s*(?:\/\/|\*(?!\/)) ?/g, ' ');
      return [...comments.matchAll(/READING: (.*?\.)(?=\s|\*)/g)].map(([, sentence]) => [
        sentence,
        `\`src/${file}\``,
      ]);
    });
}

const text = `<!-- Made by scripts/conformance-table.js; a test holds it. -->

# Conformance, sentence by sentence

\`commonhv verify\` verifies a hypervisor by the rules below; \`src/conformance/\` has them as data. Every normative sentence of the
three drafts is here, in capitals or not, in its own words. A MUST that is broken fails; a SHOULD is a warning, and fails under
\`--strict\`; a MAY passes either way. An advisory checks a property that no sentence asks for, and never fails. A plain statement of a text
("EBX, ECX, and EDX form the string") binds as a MUST.

The last column names the hypervisors of the tests that are wrong in just that way: each is caught by its rule, and passes every
other. [Readings](#readings) lists the places where a draft is unclear and the project chose.

## Machines and their controls

One CPU shows half of the rules. \`verify(cpu, options)\` takes the rest in its options (\`MachineControls\`), each of which may be
absent: the rules that need it are skipped, and the report lists it as not checked. Methods keep their \`this\`, so that an instance of
a class can be given as it is.

| Option | Shape |
| ------ | ----- |
| \`cpu\`, \`others\` | \`Cpu\`: \`cpuid(leaf, subleaf)\`, \`rdmsr(index)\`, \`wrmsr(index, value)\`, at once or as promises; every virtual CPU of the machine, in a fixed order |
| \`ring3\` | the same CPUs, asked by code at CPL 3: one, or one for each |
| \`memory\` | \`read(address, length)\` and \`write(address, bytes)\` of guest-physical memory; \`pages\`: RAM that the suite may overwrite (default 20000H and 21000H), \`holes\`: pages that are no RAM |
| \`save()\` | saves the running machine, which goes on; called several times, the last state counts |
| \`restore()\` | restores that state in place, several times; resolves with nothing where the CPUs are the same objects, else with them |
| \`resume()\` | makes a new machine of that state, several times; the machine before may end |
| \`another()\` | starts another machine from nothing, twice; both go on |
| \`pause()\`, \`reset()\`, \`migrate()\` | what they say; resolve as \`restore()\` does |
| \`renewOuter()\` | changes the generation of the outer hypervisor; the one under test may find it at the guest's next access |
| \`acknowledgements()\` | how many acknowledgements the hypervisor reported to the owner since the machine started |

A control that gives back a machine resolves with one \`Cpu\`, an array of all CPUs, or \`{ cpu, others, memory, ring3 }\`. One that rejects
fails the rule that called it. Without \`save\`, the state is the one at the first call of \`restore\` or \`resume\`.

\`commonhv verify --engine v86\` and \`--engine kvm\` have all of these but \`reset\` and \`migrate\`, \`memory\` being the machine's own RAM
(\`Machine.memory\`); \`--engine model\` has resets and no memory. The others have no reset: a guest that was loaded without firmware has nothing that
would load it again, and its machine ends there. On KVM the reports to the owner come from another thread and are not counted. The first
line of a report names the controls that there were.

For other hypervisors the controls are commands: \`commonhv verify --exec CMD\` (or \`--serial ADDR\`, again for each further CPU) with
\`--save CMD\`, \`--restore CMD\`, \`--resume CMD\` and \`--migrate CMD\`. \`{state}\` in them is a free path, \`{copy}\` the number of the copy. A copy's
lines are the standard streams of \`--resume\`, or \`--serial\` addresses with \`{copy}\`. No bed of this project has live migration:
\`--migrate\` is not tested against a real one. A command that fails, hangs, leaves processes or prints on its standard output ends the
verification with exit status 2 and its name. Guest memory is not reached there: the probe's
wire has CPUID, RDMSR and WRMSR alone, and each VMM reads its guest's memory in another way, so the rules of the generation page are listed as
not checked; a program that can read it passes \`memory\` to \`verify\`.

The suite itself is held by faulty hypervisors, one or more for each rule, and by a generator (\`test/support/mutants.ts\`): machines with one
fault, on one CPU, after one route, at one count; and by unusual machines that break no rule (\`test/support/valid-machines.ts\`,
\`valid-unusual.ts\`). Random values are compared with those of every CPU, copy and machine: whole, by differences and exclusive ors, and by lanes
of 32, 16, 8 and 4 bits. Not seen:

- a fault that shows later than some hundred reads of a register (2,500 on the first CPU of a machine that answers at once), or in a subleaf
  that is not among the first 8,192 past the list, nor among the thousand or so that are spread over the rest;
- a generator that is bad and passes as random, such as 64 bits that are hashed from 32, or a congruential generator without its low bits;
- bits that two streams share with a shift of more than some dozen values;
- a page that is stored in an address that has nothing to do with the right one; an acknowledgement's report in a resumed copy, since no
  control says whose it is;
- a renewal that happens once, which is a warning.

${[1, 2, 3].map((draft) => `## Draft ${draft}\n\n${count(draft)}\n\n${table(draft)}`).join('\n\n')}

## Readings

A draft is unclear there, and the project chose, in a comment that begins with READING.

| Reading | Where |
| ------- | ----- |
${readings()
  .map((row) => `| ${row.map(cell).join(' | ')} |`)
  .join('\n')}

Drafts 1 and 2 are Copyright (c) 2014 Andrew Lutomirski; their sentences are quoted from the xen-devel list of October 2014 and from
the second commit of amluto/CommonHV. Draft 3 is [this project's proposal](draft3.md).
`;

if (process.argv.includes('--print')) process.stdout.write(text);
else writeFileSync(fileURLToPath(new URL('../docs/conformance.md', import.meta.url)), text);
