// A page that loads v86 and starts the lab's guest, and does nothing else: the lab is measured beside it.
import { v86 } from 'commonhv/engines/v86';
import { detect } from 'commonhv/guest';
import { fromConfig } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import wasm from 'v86/build/v86.wasm?url';
import { readRows } from '../../lab/model/row.ts';

const MIB = 2 ** 20;
const layer = () =>
  fromConfig({
    draft: 3,
    interfaces: [{ signature: 'VMwareVMware', location: 0x4000_0000 }],
    rng: { source: 'os' },
    generation: {},
  });

/** Boots a kernel, for the longest task that the page has meanwhile. */
globalThis.boot = async (kernel, initrd) => {
  const commandLine = 'console=ttyS0 acpi=off';
  const machine = await v86({ memory: 256 * MIB, wasm }).start(layer(), { kernel, initrd, commandLine });
  const place = document.getElementById('console');
  const text = new TextDecoder();
  for await (const bytes of machine.console.readable) place.append(text.decode(bytes, { stream: true }));
};

if (location.hash === '') {
  const machine = await v86({ memory: 16 * MIB, wasm }).start(layer(), { kernel: probeImage() });
  const cpu = await overSerial(machine.console);
  const { commonhv } = await detect(cpu);
  await readRows(cpu, commonhv);
  performance.mark('first-answer');
}
