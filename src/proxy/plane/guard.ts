/**
 * The one edge at which a bug of ours ends one connection and nothing else. Whatever a socket, a timer, another
 * connection or the platform calls enters a connection by it: an exception is counted as an internal error, and the
 * connection is closed on both sides.
 *
 *     socket, timer, turn ──► run ──► relay
 *                              └─ exception ──► counted ──► abandon ──► sever
 */
import type { Recorder } from '../../model/record.ts';

export interface Guarded {
  /** What it is at, for whoever reads the log. */
  readonly part: string;
  /** Records what is in hand as an internal error, and closes both sides. */
  abandon(): void;
  /** Closes both sides, whatever `abandon` has left. */
  sever(): void;
}

export class Guard {
  readonly #guarded: Guarded;
  readonly #recorder: Recorder;

  constructor(guarded: Guarded, recorder: Recorder) {
    this.#guarded = guarded;
    this.#recorder = recorder;
  }

  run(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.broken(error);
    }
  }

  /** The same of a question, which is answered by `otherwise` when it fails. */
  ask<Answer>(question: () => Answer, otherwise: Answer): Answer {
    try {
      return question();
    } catch (error) {
      this.broken(error);
      return otherwise;
    }
  }

  /** For who catches by itself. What has failed once may fail again while it is ended. */
  broken(error: unknown): void {
    this.#recorder.internalError(this.#guarded.part, error);
    for (const step of ['abandon', 'sever'] as const) {
      try {
        this.#guarded[step]();
      } catch (further) {
        this.#recorder.internalError(step, further);
      }
    }
  }
}
