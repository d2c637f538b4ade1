// For CommonJS: beside each entry of package.json's exports a module that requires it, and its types as CommonJS has them.
// The code stays one, so both kinds of importer share its classes; Node requires modules from 20.19 and 22.12 on.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Writes dist/**.cjs and dist/**.d.cts. */
export function writeCommonjs() {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const written = new Set();
  for (const { require } of Object.values(exports)) {
    if (require === undefined) continue;
    writeFileSync(require, `module.exports = require('./${basename(require, '.cjs')}.js');\n`);
    writeTypes(require.replace(/\.cjs$/, '.d.ts'), written);
  }
}

/** TypeScript takes a file's kind from its name: the declarations again, each of which names the others so. */
function writeTypes(path, written) {
  if (written.has(path)) return;
  written.add(path);
  const text = readFileSync(path, 'utf8').replace(
    /((?:from |import\()['"])(\.[^'"]+)\.ts(?=['"])/g,
    (_, before, name) => {
      const other = join(dirname(path), `${name}.d.ts`);
      if (!existsSync(other)) throw new Error(`${path}: ${name}.ts has no declarations`);
      writeTypes(other, written);
      return `${before}${name}.cjs`;
    },
  );
  writeFileSync(path.replace(/\.ts$/, '.cts'), text);
}
