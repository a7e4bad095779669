/** The platform that a running proxy has: Node's clocks and timers. */
import type { Platform } from './platform.ts';

const PLATFORM: Platform = {
  clock: {
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
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
