/** Constants that the build puts in. */

/** The small Linux beside the page: addresses relative to it. */
interface LabLinux {
  readonly title: string;
  readonly kernel: string;
  readonly initrd: string;
  /** Versions and the source offer. */
  readonly notes: string;
}

/** `undefined` where the lab was built without `--linux`. */
declare const __LINUX__: LabLinux | undefined;

/** The address of v86's module with the hooks in it. */
declare module 'virtual:v86' {
  const address: string;
  export default address;
}
