/** The options of `verify` beside those of a built-in hypervisor. */
import { Option } from 'commander';
import { group, repeated } from './options.ts';

/** For the help of `--timeout`. */
export const VERIFY_TIMEOUTS =
  " (default: none for the whole; 30 for the probe's greeting, 60 for each machine control)";

/** Which hypervisor `verify` checks, and how. */
export const verifyOptions = (): readonly Option[] => [
  new Option(
    '--exec <command>',
    "start a hypervisor: {probe} is the image's path, its standard streams the serial line",
  ),
  repeated(
    '--serial <address>',
    'one that runs the probe already: unix:PATH, tcp:HOST:PORT or /dev/pts/N; again for each further CPU, with --exec too',
  ),
  ...group('Machine controls, with --exec or --serial:', [
    new Option('--save <command>', 'save the running machine, which goes on; {state} is a free path'),
    new Option('--restore <command>', 'restore that state into the machine, in place'),
    new Option(
      '--resume <command>',
      'start a copy from that state: its standard streams, or --serial with {copy}, are its lines',
    ),
    new Option('--migrate <command>', 'move the only copy of the running machine (not tested)'),
  ]),
  new Option('--strict', 'a broken SHOULD fails'),
  new Option('--probe-msrs', 'read the MSRs beside the advertised ones, at which some hypervisors stop'),
  repeated('--only <rule>', 'check this rule alone; may be given again'),
  new Option('--list', 'print the rules of --draft, and check nothing'),
  new Option('--name <text>', "the hypervisor's name in the report"),
];
