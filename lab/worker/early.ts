/** A worker's first code, small: v86 is loaded while the rest of the worker's code is on its way. */
import { preload } from 'commonhv/engines/v86';
import wasm from 'v86/build/v86.wasm?url';
import { type Given, OF_PAGE, type Reply, type Request } from '../model/protocol.ts';

// The page's types and a worker's exclude each other; this is all that is needed of the latter.
const port = globalThis as unknown as {
  readonly name: string;
  postMessage(message: Reply): void;
  onmessage: (event: MessageEvent<Request | Given>) => void;
};

let give: (bytes: ArrayBuffer | undefined) => void = () => {};
const given = new Promise<ArrayBuffer | undefined>((resolve) => {
  give = resolve;
});

// The worker's name is its engine's. Whoever starts a machine gets the error.
if (port.name === 'v86') preload({ wasm }).catch(() => {});
if (port.name === OF_PAGE) preload({ wasm, bytes: given }).catch(() => {});

const worker = import('./worker.ts');
port.onmessage = ({ data }) => {
  if ('wasm' in data) return give(data.wasm);
  worker.then(
    ({ answer }) => answer(data),
    (error: unknown) => port.postMessage({ id: data.id, error: String(error) }),
  );
};
