/** A running worker as the supervisor sees it: somewhere to send messages, and an end. */
import type { FromWorker, ToWorker } from './messages.ts';

export interface WorkerLink {
  /** For log lines; 0 for a worker in the same process. */
  readonly pid: number;
  /** Never throws; what is sent to a worker that has ended is lost. */
  send(message: ToWorker): void;
  /** Ends it at once; `onEnd` follows. */
  kill(): void;
}

export interface WorkerEvents {
  onMessage(message: FromWorker): void;
  /** Exactly once. `how` is for people: "exit code 1", "signal SIGKILL". */
  onEnd(how: string): void;
}

export type WorkerLauncher = (index: number, events: WorkerEvents) => WorkerLink;
