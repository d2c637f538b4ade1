/** The form's list of interfaces, and which of them is preferred; each change gives a new list. */
import { KNOWN, type Tuple } from 'commonhv/spec';
import { MAX_INTERFACES } from './settings.ts';

export { MAX_INTERFACES };

export class InterfaceList {
  readonly interfaces: readonly Tuple[];
  /** From 1; 0 for none. */
  readonly preferred: number;

  constructor(interfaces: readonly Tuple[], preferred: number) {
    this.interfaces = interfaces;
    this.preferred = preferred;
  }

  move(from: number, to: number): InterfaceList {
    const order = this.interfaces.map((_, i) => i);
    order.splice(to, 0, ...order.splice(from, 1));
    return new InterfaceList(
      order.map((i) => this.interfaces[i]!),
      this.preferred === 0 ? 0 : order.indexOf(this.preferred - 1) + 1,
    );
  }

  remove(at: number): InterfaceList {
    const index = this.preferred - 1;
    return new InterfaceList(
      this.interfaces.toSpliced(at, 1),
      index === at ? 0 : index > at ? index : this.preferred,
    );
  }

  replace(at: number, part: Partial<Tuple>): InterfaceList {
    return new InterfaceList(this.interfaces.with(at, { ...this.interfaces[at]!, ...part }), this.preferred);
  }

  /** A known interface that is not in the list, where the next one would sit. */
  add(): InterfaceList {
    const listed = new Set(this.interfaces.map(({ signature }) => signature));
    const known = KNOWN.find(({ signature }) => !listed.has(signature));
    const taken = this.interfaces
      .map(({ location }) => location)
      .filter((at) => at >= 0x4000_0000 && at < 0x4000_ff00);
    const tuple = {
      signature: known?.signature ?? 'KVMKVMKVM\0\0\0',
      location: Math.max(0x3fff_ff00, ...taken) + 0x100,
    };
    return new InterfaceList([...this.interfaces, tuple], this.preferred);
  }
}
