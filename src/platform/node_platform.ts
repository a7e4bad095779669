/** The platform that a running proxy has: Node's clocks and timers, and its garbage collector if it is exposed. */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Platform } from './platform.ts';

/** With `--expose-gc` only, as a worker process and the policy thread are started. */
const collect = globalThis.gc;

const PLATFORM: Platform = {
  ...(collect === undefined
    ? {}
    : {
        memory: {
          releaseYoung: () => collect({ type: 'minor' }),
          releaseAll: () => collect({ type: 'major' }),
          giveBack: () => collect({ type: 'major', flavor: 'last-resort' }),
          heapBytes: () => getHeapStatistics().total_physical_size,
        },
      }),
  clock: {
    // Of the module: the global is a getter that is asked each time, five to seven times a request.
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
  },
  soon: (task) => {
    setImmediate(task);
  },
  timers: {
    every: (intervalMs, task) => {
      const timer = setInterval(task, intervalMs);
      timer.unref();
      return () => clearInterval(timer);
    },
    after: (delayMs, task) => {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
  },
};

export function nodePlatform(): Platform {
  return PLATFORM;
}
