/** v86's module where there are no files: nobody but the page knows where it has put it. */
import { MachineError } from '../../cpu.ts';

export async function packagedModule(): Promise<{
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}> {
  throw new MachineError('v86: in a browser, pass the address of v86.wasm as the option wasm');
}
