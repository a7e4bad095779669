/**
 * A worker as a process of its own. Its stdout is a pipe to us, forwarded in whole lines; its stderr
 * is ours, so that the last words of a crash are not lost.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LineSplitter } from './line_splitter.ts';
import type { WorkerLauncher, WorkerLink } from './link.ts';
import type { FromWorker, ToWorker } from './messages.ts';

const WORKER_MAIN = fileURLToPath(new URL('./worker_main.ts', import.meta.url));

export interface ProcessWorkerOptions {
  readonly lineBytesMax: number;
  /** Gets whole lines. */
  readonly writeLines: (lines: Buffer) => void;
}

export function processLauncher(options: ProcessWorkerOptions): WorkerLauncher {
  return (_index, events) => {
    const child = fork(WORKER_MAIN, [String(process.pid)], {
      // A young generation that holds what is in flight: with 1 MiB a quarter to a third of the CPU of HTTP/2
      // was its collection, with 8 a twentieth, for 4 MB more at rest and some 30 under load. One thread
      // collects it, as the others have workers of their own to run: threads that wait for each other on
      // one core cost more than they do (docs/performance.md). With the collector exposed the data plane can
      // ask for more (proxy/plane/memory/read_memory.ts).
      execArgv: [
        ...process.execArgv,
        '--max-semi-space-size=8',
        '--no-parallel-scavenge',
        '--expose-gc',
      ],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    forwardLines(child, options);
    child.on('message', (message) => events.onMessage(message as FromWorker));
    let isEnded = false;
    const end = (how: string): void => {
      if (isEnded) return;
      isEnded = true;
      events.onEnd(how);
    };
    child.once('error', (error) => end(`cannot be started: ${error.message}`));
    // Not "exit": its last lines may still be in the pipe then.
    child.once('close', (code, signal) => {
      end(signal === null ? `exit code ${code ?? -1}` : `signal ${signal}`);
    });
    return linkTo(child);
  };
}

function linkTo(child: ChildProcess): WorkerLink {
  return {
    pid: child.pid ?? 0,
    send(message: ToWorker): void {
      // A worker that is dying cannot be told anything; its end is reported by itself.
      if (child.connected) child.send(message, () => {});
    },
    kill(): void {
      child.kill('SIGKILL');
    },
  };
}

function forwardLines(child: ChildProcess, options: ProcessWorkerOptions): void {
  const { stdout } = child;
  if (stdout === null) return;
  const splitter = new LineSplitter(options.lineBytesMax, options.writeLines);
  stdout.on('data', (chunk: Buffer) => splitter.push(chunk));
  stdout.on('end', () => splitter.end());
  stdout.on('error', () => splitter.end());
}
