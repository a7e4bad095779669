/** Time that runs so many times as fast as it does, for what waits for sockets and for minutes in one test. */
import type { Platform } from '../../src/platform/platform.ts';

export function fastPlatform(factor: number): Platform {
  const startMs = performance.now();
  const nowMs = (): number => (performance.now() - startMs) * factor;
  return {
    clock: { nowMs, wallMs: () => 1_700_000_000_000 + nowMs() },
    soon: (task) => {
      setImmediate(task);
    },
    timers: {
      every: (intervalMs, task) => {
        const timer = setInterval(task, intervalMs / factor);
        return () => clearInterval(timer);
      },
      after: (delayMs, task) => {
        const timer = setTimeout(task, delayMs / factor);
        return () => clearTimeout(timer);
      },
    },
  };
}
