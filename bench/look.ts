/** Reading the generation: from the page in guest memory, and by an exit for RDMSR. A guest on KVM times both in turns by its own RDTSC. */
import { kvm } from 'commonhv/engines/kvm';
import { HALT, kernel, u32 } from '../test/support/guests.ts';
import { type Bench, median } from './figure.ts';
import { hasKvm } from './words/kvm-here.ts';

const [GENERATION, PAGE] = [0x4000_00a1, 0x4000_00a2];
const [TURNS, READS, BUFFER, AT] = [200, 256, 0x20_0000, 0x30_0000];

export const bench: Bench = async () => {
  if (!hasKvm()) throw new Error('look: there is no KVM here');
  const [page, exit] = await cycles();
  return [
    { name: 'both words of the page', value: page, unit: 'cycles' },
    { name: 'RDMSR of the generation', value: exit, unit: 'cycles' },
    { name: 'the page, of the RDMSR', value: page / exit, unit: 'ratio', most: 0.1 },
  ];
};

/** Medians of the turns, for each read. */
async function cycles(): Promise<readonly [number, number]> {
  const turn = (body: readonly number[]) => [
    ...[0x0f, 0x31, 0x89, 0x07, 0xbe, ...u32(READS)], // rdtsc; mov [edi], eax; mov esi, reads
    ...[...body, 0x4e, 0x75, (-body.length - 3) & 0xff], // dec esi; jnz
    ...[0x0f, 0x31, 0x2b, 0x07, 0x89, 0x07, 0x83, 0xc7, 0x04], // rdtsc; sub eax, [edi]; mov [edi], eax; add edi, 4
  ];
  const words = [AT, AT + 4, AT + 8, AT + 12].flatMap((address) => [0x8b, 0x15, ...u32(address)]); // mov edx, [address]
  const rdmsr = [0xb9, ...u32(GENERATION), 0x0f, 0x32]; // mov ecx, ...; rdmsr
  const both = [...turn(words), ...turn(rdmsr), 0x4d]; // dec ebp
  const code = [
    ...[0xb9, ...u32(PAGE), 0xb8, ...u32(AT | 1), 0x31, 0xd2, 0x0f, 0x30], // mov ecx; mov eax; xor edx, edx; wrmsr
    ...[0xbf, ...u32(BUFFER), 0xbd, ...u32(TURNS)], // mov edi, buffer; mov ebp, turns
    ...[...both, 0x0f, 0x85, ...u32(-both.length - 6)], // jnz
    ...[0xbe, ...u32(BUFFER), 0xb9, ...u32(TURNS * 8), 0x66, 0xba, 0xf8, 0x03], // mov esi, buffer; mov ecx, ...; mov dx, 3f8h
    ...[0xf3, 0x6e, ...HALT], // rep outsb
  ];
  const layer = { module: 'commonhv/hypervisor', export: 'fromConfig', options: { generation: {} } };
  const machine = await kvm({ memory: 2 ** 22 }).start(layer, { kernel: kernel(code) });
  const bytes: number[] = [];
  const reader = machine.console.readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) bytes.push(...next.value);
  await machine.close();
  const times = [...new Uint32Array(Uint8Array.from(bytes).buffer)];
  if (times.length !== TURNS * 2) throw new Error(`the guest sent ${times.length} times, not ${TURNS * 2}`);
  const of = (kind: number) => median(times.filter((_, i) => i % 2 === kind)) / READS;
  return [of(0), of(1)];
}
