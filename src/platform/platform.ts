/**
 * The doors to the outside that the data plane uses, as interfaces, so that tests can own time.
 * `platform/node_platform.ts` is the real thing.
 */
export interface Platform {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Calls `task` once what is waiting has had its turn. */
  readonly soon: (task: () => void) => void;
  /** Absent where the runtime was not started in a way that allows it. */
  readonly memory?: Memory;
}

export interface Memory {
  /** Takes back what was used for a short time only. Takes about a millisecond. */
  releaseYoung(): void;
  /** Takes back all that is not in use. Takes tens of milliseconds. */
  releaseAll(): void;
  /** The same, and what is in use is moved together, so that the system gets the rest. Takes hundreds of milliseconds. */
  giveBack(): void;
  /** Of this thread, with what is no longer in use. */
  heapBytes(): number;
}

export interface Clock {
  /** Milliseconds of a monotonic clock, with fractions: for durations. */
  nowMs(): number;
  /** Milliseconds since the epoch: for log records only. */
  wallMs(): number;
}

export interface Timers {
  /** Calls `task` every `intervalMs` until the returned function is called. Does not keep the process alive. */
  every(intervalMs: number, task: () => void): () => void;
  /** Calls `task` once after `delayMs` unless the returned function is called before. */
  after(delayMs: number, task: () => void): () => void;
}
