/** Faulty machines: mistakes that one CPU under one layer cannot show. Each is the reference machine with one mistake. */
import type { FaultyMachine } from './fault.ts';
import { generation } from './machines-generation.ts';
import { page } from './machines-page.ts';
import { leaves, random } from './machines-values.ts';

/** At least one for each rule that needs several CPUs, a restore, guest memory or CPL 3. */
export const faultyMachines: readonly FaultyMachine[] = [...random, ...leaves, ...generation, ...page];
