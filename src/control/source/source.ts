/**
 * The border by which policy comes in. A source knows where policy is and how it is read; it offers what it decoded.
 * The sink checks it, puts it in force and says so. Neither knows the other's insides, so a folder of files, a watch of
 * an API and a stream of xDS are alike from here on.
 *
 * What is refused alone belongs to the source. Files are one set that somebody wrote: one fault in it, and nothing of it
 * counts (`refused`). Objects of an API are many people's: a bad one is left out and told (`PolicyInput.refused`).
 */
import type { Problem, Rejected } from '../decode/problem.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import type { Accepted } from '../set/policy_store.ts';
import type { SourceBundle } from './files/source_bundle.ts';

export interface PolicySource {
  /** For messages: "files". */
  readonly name: string;
  /**
   * Offers what there is, and each change from then on. `seen`: a mark that `reading` gave to an earlier process or
   * thread, which did not survive what it read; the source passes over what it marks until that changes.
   */
  start(sink: PolicySink, seen?: string | null): void;
  /** Offers to `sink` what there is now, unless that has just been offered, and then calls `done`. */
  refresh(sink: PolicySink, done: () => void): void;
  stop(): void;
}

export interface PolicySink {
  /**
   * The source begins to read and decode, which may take long. One of the methods below follows, all but `check`,
   * `attempt` that was rejected, and `delayed`. `mark` tells what is read from everything else that ever is.
   */
  reading(mark: string): void;
  /** Puts it in force, whole or not at all, and says so. */
  offer(offered: OfferedSet): Accepted | Rejected;
  /** As `offer`, but a set that is rejected is not told: the source offers another one. */
  attempt(offered: OfferedSet): Accepted | Rejected;
  /** What there is is wrong as a whole; nothing of it counts. */
  refused(problems: readonly Problem[]): void;
  /** What there is cannot be read. One line, which names what that is. */
  failed(problem: string): void;
  /** What there is changes just now; it is read again when it rests. One line. */
  moving(problem: string): void;
  /** Why an offer of it would be rejected; null: it would not. Changes nothing. */
  check(input: PolicyInput): Rejected | null;
  /** Changes have not been offered for long, because what there is does not rest. One line, for the log. */
  delayed(message: string): void;
}

export interface OfferedSet {
  readonly input: PolicyInput;
  /** What it can be decoded from again, to be kept on disk for the next start; null: it is not kept. */
  readonly texts: SourceBundle | null;
}
