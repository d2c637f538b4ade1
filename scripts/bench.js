// npm run bench -- NAME [--json]: one benchmark of bench/; exit 1 where a bound is missed.
import { readdirSync } from 'node:fs';
import { cpus, release } from 'node:os';

const folder = new URL('../build/bench/', import.meta.url);
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js') && !['figure.js', 'firmware.js', 'saved-copies.js'].includes(file))
  .map((file) => file.slice(0, -3));
const args = process.argv.slice(2);
const json = args.includes('--json');
const [name] = args.filter((arg) => !arg.startsWith('-'));
if (name === undefined || !names.includes(name)) {
  console.error(`bench: expected one of ${names.join(', ')}, got ${name ?? 'nothing'}`);
  process.exit(2);
}
const { bench } = await import(new URL(`${name}.js`, folder).href);
const figures = (await bench()).map((figure) => ({
  ...figure,
  met:
    !(figure.value > (figure.most ?? Infinity)) &&
    !(figure.value < (figure.least ?? -Infinity)) &&
    !Number.isNaN(figure.value),
}));
const machine = {
  node: process.version,
  cpu: cpus()[0]?.model ?? 'unknown',
  kernel: release(),
  bed: process.env.COMMONHV_BED !== undefined,
  date: new Date().toISOString(),
};
if (json) {
  console.log(JSON.stringify({ bench: name, ...machine, figures }, undefined, 2));
} else {
  const where = machine.bed ? 'in the KVM bed, where only ratios mean something: ' : 'on ';
  console.log(`${where}${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}`);
  const width = Math.max(...figures.map((figure) => figure.name.length));
  for (const { name: what, value, unit, most, least, met } of figures) {
    const bound = most !== undefined ? `at most ${most}` : least !== undefined ? `at least ${least}` : '';
    const verdict = bound === '' ? '' : met ? bound : `MISSED: ${bound}`;
    console.log(
      `${what.padEnd(width)}  ${Number(value.toPrecision(4)).toString().padStart(12)} ${unit.padEnd(8)} ${verdict}`,
    );
  }
}
process.exitCode = figures.every(({ met }) => met) ? 0 : 1;
