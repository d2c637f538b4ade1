/** Resources of this process that a machine on KVM could leave behind. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Leftovers {
  /** Open descriptors of KVM. */
  readonly kvm: readonly string[];
  readonly descriptors: number;
  readonly threads: number;
  /** Mapped pages of vCPUs, and mappings of saved states. */
  readonly mapped: number;
}

export function leftovers(): Leftovers {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the folder's own descriptor is gone again
    }
  });
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    kvm: links.filter((link) => link.includes('kvm')),
    descriptors: links.length,
    threads: readdirSync('/proc/self/task').length,
    mapped: maps.filter((line) => /kvm-vcpu|commonhv-/.test(line)).length,
  };
}
