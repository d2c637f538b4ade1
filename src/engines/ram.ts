/** Guest RAM as the engines' machines have it: from address 0, without the devices' addresses below 1 MiB. */
import { hex, type MachineMemory } from '../cpu.ts';

export const PAGE = 4096;

/** From A0000H to FFFFFH a PC has video memory and firmware, whatever an engine keeps there. */
const HOLE = 0xa_0000;
const HOLE_END = 0x10_0000;

/** Whether a whole page is RAM of a guest with `size` bytes. */
export const isRam = (page: number, size: number): boolean =>
  Number.isInteger(page / PAGE) &&
  page >= 0 &&
  page + PAGE <= size &&
  (page + PAGE <= HOLE || page >= HOLE_END);

/** The RAM of a machine with `size` bytes for its owner; `running` throws once the machine has ended. */
export const checkedRam = (ram: MachineMemory, size: number, running: () => void): MachineMemory => ({
  read(address, length) {
    checkRange(address, length, size);
    running();
    return ram.read(address, length);
  },
  write(address, bytes) {
    checkRange(address, bytes.length, size);
    running();
    ram.write(address, bytes);
  },
});

function checkRange(address: number, length: number, size: number): void {
  const page = Math.floor(address / PAGE) * PAGE;
  if (!Number.isInteger(address) || !Number.isInteger(length) || !isRam(page, size))
    throw new RangeError(`no RAM at ${Number.isInteger(address) ? hex(address) : address}`);
  if (length < 0 || address + length > page + PAGE)
    throw new RangeError(`expected bytes of one page, got ${length} from ${hex(address)}`);
}
