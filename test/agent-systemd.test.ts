/** The agent as a service of a whole Debian system with systemd, under QEMU's TCG: hooks in its sandbox, units of the restored target. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { skip as skipQemu, startSystem } from './support/qemu-debian.ts';
import { scaled } from './support/time.ts';

const FOLDER = '.cache/agent-systemd';
const unit = (name: string, more: string) => `[Unit]
Description=test ${name}
[Service]
Type=oneshot
${more}
`;
const shout = (text: string) => `ExecStart=/bin/sh -c 'echo ${text} >/dev/ttyS0'\n`;
const FILES: Readonly<Record<string, string>> = {
  'etc/commonhv/restored.d/10-etc': '#!/bin/sh\necho $COMMONHV_GENERATION >/etc/restored-generation\n',
  'etc/commonhv/acknowledged.d/10-unit': '#!/bin/sh\nsystemctl start --no-block from-hook.service\n',
  'etc/systemd/system/from-hook.service': unit('from-hook', shout('from-hook started')),
  'etc/systemd/system/networked.service': unit(
    'networked',
    shout(
      'networked $(cat /run/commonhv/acknowledged) $(cat /etc/restored-generation) $(ls /sys/class/net | wc -l).',
    ),
  ),
  'etc/systemd/system/ready.service': `${unit('ready', shout('system ready'))}RemainAfterExit=yes\n`,
};

/** The system with the test's hooks and units, or why there is none. */
function makeSystem(): string | false {
  if (process.env.COMMONHV_LONG === undefined)
    return 'a whole Debian system; a cell of the matrix runs it (COMMONHV_LONG=1)';
  if (skipQemu !== false) return skipQemu;
  const overlay = `${FOLDER}/overlay`;
  rmSync(overlay, { recursive: true, force: true });
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(`${overlay}/${path}`), { recursive: true });
    writeFileSync(`${overlay}/${path}`, text);
    chmodSync(`${overlay}/${path}`, text.startsWith('#!') ? 0o755 : 0o644);
  }
  for (const [name, target] of [
    ['networked', 'commonhv-restored.target'],
    ['ready', 'multi-user.target'],
  ] as const) {
    const wants = `${overlay}/etc/systemd/system/${target}.wants`;
    mkdirSync(wants, { recursive: true });
    symlinkSync(`../${name}.service`, `${wants}/${name}.service`);
  }
  const { status, stderr } = spawnSync('scripts/debian-systemd.sh', [FOLDER, overlay], { encoding: 'utf8' });
  if (status === 3) return stderr.trim();
  assert.equal(status, 0, stderr);
  return false;
}

test('each restore runs the hooks in the service’s sandbox, and the units of commonhv-restored.target', {
  skip: makeSystem(),
  timeout: scaled(500_000),
}, async () => {
  const system = await startSystem(FOLDER, { memory: 1024 });
  try {
    await system.until('system ready');
    await system.qemu.monitor('savevm a');
    const seen = new Set<string>();
    for (let copy = 0; copy < 2; copy++) {
      await system.qemu.monitor('loadvm a');
      const from = system.said.length;
      await system.until('from-hook started', from);
      await system.until('networked ', from);
      await system.until('.', from);
      const [, acknowledged, hook, interfaces] = /networked (\w+) (\w+) (\d+)\./.exec(
        system.said.slice(from),
      )!;
      assert.match(acknowledged!, /^[0-9a-f]{16}$/);
      assert.equal(hook, acknowledged);
      assert.ok(Number(interfaces) >= 1);
      seen.add(acknowledged!);
    }
    assert.equal(seen.size, 2);
  } finally {
    await system.close();
  }
});
