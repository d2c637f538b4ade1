/** `commonhv lab`: serves the built web page to this machine's browsers, and to nobody else. */
import { spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { platform } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MachineError } from '../cpu.ts';
import type { Io } from './io.ts';

export interface LabOptions {
  /** 0: any free one. */
  readonly port: number;
  /** Opens the page in the system's browser. */
  readonly open?: boolean | undefined;
}

const LOOPBACK = '127.0.0.1';
const ROOT = new URL('../lab/', import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
};

/** The page's own policy (lab/index.html), and the parts that need a header. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  // These two isolate the page, and an isolated page's workers have a clock that tells single CPUIDs apart.
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
};

/** Serves until it is interrupted. Exit status 0 then. */
export async function runLab({ port, open }: LabOptions, io: Io): Promise<number> {
  const built = await stat(new URL('index.html', ROOT)).catch(() => undefined);
  if (built === undefined) throw new MachineError('the lab is not built yet: npm run build:lab builds it');
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  const bound = await listen(server, port);
  const address = `http://${LOOPBACK}:${bound}/`;
  await io.out(`The lab is at ${address} for this machine only. Ctrl-C ends it.\n`);
  if (open) openBrowser(address, io);
  await new Promise<void>((resolve) => {
    if (io.interrupted.aborted) resolve();
    io.interrupted.addEventListener('abort', () => resolve(), { once: true });
  });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return 0;
}

/** The system's own way to open an address; the lab is served whether that works or not. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['rundll32', 'url.dll,FileProtocolHandler'],
};

function openBrowser(address: string, io: Io): void {
  const [program, ...args] = OPENERS[platform()] ?? ['xdg-open'];
  const failed = () => io.err(`commonhv: --open: ${program} opened no browser: open the address yourself`);
  const child = spawn(program, [...args, address], { stdio: 'ignore', detached: true });
  child.once('error', failed);
  child.once('exit', (code) => {
    if (code !== 0) failed();
  });
  child.unref();
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const end = (status: number, text: string) => {
    response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8' });
    response.end(request.method === 'HEAD' ? '' : `${text}\n`);
  };
  // Another name for this machine's address could let a page from elsewhere read along (DNS rebinding).
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i.test(request.headers.host ?? '')) {
    return end(421, 'the lab is at 127.0.0.1 and localhost only');
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return end(405, 'GET or HEAD');
  const file = fileOf(request.url ?? '/');
  const bytes = file === undefined ? undefined : await readFile(file).catch(() => undefined);
  if (file === undefined || bytes === undefined) return end(404, 'not here');
  response.writeHead(200, {
    ...HEADERS,
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Length': bytes.length,
  });
  response.end(request.method === 'HEAD' ? '' : bytes);
}

/** A file of the page by its address; the build makes names of letters, digits, `-`, `_` and `.` in at most one folder. */
function fileOf(url: string): string | undefined {
  const path = url.replace(/[?#].*$/s, '');
  if (path === '/') return fileURLToPath(new URL('index.html', ROOT));
  const match = /^\/((?:assets\/)?[\w-][\w.-]*)$/.exec(path);
  return match === null ? undefined : fileURLToPath(new URL(match[1]!, ROOT));
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE' ? 'is taken: choose another with --port, or 0 for any' : error.message;
      reject(new MachineError(`port ${port} ${why}`, { cause: error }));
    });
    server.listen(port, LOOPBACK, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
