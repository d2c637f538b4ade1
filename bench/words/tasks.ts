/** How long the tasks of a page's own thread take, by the browser's trace. */
import type { Browser, Page } from 'playwright-core';

export interface Tasks {
  /** Milliseconds from the start of the page's longest task to its end, and of processor time that the costliest took. */
  stop(): Promise<{ readonly wall: number; readonly cpu: number }>;
}

/** Watches the page's own thread. On a machine that is busy with something else a task lasts longer than it costs. */
export async function watchTasks(browser: Browser, page: Page): Promise<Tasks> {
  await browser.startTracing(page, { categories: ['toplevel'] });
  return {
    async stop() {
      const trace = JSON.parse((await browser.stopTracing()).toString()) as {
        traceEvents: readonly TraceEvent[];
      };
      const threads = new Set(
        trace.traceEvents
          .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
          .map(({ pid, tid }) => `${pid} ${tid}`),
      );
      const tasks = trace.traceEvents.filter(
        ({ name, ph, pid, tid }) => ph === 'X' && name.endsWith('RunTask') && threads.has(`${pid} ${tid}`),
      );
      if (tasks.length === 0) throw new Error('bench lab: the browser traced no task');
      const most = (value: (task: TraceEvent) => number) => Math.max(...tasks.map(value)) / 1000;
      return { wall: most(({ dur }) => dur ?? 0), cpu: most(({ tdur }) => tdur ?? 0) };
    },
  };
}

/** Chromium's trace format: a complete event (`X`) has its duration and its thread's time in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}
