/** v86's module where there are files: the one that its npm package brings. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** The module's bytes, and the package's name and version for messages. */
export async function packagedModule(): Promise<{
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}> {
  const require = createRequire(import.meta.url);
  const { version } = JSON.parse(await readFile(require.resolve('v86/package.json'), 'utf8')) as {
    version: string;
  };
  const { buffer, byteOffset, length } = await readFile(require.resolve('v86/build/v86.wasm'));
  return { bytes: new Uint8Array(buffer as ArrayBuffer, byteOffset, length), name: `v86 ${version}` };
}
