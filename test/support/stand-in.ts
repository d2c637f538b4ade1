/** The library of `commonhv preload` under a stand-in VMM and a stand-in KVM: builds the three, and runs scripts of commands. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { skipUnless } from './require.ts';
import { scaled } from './time.ts';

const OUT = resolve('.cache/preload');
const here = spawnSync('cc', ['--version']).status === 0;

/** A library that a VMM loads by dlopen; built with the others. */
export const KVM_USER = join(OUT, 'kvm-user.so');

/** The `skip` option: these tests compile C. */
export const skip = skipUnless('cc', here, 'no C compiler');

/** The library, built by its Makefile; its path. */
export function buildLibrary(): string {
  const { status, stderr } = spawnSync('make', ['-s', '-C', 'c/preload', `OUT=${OUT}`], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return join(OUT, 'libcommonhv-preload.so');
}

function compile(name: string, options: readonly string[]): string {
  mkdirSync(OUT, { recursive: true });
  const out = join(OUT, name);
  const args = ['-O1', '-Wall', '-Wextra', '-Werror', ...options, '-o', out];
  const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return out;
}

export interface StandIn {
  /** Runs commands, one line of answer each; fails where the VMM did not end by itself. */
  run(script: readonly string[], env?: Readonly<Record<string, string>>): Result;
}

export interface Result {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly stderr: string;
  /** The status file's lines, parsed. */
  readonly events: readonly { readonly event: string; readonly generation: string }[];
}

export function buildStandIn(): StandIn {
  const library = buildLibrary();
  const kvm = compile('fake-kvm.so', ['-fPIC', '-shared', 'test/support/fake-kvm.c']);
  compile('kvm-user.so', ['-fPIC', '-shared', 'test/support/kvm-user.c']);
  const vmm = compile('stand-in-vmm', ['-pthread', 'test/support/stand-in-vmm.c']);
  return {
    run(script, env = {}) {
      const work = mkdtempSync(join(tmpdir(), 'commonhv-stand-in-'));
      const file = join(work, 'status');
      const { status, signal, stdout, stderr } = spawnSync(vmm, {
        input: `${script.join('\n')}\n`,
        encoding: 'utf8',
        timeout: scaled(60_000),
        env: { LD_PRELOAD: `${library}:${kvm}`, COMMONHV_PRELOAD_STATUS: file, ...env },
      });
      assert.equal(signal, null, `ended by ${signal}: ${stdout}${stderr}`);
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      rmSync(work, { recursive: true });
      const events = text.split('\n').filter((line) => line !== '');
      return {
        status,
        lines: stdout.trim().split('\n'),
        stderr,
        events: events.map((line) => JSON.parse(line)),
      };
    },
  };
}

/** The value that an RDMSR's answer line shows; fails where it raised an exception or did not complete. */
export function value(line: string | undefined): string {
  const match = /^ok exit 5 done 1 fault 0 value (\w{16})/.exec(line ?? '');
  assert.ok(match, `expected a value, got: ${line}`);
  return match[1]!;
}
