/**
 * The VM generation device of a machine: 16 random bytes in guest memory, and the ACPI event that tells the guest to look at
 * them (Microsoft, "Virtual Machine Generation ID"; UAPI.14). Linux' driver reseeds the kernel's generator then.
 *
 * The device's registers are ACPI's event blocks, at ports. Status bits are set here, by any thread of the process, and
 * cleared by the guest; the interrupt line is high while an enabled event is pending.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { type AcpiTables, acpiTables, GENERATION_ID } from '../../boot/index.ts';
import { MachineError } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import type { MemoryPlace } from './memory.ts';
import { type ByteDevice, PM1A_CONTROL, RESET, RESET_CPU } from './ports.ts';
import { setInterrupt } from './vm.ts';

const PM1A_EVENT = 0x600; // where QEMU has it on a PC
const GPE = 0x620;
const SCI = 9;

/** Bytes of the registers' state: PM1's enable bits, the event block's status and enable bits. */
export const ACPI_STATE = 4;
const PM1_ENABLE = 0;
const GPE_STATUS = 2;
const GPE_ENABLE = 3;
/** The only event. */
const GENERATION_EVENT = 1 << 0;

/** The tables of a machine with such a device. */
export const generationTables = (vcpus: number): AcpiTables =>
  acpiTables({
    vcpus,
    pm1Event: PM1A_EVENT,
    pm1Control: PM1A_CONTROL,
    gpe: GPE,
    sci: SCI,
    reset: RESET,
    resetValue: RESET_CPU | 2,
  });

/** The device's parts, for all threads of the process. */
export interface VmGenerationPlace {
  readonly vm: number;
  readonly memory: MemoryPlace;
  /** `ACPI_STATE` bytes. */
  readonly state: SharedArrayBuffer;
}

export class VmGeneration {
  readonly #sys: Ffi;
  readonly #place: VmGenerationPlace;
  readonly #state: Uint8Array;

  constructor(sys: Ffi, place: VmGenerationPlace) {
    this.#sys = sys;
    this.#place = place;
    this.#state = new Uint8Array(place.state);
  }

  /** The registers, for the machine's ports. */
  get devices(): readonly ByteDevice[] {
    const state = this.#state;
    return [
      {
        first: PM1A_EVENT,
        count: 4,
        read: (offset) => (offset < 2 ? 0 : state[PM1_ENABLE + offset - 2]!), // no fixed event is there
        write(offset, value) {
          if (offset >= 2) state[PM1_ENABLE + offset - 2] = value;
        },
      },
      {
        first: GPE,
        count: 2,
        read: (offset) => Atomics.load(state, GPE_STATUS + offset),
        write: (offset, value) => {
          if (offset === 0) Atomics.and(state, GPE_STATUS, ~value & 0xff);
          else Atomics.store(state, GPE_ENABLE, value & GENERATION_EVENT);
          this.#updateLine();
        },
      },
    ];
  }

  /** Gives the machine its first value. */
  start(): void {
    this.#write();
  }

  /** A new value, and the event. To be called while no vCPU executes. */
  renew(): void {
    this.#write();
    Atomics.or(this.#state, GPE_STATUS, GENERATION_EVENT);
    this.#updateLine();
  }

  save(): Uint8Array {
    return this.#state.slice();
  }

  /** Replaces the registers, of a machine that is restored; `renew` follows. */
  restore(saved: Uint8Array): void {
    this.#state.set(saved);
  }

  #write(): void {
    const { fd, address } = this.#place.memory;
    const bytes = randomBytes();
    const count = writeSync(fd, bytes, 0, bytes.length, Number(address) + GENERATION_ID);
    if (count < bytes.length) throw new MachineError('the memory of the machine cannot be written');
  }

  /** Another thread may change the registers between the check and the call: the line is set until both agree. */
  #updateLine(): void {
    let level: boolean | undefined;
    while (level !== this.#pending) {
      level = this.#pending;
      setInterrupt(this.#sys, this.#place.vm, SCI, level);
    }
  }

  get #pending(): boolean {
    return (Atomics.load(this.#state, GPE_STATUS) & Atomics.load(this.#state, GPE_ENABLE)) !== 0;
  }
}

/** The kernel's: Node's own generator goes on alike in copies of this process. */
function randomBytes(): Uint8Array {
  const bytes = new Uint8Array(16);
  const fd = openSync('/dev/urandom', 'r');
  try {
    const count = readSync(fd, bytes, 0, bytes.length, null);
    if (count < bytes.length) throw new MachineError('/dev/urandom ended', { code: 'source' });
  } finally {
    closeSync(fd);
  }
  return bytes;
}
