/**
 * Random bytes in a page: WebCrypto, the only generator that there is. It runs in the browser's process, which a copy of the
 * virtual machine around it copies too; nothing in a page can notice that.
 */

/** The generator's name and statement: the browser seeds it from its system. */
export const SYSTEM: { readonly name: string; readonly secure: true | undefined } = {
  name: 'os',
  secure: true,
};

/** Fills all of `bytes`. WebCrypto takes at most 65,536 bytes a call. */
export function fillFromKernel(bytes: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < bytes.length; at += 65_536)
    globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65_536));
}

/** There are no start-up snapshots in a page. */
export const inStartupSnapshot = (): boolean => false;
