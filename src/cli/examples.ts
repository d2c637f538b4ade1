/** Two command lines for the end of each command's help, by its name. */
export const EXAMPLES: Readonly<Record<string, readonly [string, string]>> = {
  run: ['commonhv run', "commonhv run vmlinuz --initrd initrd --append 'console=ttyS0'"],
  trace: ['commonhv trace vmlinuz --timeout 20', 'commonhv trace kernel.elf --format json'],
  clones: [
    'commonhv clones vmlinuz',
    "commonhv clones --save 'vm save {state}' --resume 'vm resume {state}' --copies 4",
  ],
  doctor: ['commonhv doctor', 'commonhv doctor --format prometheus'],
  detect: ['commonhv detect', 'commonhv detect --from cpuid.txt --format json'],
  dump: ['commonhv dump', 'commonhv dump --engine v86 --draft 2 --format json'],
  seed: ['commonhv seed', 'commonhv seed --watch --interval 100'],
  verify: ['commonhv verify', "commonhv verify --exec 'qemu-system-x86_64 -nographic -kernel {probe}'"],
  probe: ['commonhv probe --write probe.img', 'commonhv probe --write vmlinux --form elf'],
  lab: ['commonhv lab --open', 'commonhv lab --port 8080'],
  completion: [
    'commonhv completion bash > /etc/bash_completion.d/commonhv',
    'commonhv completion fish | source',
  ],
};
