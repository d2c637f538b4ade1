/** What to try when nothing comes over `--exec` or `--serial`: by the hypervisor that the command names. */

interface Hint {
  /** Found in the command. */
  readonly names: RegExp;
  /** The hint holds where this is missing in the command. */
  readonly lacks?: RegExp;
  readonly text: string;
}

const KERNEL = 'boot {probe} by -kernel, -drive file={probe},format=raw or -cdrom {probe}';

/** The first that fits is given. */
const HINTS: readonly Hint[] = [
  {
    names: /\bqemu|\bkvm\b/,
    lacks: /-nographic|-serial\s+(mon:)?stdio|chardev\s+stdio/,
    text: 'QEMU: add -nographic, or -display none -serial stdio -monitor none',
  },
  { names: /\bqemu|\bkvm\b/, lacks: /-kernel|-drive|-cdrom|-hd[ab]|-blockdev/, text: `QEMU: ${KERNEL}` },
  {
    names: /\bqemu|\bkvm\b/,
    text: 'QEMU: a firmware may take its time, and needs {probe} as the first thing that it boots; Secure Boot refuses it',
  },
  {
    names: /firecracker/,
    text: 'Firecracker: give the configuration {"boot-source": {"kernel_image_path": "{probe}"}} with --no-api --config-file; before 1.12 take probe --form elf',
  },
  {
    names: /cloud-hypervisor/,
    lacks: /--serial\s+tty/,
    text: 'cloud-hypervisor: add --serial tty --console off',
  },
  {
    names: /crosvm/,
    lacks: /--serial/,
    text: 'crosvm: add --serial type=stdout,hardware=serial,num=1,stdin=true',
  },
  {
    names: /bochs/,
    text: 'Bochs: com1 mode=socket-server, and --serial tcp:HOST:PORT; its debugger waits for c',
  },
  { names: /\blkvm\b|kvmtool/, text: 'kvmtool: run --console serial with probe --form bzimage' },
  {
    names: /VBox/,
    text: 'VirtualBox: --uart1 0x3f8 4 --uartmode1 server PATH, and --serial unix:PATH',
  },
  { names: /\bxl\b|\bxen/, text: 'Xen: without console=com1, which keeps the port for Xen itself' },
  { names: /vmrun|vmware/, text: 'VMware: serial0.fileType = "pipe", and --serial with its other end' },
  { names: /openvmm/, text: 'OpenVMM: --com1 console' },
];

/** One line for a command that has said nothing. */
export function silentCommand(command: string): string {
  const found = HINTS.find(({ names, lacks }) => names.test(command) && lacks?.test(command) !== true);
  return (
    found?.text ??
    "the guest's first serial port, COM1 at 3F8H, has to be the command's standard input and output"
  );
}

/** One line for a serial line on which nothing comes. */
export const silentLine = (address: string): string =>
  `${address}: the guest has to run the image of commonhv probe, with its first serial port, COM1 at 3F8H, at the other end`;

/** One line for a guest that talks and is no probe. */
export const otherTalk =
  'a firmware that finds nothing to boot, a boot menu, or another guest? See commonhv probe --help for the forms of the image';
