/**
 * The entry of a worker process: wires the channel of the fork to a `Worker`. Signals are the
 * supervisor's business (Ctrl-C reaches the whole group); when the supervisor is gone, so are we, also in an endless loop.
 */
import { endWithParent } from '../platform/parent_death.ts';
import type { ToWorker } from './messages.ts';
import { Worker } from './worker.ts';

const LINGER_MS = 1000;

// Without a listener of ours SIGUSR1 would open Node's debugger.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) {
  process.on(signal, () => {});
}

const problem = await endWithParent();
if (problem !== null) {
  process.stderr.write(`sallyport: a worker that hangs may outlive its supervisor: ${problem}\n`);
}
// It ended before the kernel was asked.
const [, , supervisorPid] = process.argv;
if (process.ppid !== Number(supervisorPid)) endNow();

const worker = new Worker({
  post: (message, onSent) => {
    if (!process.connected) return;
    if (onSent === undefined) process.send?.(message);
    else process.send?.(message, onSent);
  },
  onDrained: () => {
    // Nothing is left that keeps the process alive but the channel; if something is, not for long.
    process.disconnect?.();
    setTimeout(endNow, LINGER_MS).unref();
  },
});

process.on('message', (message) => worker.handle(message as ToWorker));

process.on('disconnect', () => {
  if (!worker.isDrained) endNow();
});

function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}
