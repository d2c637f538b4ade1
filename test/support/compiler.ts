/** The C compiler that the agent and the sampler need. */
import { spawnSync } from 'node:child_process';
import { skipUnless } from './require.ts';

const here =
  spawnSync('cc', ['-m32', '-E', '-'], { input: '#include <cpuid.h>\n' }).status === 0 &&
  spawnSync('make', ['--version']).status === 0;

/** The `skip` option of a test that builds C parts for i386. */
export const noCompiler32 = skipUnless('cc', here, 'there is no make and C compiler that knows -m32');
