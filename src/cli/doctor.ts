/** `commonhv doctor`: what protects this machine when it is copied. */
import { MachineError } from '../cpu.ts';
import { diagnose } from './doctor/checks.ts';
import { diagnosisJson, diagnosisPrometheus, diagnosisText } from './doctor/report.ts';
import { thisMachine, type World } from './doctor/world.ts';
import { type Io, painter } from './io.ts';

export interface DoctorOptions {
  readonly format: 'text' | 'json' | 'prometheus';
}

/** Exit status: 0 the kernel is reseeded when the machine is copied; 1 nothing does that; 2 it could not be seen. */
export async function runDoctor(
  { format }: DoctorOptions,
  io: Io,
  world: World = thisMachine,
): Promise<number> {
  if (world.release === '')
    throw new MachineError('doctor reads /proc and /sys of Linux, which are not here');
  const diagnosis = await diagnose(world);
  if (format === 'json') await io.out(diagnosisJson(diagnosis));
  else if (format === 'prometheus') await io.out(diagnosisPrometheus(diagnosis));
  else await io.out(diagnosisText(diagnosis, painter(io)));
  return diagnosis.protected === undefined ? 2 : diagnosis.protected ? 0 : 1;
}
