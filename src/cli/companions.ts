/** Programs with generators of their own, for the sampler's --run: Node, Python, OpenSSL, Go. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Io, UsageError, unwritten } from './io.ts';
import type { Architecture } from './sampler.ts';

const FOLDER = fileURLToPath(new URL('../../c/sampler/companions', import.meta.url));
/** Shell scripts: the guest has the interpreter. */
const SCRIPTS = ['node', 'python', 'openssl'];
const BUILD_MS = 300_000;

/**
 * Writes the companions into a folder, and resolves with the sampler's command line. Go's is compiled here, static, for a Linux
 * guest; without a Go toolchain it is left out, with one line that says so.
 */
export function writeCompanions(folder: string, architecture: Architecture, io: Io): string {
  try {
    mkdirSync(folder, { recursive: true });
    for (const name of SCRIPTS) copyFileSync(join(FOLDER, name), join(folder, name));
  } catch (cause) {
    throw new UsageError(`--companions ${folder}: ${unwritten(cause as Error)}`, { cause });
  }
  const flaw = buildGo(join(folder, 'go'), architecture, io);
  if (flaw !== undefined) io.err(`commonhv: the companion go is left out: ${flaw}`);
  const names = flaw === undefined ? [...SCRIPTS, 'go'] : SCRIPTS;
  return `commonhv-sampler ${names.map((name) => `--run ${name}=./${name}`).join(' ')}\n`;
}

/** Why it could not be built. */
function buildGo(path: string, architecture: Architecture, { env }: Io): string | undefined {
  const { status, stderr, error } = spawnSync(
    'go',
    ['build', '-trimpath', '-ldflags=-s -w', '-o', path, join(FOLDER, 'go.go')],
    {
      encoding: 'utf8',
      timeout: BUILD_MS,
      // Of this machine's toolchain alone: nothing is downloaded.
      env: {
        ...env,
        ...{ CGO_ENABLED: '0', GOOS: 'linux', GOARCH: architecture === 'i386' ? '386' : 'amd64' },
        ...{ GO111MODULE: 'off', GOTOOLCHAIN: 'local' },
      },
    },
  );
  if (status === 0) return undefined;
  if (error !== undefined)
    return 'code' in error && error.code === 'ENOENT' ? 'no Go toolchain (go) in PATH' : error.message;
  return `go build: ${stderr.trim().split('\n').at(-1)?.trim() || `exit status ${status}`}`;
}
