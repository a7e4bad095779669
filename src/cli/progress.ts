/** Says on a terminal what takes long, a line now and then. */
import type { Platform } from '../platform/platform.ts';
import type { Io } from './io.ts';

const FIRST_MS = 1000;
const NEXT_MS = 3000;

export class Progress {
  readonly #io: Io;
  readonly #clock: Platform['clock'];
  #nextAtMs: number;

  constructor(io: Io, clock: Platform['clock']) {
    this.#io = io;
    this.#clock = clock;
    this.#nextAtMs = clock.nowMs() + FIRST_MS;
  }

  /** Called often; `text` only when it is told. */
  at(text: () => string): void {
    if (this.#io.isErrorTerminal !== true) return;
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#nextAtMs) return;
    this.#nextAtMs = nowMs + NEXT_MS;
    this.#io.stderr.write(`${text()} ...\n`);
  }
}
