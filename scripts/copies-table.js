// node scripts/copies-table.js [--check]: the tables of copies in docs/driver.md, docs/processes.md and docs/randomness.md, made of
// docs/matrix.json.

import { LANGUAGES } from './matrix/agent.js';
import { copies, FOLLOWED_LAYER } from './matrix/driver.js';
import { COPIED_LAYER } from './matrix/kvm.js';
import { readRows } from './matrix/lib/rows.js';
import { putTable } from './table.js';

/** A note's parts, "NAME TIME; NAME TIME; ...": by name. */
const parts = (note) =>
  new Map(
    note.split('; ').map((text) => {
      const [, name, time] = /^(.*?) (\d+ ms|to the end|none|\d+(?:, \d+)*|each \d+ ms)$/.exec(text) ?? [];
      return [name, time];
    }),
  );
const shown = (time) => (time === '0 ms' ? 'no value shared' : time === 'to the end' ? 'repeats' : `${time}`);
const rows = readRows().filter(({ result }) => result === 'passed');
const row = (part, cell) => rows.find((each) => each.part === part && each.cell === cell);

const COLUMNS = ['kernel', 'process', 'Node', 'Node with commonhv/restored'];
function copiesTable() {
  const lines = copies.flatMap((cell) => {
    const found = row('driver', cell);
    if (found === undefined) return [];
    const times = parts(found.note);
    const cells = COLUMNS.map((name) => shown(times.get(name)));
    return [`| ${[cell.replace('copies, ', ''), ...cells, times.get('acknowledgements')].join(' | ')} |`];
  });
  return [
    `| remedy | ${COLUMNS.join(' | ')} | acknowledgements that the host saw |`,
    '| --- | --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

const GENERATORS = {
  'openssl-rand': ['`openssl rand`, a process each time', 'nothing: it reads the kernel at its start'],
  'python-random': ["Python's `random`", '`random.seed()`'],
  'python-ssl': ["Python's `ssl.RAND_bytes`, TLS", '`RAND_poll` of its libcrypto'],
  'python-uuid4': ["Python's `uuid4`, `secrets`, `os.urandom`", 'nothing: the kernel'],
  'python-fixed': ["Python's `random` and `ssl` with the recipe", ''],
  'go-math': ["Go's `math/rand`", 'a new source'],
  'go-crypto': ["Go's `crypto/rand`", 'nothing: the kernel'],
  'go-fixed': ["Go's `math/rand` with the recipe", ''],
  'java-math': ["Java's `Math.random`", 'a generator of your own, seeded anew'],
  'java-local': ["Java's `ThreadLocalRandom`", 'the same: it cannot be seeded'],
  'java-secure': [
    "Java's `SecureRandom` (NativePRNG, the default)",
    'nothing: it reads the kernel, at most 100 ms ahead',
  ],
  'java-uuid': ["Java's `UUID.randomUUID`", 'the same'],
  'java-drbg': ["Java's `SecureRandom` of DRBG", '`reseed()`'],
  'java-fixed': ["Java's DRBG and a `SplittableRandom` with the recipe", ''],
  'node-math': ["Node's `Math.random`", '`commonhv/restored`'],
  'node-math-fixed': ["Node's `Math.random` with it", ''],
  'node-worker': ["Node's `randomUUID` in a worker", '`commonhv/restored/auto`, which workers import too'],
  'node-worker-fixed': ['a worker with it', ''],
  'node-hello': ["Node's TLS ClientHello", '`commonhv/restored`'],
  'node-hello-fixed': ['a ClientHello with it', ''],
  'node-ticket': [
    'the ticket keys of a TLS server',
    '`onRestored(() => reseed().then(() => server.setTicketKeys(randomBytes(48))))`',
  ],
  'node-ticket-fixed': ['ticket keys with it', ''],
};
function recipesTable() {
  const lines = LANGUAGES.flatMap((language) => {
    const found = row('agent', `copies: ${language}`);
    const times = found === undefined ? [] : [...parts(found.note)];
    return times
      .filter(([name]) => Object.hasOwn(GENERATORS, name))
      .map(([name, time]) => `| ${[GENERATORS[name][0], shown(time), GENERATORS[name][1]].join(' | ')} |`);
  });
  return ['| generator | in three copies | remedy |', '| --- | --- | --- |', ...lines].join('\n');
}

/** "with VMGenID both copies have A, B; without it C, D": what of the first copy is in the second. */
function layerTable() {
  const note = row('kvm', COPIED_LAYER)?.note ?? '';
  const [, told, untold] = /^with VMGenID both copies have (.*); without it (.*)$/.exec(note) ?? [];
  const line = (name, counts) =>
    `| ${[name, ...counts.split(', ').map((text) => text.replace(/ [a-z]+$/, ''))].join(' | ')} |`;
  return [
    "| the host's kernel | random values that both copies have | generations of restored machines that both have |",
    '| --- | --- | --- |',
    ...(told ? [line('was told by VMGenID, and reseeded', told), line('was not told', untold)] : []),
  ].join('\n');
}

/** "driver: A of B values shared, C generations of 3, pages D": of the saved machine and its two copies. */
function followedTable() {
  const lines = ['driver', 'agent', 'nothing'].flatMap((remedy) => {
    const note = row('driver', FOLLOWED_LAYER + remedy)?.note ?? '';
    const [, shared, generations, pages] =
      /: (\d+ of \d+) values shared, (\d) generations of 3, pages (.*)$/.exec(note) ?? [];
    if (shared === undefined) return [];
    const own = generations === '3' ? 'another one in each copy' : 'the same in both';
    return [`| ${[remedy, shared, own, pages].join(' | ')} |`];
  });
  return [
    "| in the layer's machine | random values that both copies have | the layer's generation | its guest's page |",
    '| --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}

const check = process.argv.includes('--check');
putTable('docs/driver.md', 'copies', copiesTable(), { check });
putTable('docs/processes.md', 'recipes', recipesTable(), { check });
putTable('docs/randomness.md', 'layer', layerTable(), { check });
putTable('docs/randomness.md', 'followed', followedTable(), { check });
