/**
 * Long work on the thread that serves traffic: a few milliseconds of it, then whoever waits has a turn, then
 * a few more. What is done before the first of them are over is done when `begin` returns.
 */
import type { Steps } from '../model/steps.ts';
import type { Platform } from './platform.ts';

export interface Work<Result> {
  readonly steps: Steps<Result>;
  readonly onDone: (result: Result) => void;
}

export class Turns {
  readonly #platform: Pick<Platform, 'clock' | 'soon'>;
  readonly #turnMs: number;
  /** Of the work that is under way: one with another number is over. */
  #number = 0;

  constructor(platform: Pick<Platform, 'clock' | 'soon'>, turnMs: number) {
    this.#platform = platform;
    this.#turnMs = turnMs;
  }

  /** Takes the place of what is under way, whose `onDone` is not called then. */
  begin<Result>(work: Work<Result>): void {
    this.#number += 1;
    this.#turn(work, this.#number);
  }

  /** Puts down what is under way, for good. */
  stop(): void {
    this.#number += 1;
  }

  #turn<Result>(work: Work<Result>, number: number): void {
    const { clock, soon } = this.#platform;
    const endMs = clock.nowMs() + this.#turnMs;
    while (number === this.#number) {
      const step = work.steps.next();
      if (step.done === true) {
        if (number === this.#number) work.onDone(step.value);
        return;
      }
      if (clock.nowMs() < endMs) continue;
      soon(() => this.#turn(work, number));
      return;
    }
  }
}
