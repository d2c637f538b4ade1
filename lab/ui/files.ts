/** Files that the reader keeps, and files dragged over the page: one that misses the machine must not replace the page. */

/** Offers bytes as a download; nothing leaves the machine. */
export function download(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** `over` is told while files are dragged, `take` gets those that are dropped; returns the function that stops listening. */
export function onFiles(over: (now: boolean) => void, take: (files: readonly File[]) => void): () => void {
  const ending = new AbortController();
  const listen = (name: 'dragover' | 'dragleave' | 'drop', control: (event: DragEvent) => void) => {
    const heard = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes('Files')) control(event);
    };
    addEventListener(name, heard, { signal: ending.signal });
  };
  listen('dragover', (event) => {
    event.preventDefault();
    over(true);
  });
  listen('dragleave', (event) => {
    // From one element to another is still within the page.
    if (event.relatedTarget === null) over(false);
  });
  listen('drop', (event) => {
    event.preventDefault();
    over(false);
    take([...event.dataTransfer!.files]);
  });
  return () => ending.abort();
}
