/** Each thing that protects a copied machine, or does not: one line with its evidence and its remedy. */
import type { Detection } from '../../guest/index.ts';
import { type Check, textOf } from './check.ts';
import { processCheck } from './processes.ts';
import type { World } from './world.ts';

export interface Diagnosis {
  readonly checks: readonly Check[];
  /** True: something reseeds this kernel when it is copied; false: nothing does; `undefined`: it could not be seen. */
  readonly protected: boolean | undefined;
  /** Times that the kernel's log or the agent report a restore since boot. */
  readonly resumed: number | undefined;
  readonly result: string;
}

export async function diagnose(world: World): Promise<Diagnosis> {
  const detection = await world.detection();
  const version = versionOf(world.release);
  const vmgenid = vmgenidCheck(world, version);
  const commonhv = commonhvCheck(world, detection);
  const status = hookChecks(world);
  const restores = restoreCheck(world);
  const checks = [
    kernelCheck(world.release, version),
    vmgenid,
    vmclockCheck(world),
    commonhv,
    ...status,
    hwrngCheck(world),
    msrCheck(world, detection),
    restores.check,
    processCheck(world),
  ];
  // An agent that could not reseed the last time will not the next time.
  const reseeds = commonhv.state === 'good' && !status.some(({ state }) => state === 'bad');
  const safe = vmgenid.state === 'good' || reseeds;
  const blind = [vmgenid, commonhv].some(({ state }) => state === 'unknown');
  const result = safe
    ? 'this kernel is reseeded when the machine is copied'
    : blind
      ? 'it could not be seen whether anything reseeds this kernel when the machine is copied'
      : detection !== undefined && !detection.hypervisorBit && detection.interfaces.length === 0
        ? 'no hypervisor to be seen: a copy of this machine would not be noticed'
        : 'nothing reseeds this kernel when the machine is copied: copies share their random numbers';
  return { checks, protected: safe ? true : blind ? undefined : false, resumed: restores.count, result };
}

type Version = readonly [major: number, minor: number] | undefined;

function versionOf(release: string): Version {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor)];
}

const atLeast = (version: Version, major: number, minor: number): boolean =>
  version !== undefined && (version[0] > major || (version[0] === major && version[1] >= minor));

/** drivers/char/random.c: RNDRESEEDCRNG since 4.14; it rekeys at once since 5.18; VMGenID's driver since 5.18. */
function kernelCheck(release: string, version: Version): Check {
  const base = { id: 'kernel', evidence: '/proc/sys/kernel/osrelease' };
  if (version === undefined) return { ...base, state: 'unknown', text: 'the kernel version is not known' };
  const text = `Linux ${release}`;
  if (atLeast(version, 5, 18))
    return { ...base, state: 'good', text: `${text}: a forced reseed takes effect at once` };
  const remedy = 'use Linux 5.18 or newer';
  if (atLeast(version, 4, 14))
    return { ...base, state: 'weak', text: `${text}: a forced reseed needs 128 credited bits`, remedy };
  return { ...base, state: 'bad', text: `${text}: has no forced reseed (RNDRESEEDCRNG)`, remedy };
}

const ACPI = '/sys/bus/acpi/devices';
const PLATFORM = '/sys/bus/platform/devices';
const VMGENID = /VM_?GEN_?C(OUN)?TE?R/i;
/** Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml */
const VMGENID_OF = /Cmicrosoft,vmgenid/;

/** The device's folder: by its ACPI identifiers, or by the device tree. */
function vmgenidDevice(world: World): string | undefined {
  const modalias = (folder: string): string => textOf(world.read(`${folder}/modalias`));
  const found = (bus: string, names: RegExp): string | undefined =>
    world
      .list(bus)
      .filter((name) => names.test(name) || names.test(modalias(`${bus}/${name}`)))
      .map((name) => `${bus}/${name}`)[0];
  return found(ACPI, VMGENID) ?? found(PLATFORM, VMGENID_OF);
}

function vmgenidCheck(world: World, version: Version): Check {
  const id = 'vmgenid';
  const bound = ['/sys/bus/acpi/drivers/vmgenid', '/sys/bus/platform/drivers/vmgenid'].find((driver) =>
    world.list(driver).some((name) => !['bind', 'unbind', 'uevent', 'module'].includes(name)),
  );
  if (bound !== undefined)
    return { id, state: 'good', text: "VMGenID: the kernel's driver is bound", evidence: bound };
  if (world.list('/sys/bus').length === 0)
    return { id, state: 'unknown', text: 'VMGenID: sysfs is not there', evidence: '/sys/bus' };
  const device = vmgenidDevice(world);
  if (device === undefined)
    return {
      id,
      state: 'weak',
      text: 'VMGenID: the hypervisor offers no device',
      evidence: ACPI,
      remedy: "ask for one, such as QEMU's -device vmgenid",
    };
  const remedy = atLeast(version, 5, 18)
    ? 'modprobe vmgenid, or a kernel with CONFIG_VMGENID'
    : 'use Linux 5.18 or newer';
  return {
    id,
    state: 'bad',
    text: 'VMGenID: a device, and no driver for it',
    evidence: device,
    remedy,
  };
}

/** struct vmclock_abi (linux/vmclock-abi.h): "VCLK" at 0, flags at 24, bit 8: vm_generation_counter is present. */
function vmclockCheck(world: World): Check {
  const base = { id: 'vmclock', evidence: '/dev/vmclock0' };
  const seen = world.read('/dev/vmclock0');
  if (seen === 'absent') return { ...base, state: 'weak', text: 'vmclock: no device' };
  if (seen === 'denied')
    return { ...base, state: 'unknown', text: 'vmclock: only root can read it', remedy: 'run as root' };
  const { text } = seen;
  if (!text.startsWith('VCLK'))
    return { ...base, state: 'weak', text: "vmclock: the device is not vmclock's" };
  const counts = ((text.charCodeAt(25) || 0) & 1) === 1;
  const how = counts ? 'has a generation counter' : 'has no generation counter';
  return { ...base, state: 'weak', text: `vmclock: ${how}; it does not reseed the kernel` };
}

