/** A worker in the supervisor's own process, for tests: the same messages, passed by a call. */
import type { WorkerLauncher } from './link.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { Worker } from './worker.ts';

export function inProcessLauncher(): WorkerLauncher {
  return (_index, events) => {
    let isEnded = false;
    const end = (how: string): void => {
      if (isEnded) return;
      isEnded = true;
      queueMicrotask(() => events.onEnd(how));
    };
    const worker = new Worker({
      post: (message: FromWorker, onSent?: () => void) =>
        queueMicrotask(() => {
          if (!isEnded) events.onMessage(message);
          onSent?.();
        }),
      onDrained: () => end('drained'),
    });
    return {
      pid: 0,
      send: (message: ToWorker) => {
        if (!isEnded) worker.handle(message);
      },
      kill: () => {
        worker.stop();
        end('killed');
      },
    };
  };
}
