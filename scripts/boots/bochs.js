// Runs Bochs as `commonhv verify --exec` wants it: standard input and output are the guest's first serial port.
// Usage: node scripts/boots/bochs.js ROOT IMAGE disk|cdrom     ROOT: where its Debian packages are unpacked
// Bochs takes its serial port to a socket, on loopback; its screen is a pseudo-terminal that script(1) makes. Debian's build has
// the debugger, which has to be told to continue.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [root, image, medium] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), 'commonhv-bochs-'));
const file = (name) => join(work, name);

const configuration = (port) => `config_interface: textconfig
display_library: term
romimage: file=${root}/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=${root}/usr/share/vgabios/vgabios-stdvga.bin
memory: guest=32, host=32
cpu: model=corei7_sandy_bridge_2600k, count=1, ips=50000000, ignore_bad_msrs=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: ${
  medium === 'cdrom'
    ? `type=cdrom, path=${image}, status=inserted`
    : `type=disk, path=${image}, mode=flat, cylinders=1, heads=16, spt=63`
}
boot: ${medium}
com1: enabled=1, mode=socket-client, dev=127.0.0.1:${port}
log: ${file('log')}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
`;

/** Ends Bochs by its id, which the shell wrote before it became Bochs. */
function end(status) {
  try {
    process.kill(Number(readFileSync(file('pid'), 'utf8')), 'SIGKILL');
  } catch {
    // It has not started, or is gone.
  }
  rmSync(work, { recursive: true, force: true });
  process.exit(status);
}
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => end(0));
process.stdout.on('error', () => end(0));

const server = createServer((socket) => {
  socket.on('error', () => {});
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
});
server.listen(0, '127.0.0.1', () => {
  writeFileSync(file('rc'), configuration(server.address().port));
  writeFileSync(file('go'), 'c\n');
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  const command = `echo $$ >${file('pid')}; exec ${root}/usr/bin/bochs-bin -q -f ${file('rc')} -rc ${file('go')}`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: {
      ...process.env,
      TERM: 'linux',
      BXSHARE: `${root}/usr/share/bochs`,
      LD_LIBRARY_PATH: libraries,
      LTDL_LIBRARY_PATH: `${libraries}/bochs/plugins`,
    },
    stdio: ['pipe', 'pipe', 'inherit'], // its input stays open: a debugger at the end of its input ends Bochs
  });
  let screen = '';
  child.stdout.on('data', (bytes) => {
    screen = (screen + bytes).slice(-400);
  });
  child.on('error', (error) => {
    console.error(`script: ${error.message}`);
    end(3);
  });
  child.on('exit', () => {
    console.error(`Bochs ended: ${screen.replace(/[^ -~]+/g, ' ').trim()}`);
    end(1);
  });
});