function commonhvCheck(world: World, detection: Detection | undefined): Check {
  const id = 'commonhv';
  if (world.list('/sys/devices/platform/commonhv').length > 0)
    return {
      id,
      state: 'good',
      text: 'CommonHV: the driver is loaded',
      evidence: '/sys/devices/platform/commonhv',
    };
  const agent = world
    .list('/proc')
    .find((pid) => /^\d+$/.test(pid) && textOf(world.read(`/proc/${pid}/comm`)).trim() === 'commonhv-agent');
  if (agent !== undefined)
    return {
      id,
      state: 'good',
      text: 'CommonHV: the agent polls the generation',
      evidence: `process ${agent}`,
    };
  if (detection === undefined)
    return {
      id,
      state: 'unknown',
      text: 'CommonHV: this processor could not be asked',
      evidence: 'CPUID',
      remedy: 'npm i koffi, or modprobe cpuid',
    };
  const { commonhv } = detection;
  if (commonhv === undefined)
    return {
      id,
      state: 'weak',
      text: 'CommonHV: the hypervisor does not offer it',
      evidence: 'CPUID 4F000000H',
    };
  if (commonhv.generation === undefined)
    return { id, state: 'weak', text: 'CommonHV: offered without a generation', evidence: 'CPUID 4F000002H' };
  return {
    id,
    state: 'bad',
    text: 'CommonHV: offers a generation, and nothing in this guest looks at it',
    evidence: 'CPUID 4F000002H',
    remedy: 'load commonhv.ko, or run commonhv-agent --watch',
  };
}

function hookChecks(world: World): readonly Check[] {
  const status = world.read('/run/commonhv/status');
  if (status === 'absent') return [];
  const base = { id: 'status', evidence: '/run/commonhv/status' };
  if (status === 'denied') return [{ ...base, state: 'unknown', text: "the agent's status may not be read" }];
  const { reseeded, why } = parseStatus(status.text);
  if (reseeded === false)
    return [
      {
        ...base,
        state: 'bad',
        text: `the agent did not reseed: ${why ?? 'it does not say why'}`,
        remedy: "see the agent's log",
      },
    ];
  const hooks = world.list('/etc/commonhv/restored.d').length;
  return [
    { ...base, state: 'good', text: `the agent reports its last reseed; ${hooks} hooks run at a restore` },
  ];
}

function parseStatus(text: string): {
  reseeded?: boolean | undefined;
  why?: string | undefined;
  restores?: number | undefined;
} {
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    return {
      reseeded: typeof value.reseeded === 'boolean' ? value.reseeded : undefined,
      why: typeof value.why === 'string' ? value.why.replace(/[^ -~]/g, ' ') : undefined,
      restores: typeof value.restores === 'number' ? value.restores : undefined,
    };
  } catch {
    return {};
  }
}

function hwrngCheck(world: World): Check {
  const path = '/sys/class/misc/hw_random';
  const base = { id: 'hwrng', evidence: `${path}/rng_current` };
  const current = textOf(world.read(`${path}/rng_current`)).trim();
  if (current === '' || current === 'none')
    return { ...base, state: 'weak', text: 'hw_random: no generator' };
  const quality = textOf(world.read(`${path}/rng_quality`)).trim();
  const credit = quality === '' ? '' : `, quality ${quality} of 1024`;
  return {
    ...base,
    state: 'good',
    text: `hw_random: ${current}${credit}; it is not asked again because of a copy`,
  };
}

function msrCheck(world: World, detection: Detection | undefined): Check {
  const base = { id: 'msr', evidence: '/dev/cpu/0/msr' };
  const lockdown = /\[(\w+)\]/.exec(textOf(world.read('/sys/kernel/security/lockdown')))?.[1] ?? 'none';
  const needed = detection === undefined || detection.commonhv?.generation !== undefined;
  if (!world.list('/dev/cpu/0').includes('msr')) {
    const none = { ...base, state: 'weak' as const };
    return needed
      ? { ...none, text: 'MSRs: no driver, so an agent cannot read the generation', remedy: 'modprobe msr' }
      : { ...none, text: 'MSRs: no driver, and no generation that an agent could read' };
  }
  const note = lockdown === 'none' ? '' : `; lockdown (${lockdown}) blocks writes, not reads`;
  return { ...base, state: 'good', text: `MSRs: root can read them${note}` };
}

/** The kernel's own word for a restore that VMGenID reported (drivers/char/random.c). */
const FORK = /crng reseeded due to virtual machine fork/;

function restoreCheck(world: World): { check: Check; count: number | undefined } {
  const log = world.log();
  const reported = parseStatus(textOf(world.read('/run/commonhv/status'))).restores;
  const base = { id: 'restores', evidence: "the kernel's log" };
  if (log === 'denied' && reported === undefined)
    return {
      count: undefined,
      check: {
        ...base,
        state: 'unknown',
        text: "restores since boot: the kernel's log may not be read",
        remedy: 'run as root',
      },
    };
  const count = Math.max(reported ?? 0, log === 'denied' ? 0 : log.filter((line) => FORK.test(line)).length);
  const text =
    count === 0
      ? 'no restore since boot is on record'
      : `resumed from a saved state ${count} ${count === 1 ? 'time' : 'times'} since boot`;
  return { count, check: { ...base, state: count === 0 ? 'good' : 'weak', text } };
}
