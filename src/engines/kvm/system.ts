/** KVM's system interface: the device, its version and its capabilities (kernel documentation, virt/kvm/api.rst). */
import { MachineError } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { OPEN } from '../ffi.ts';
import { cap, ioctl, value } from './abi.ts';
import { kvmUnavailable } from './device.ts';

/** Capabilities without which this engine runs no guest. */
const REQUIRED = ['USER_MEMORY', 'EXT_CPUID', 'MP_STATE', 'IMMEDIATE_EXIT', 'X86_USER_SPACE_MSR'] as const;

export type Capability = keyof typeof cap;

export class System {
  readonly sys: Ffi;
  readonly fd: number;
  #closed = false;

  /** Opens the device; a `MachineError` names the missing device, version or capability. */
  constructor(sys: Ffi, path: string) {
    this.sys = sys;
    const unavailable = kvmUnavailable(path);
    this.fd = unavailable === undefined ? sys.open(path, OPEN.readWrite | OPEN.closeOnExec) : -1;
    if (this.fd < 0) {
      throw new MachineError(
        `no KVM: cannot open ${path}: ${unavailable ?? `error ${-this.fd}`}; the engine v86 needs nothing of the machine`,
        { code: 'unavailable' },
      );
    }
    try {
      this.#checkVersion(path);
      this.require(REQUIRED);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A capability's value; 0 or less where it is absent. */
  has(name: Capability): number {
    return this.sys.ioctl(this.fd, ioctl.CHECK_EXTENSION, cap[name]);
  }

  /** Throws a `MachineError` that names the missing capabilities. */
  require(names: readonly Capability[]): void {
    const missing = names.filter((name) => this.has(name) <= 0);
    if (missing.length === 0) return;
    throw new MachineError(`this KVM lacks ${missing.map((name) => `KVM_CAP_${name}`).join(', ')}`, {
      code: 'unavailable',
    });
  }

  /** Closes the device; virtual machines stay. Safe to call twice. */
  close(): void {
    if (!this.#closed) this.sys.close(this.fd);
    this.#closed = true;
  }

  #checkVersion(path: string): void {
    const version = this.sys.ioctl(this.fd, ioctl.GET_API_VERSION, 0);
    if (version < 0) throw new MachineError(`no KVM: ${path} is not KVM's device`, { code: 'unavailable' });
    if (version !== value.KVM_API_VERSION)
      throw new MachineError(`expected KVM API 12, got ${version}`, { code: 'unavailable' });
  }
}
