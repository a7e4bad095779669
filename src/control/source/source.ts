/**
 * The border by which policy comes in. A source knows where policy is and how it is read; it offers what it decoded.
 * The sink checks it, puts it in force and says so. Neither knows the other's insides, so a folder of files, a watch of
 * an API and a stream of xDS are alike from here on.
 *
 * What is refused alone belongs to the source. Files are one set that somebody wrote: one fault in it, and nothing of it
 * counts (`refused`). Objects of an API are many people's: a bad one is left out and told (`PolicyInput.refused`).
 */
import type { Problem, Rejected } from '../decode/problem.ts';
import type { Accepted } from '../set/policy_checker.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import type { SourceBundle } from './files/source_bundle.ts';

export interface PolicySource {
  /** For messages: "files". */
  readonly name: string;
  /**
   * Offers the present state, and each change from then on. `seen` is a mark that `reading` gave to an earlier process
   * or thread, which did not survive what it read. The source skips the marked state until it changes.
   */
  start(sink: PolicySink, seen?: string | null): void;
  /** Offers the present state to `sink`, unless that has just been offered, and then calls `done`. */
  refresh(sink: PolicySink, done: () => void): void;
  /** What it resolves with: what is being kept on disk is. */
  stop(): void | Promise<void>;
}

export interface PolicySink {
  /**
   * The source begins to read and decode, which may take long. Then it calls one of the methods below (not `check`,
   * `notice` or `health`; after a rejected `attempt` it calls another one). `mark` identifies the state that is read: no other
   * state has the same mark.
   */
  reading(mark: string): void;
  /** Puts the set in force, whole or not at all, and reports the result. */
  offer(offered: OfferedSet): Accepted | Rejected;
  /** As `offer`, but a rejection is not reported: the source then offers another set. */
  attempt(offered: OfferedSet): Accepted | Rejected;
  /** The present state is wrong as a whole, and nothing of it counts. */
  refused(problems: readonly Problem[]): void;
  /** The present state cannot be read. One line, which names what cannot be read. */
  failed(problem: string): void;
  /** The state is changing just now; the source reads it again when it rests. One line. */
  moving(problem: string): void;
  /** How old what was offered may be. Told when it changes; a source that is always asked for all of it says nothing. */
  health(health: SourceHealth): void;
  /** Why an offer of `input` would be rejected; null: it would be accepted. Changes nothing. */
  check(input: PolicyInput): Rejected | null;
  /** What users should know and no set shows, such as that the state does not rest. One line, for the log. */
  notice(message: string): void;
}

export interface SourceHealth {
  /** What may not be what there is; what was read of it last stays in force. */
  readonly stale: readonly StalePart[];
  /** What is in force was kept on disk by an earlier process, at that time; null: it was read since the start. */
  readonly restoredAtMs: number | null;
}

export interface StalePart {
  /** "Pod", "Secret shop/token", "files". */
  readonly part: string;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** One line. */
  readonly problem: string;
}

export const FRESH: SourceHealth = Object.freeze({ stale: [], restoredAtMs: null });

export function isSameHealth(a: SourceHealth, b: SourceHealth): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

export interface OfferedSet {
  readonly input: PolicyInput;
  /**
   * The texts to keep, from which the next start or thread can decode the set again; null: the source reads it again
   * from where it is, or keeps it itself.
   */
  readonly texts: SourceBundle | null;
}
