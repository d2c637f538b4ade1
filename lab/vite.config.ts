/** The lab's build: static files that work from any path, and nothing in them that a strict policy refuses. */
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    outDir: '../dist/lab',
    emptyOutDir: true,
    assetsInlineLimit: 0, // a data: address would be one more thing to allow
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
});
