/**
 * Every open downstream connection, from before its first decision to its end: who is told of a policy
 * change, looked at for time-outs, and drained.
 */
import type { Timers } from '../platform/platform.ts';

export interface RegisteredConnection {
  /** Acts on every deadline that has passed. */
  expire(nowMs: number): void;
  /** Judges the connection again; one that is no longer allowed is closed at once. */
  policyChanged(): void;
  /** No further request is taken; an idle connection is closed at once. */
  drain(): void;
  /** Closed now, whatever it is doing. */
  cut(): void;
}

export class Registry {
  readonly #connections = new Set<RegisteredConnection>();
  readonly #stopSweep: () => void;
  #whenEmpty: (() => void) | null = null;

  constructor(options: {
    readonly timers: Timers;
    readonly nowMs: () => number;
    readonly sweepIntervalMs: number;
    readonly onSweep: () => void;
  }) {
    this.#stopSweep = options.timers.every(options.sweepIntervalMs, () => {
      options.onSweep();
      const now = options.nowMs();
      for (const connection of this.#connections) connection.expire(now);
    });
  }

  get size(): number {
    return this.#connections.size;
  }

  add(connection: RegisteredConnection): void {
    this.#connections.add(connection);
  }

  delete(connection: RegisteredConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  policyChanged(): void {
    for (const connection of [...this.#connections]) connection.policyChanged();
  }

  drain(): void {
    for (const connection of [...this.#connections]) connection.drain();
  }

  cut(): void {
    for (const connection of [...this.#connections]) connection.cut();
  }

  /** Resolves when no connection is left. */
  empty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  stop(): void {
    this.#stopSweep();
  }
}
