/**
 * From the files to a set that can be enforced: read → settled? → checked whole → kept for the next start. The
 * proxy and the redirect's loader have one each, so both take and refuse the same sets, and say so in the same
 * words. What is done with a set that was accepted is theirs.
 */
import type { Limits } from '../../model/limits.ts';
import { toldProblems } from '../../observe/told_problems.ts';
import type { DecodeOptions } from '../decode/context.ts';
import { WHOLE_SET } from '../decode/place.ts';
import { formatProblem, rejected } from '../decode/problem.ts';
import { EMPTY_INPUT } from '../set/policy_input.ts';
import type { PolicyStore, UpdateResult } from '../set/policy_store.ts';
import { type DecodedBundle, decodeBundle } from './files/decode_bundle.ts';
import { DecodedFiles } from './files/decoded_files.ts';
import type { FileSource, ReadResult } from './files/file_source.ts';
import type { LastGoodSet } from './files/last_good_set.ts';
import { EMPTY_BUNDLE, type SourceBundle } from './files/source_bundle.ts';
import { unfinishedFiles } from './files/unfinished_files.ts';

export interface PolicyFeedOptions {
  readonly source: FileSource;
  readonly store: PolicyStore;
  readonly decode: DecodeOptions;
  /** Null: nothing is kept on disk, and a first set that is bad is a start that fails. */
  readonly lastGood: LastGoodSet | null;
  readonly limits: Pick<Limits, 'policyProblemCountMax'>;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** The source has a fingerprint of the files; that they are read and checked may take long. */
  readonly beforeRead?: () => void;
}

type Accepted = Extract<UpdateResult, { kind: 'accepted' }>;

export interface NewSet {
  readonly kind: 'changed';
  readonly accepted: Accepted;
  readonly bundle: SourceBundle;
}

export interface RejectedSet {
  readonly kind: 'rejected';
  /** `failed`: the files could not be read; `rejected`: what they say cannot be enforced. */
  readonly result: 'rejected' | 'failed';
  /** One line each, bounded; the first are told, and how many more there are. */
  readonly problems: readonly string[];
  /** Of all of them. */
  readonly problemCount: number;
}

export type FeedRead =
  | NewSet
  | { readonly kind: 'same' }
  /** What was in force stays so. */
  | RejectedSet;

export type FeedStart =
  | NewSet
  /** Without a set to fall back on. */
  | RejectedSet
  /** The files are bad: the set of `savedAt` is in force, or one that denies everything (null). */
  | {
      readonly kind: 'restored';
      readonly accepted: Accepted;
      readonly bundle: SourceBundle;
      readonly savedAt: string | null;
      readonly rejected: RejectedSet;
    };

/** The files say something else than what is in force. */
export interface Staleness {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** As in `RejectedSet`. */
  readonly problems: readonly string[];
  readonly problemCount: number;
}

export class PolicyFeed {
  readonly source: FileSource;
  readonly #options: PolicyFeedOptions;
  readonly #files = new DecodedFiles();
  #staleness: Staleness | null = null;

  constructor(options: PolicyFeedOptions) {
    this.#options = options;
    this.source = options.source;
  }

  /**
   * The first read. With a folder for state it always ends with a set in force. `refusal`: why the files are not to
   * be read.
   */
  start(refusal: string | null = null): FeedStart {
    const read =
      refusal === null
        ? this.#take(this.source.read(this.#options.beforeRead))
        : this.#reject('failed', [refusal]);
    if (read.kind === 'changed') return read;
    if (read.kind === 'same') throw new Error('a feed was started twice');
    const { lastGood } = this.#options;
    if (lastGood === null) return read;
    return this.#restore(lastGood, read);
  }

  /** Reads the files, and takes them over if all of them are good. */
  read(): FeedRead {
    const read = this.source.read(this.#options.beforeRead);
    // A set that nobody has written is no set that is wrong: the watch comes again when the files rest.
    return read.kind === 'moving' ? { kind: 'same' } : this.#take(read);
  }

  /** For a feed that goes on where another has ended: what was in force stays so, and is stale or not. */
  goOn(staleness: Staleness | null): void {
    this.#staleness = staleness;
  }

  /** Null while what the files say is in force. */
  get staleness(): Staleness | null {
    return this.#staleness;
  }

  /** Watches nothing any more; resolves when what is being kept on disk is. */
  async stop(): Promise<void> {
    this.source.stop();
    await this.#options.lastGood?.settled();
  }

  #take(read: ReadResult): FeedRead {
    const { store, lastGood } = this.#options;
    if (read.kind !== 'ok') return this.#reject('failed', [read.message]);
    const { bundle } = read;
    const unfinished = unfinishedFiles(bundle);
    // Also the first time: what is in force may be of a process before us.
    if (unfinished.length > 0) return this.#reject('rejected', unfinished);
    const before = store.current().revision;
    const decoded = this.#decode(bundle);
    if (decoded.kind === 'rejected') {
      store.forgetLast();
      return this.#reject('rejected', decoded.problems.map(formatProblem));
    }
    const result = store.update(decoded.input);
    if (result.kind === 'rejected') {
      return this.#reject('rejected', result.problems.map(formatProblem));
    }
    this.#staleness = null;
    if (result.revision === before) return { kind: 'same' };
    // An empty set may be a folder that failed to mount: it is enforced, and no reason to forget the last one.
    if (!result.isEmpty) lastGood?.save(bundle);
    return { kind: 'changed', accepted: result, bundle };
  }

  #decode(bundle: SourceBundle): DecodedBundle {
    try {
      return decodeBundle(bundle, this.#options.decode, this.#files);
    } catch (error) {
      // A fault of ours in one policy set must not take down a proxy that has a good one.
      const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      return rejected([{ place: WHOLE_SET, field: '', message }]);
    }
  }

  #reject(result: RejectedSet['result'], all: readonly string[]): RejectedSet {
    const countMax = this.#options.limits.policyProblemCountMax;
    const problems = toldProblems(all, { textOf: (one) => one, countMax });
    return this.#stale({ kind: 'rejected', result, problems, problemCount: all.length });
  }

  #stale(rejected: RejectedSet): RejectedSet {
    const { problems, problemCount } = rejected;
    const sinceMs = this.#staleness?.sinceMs ?? this.#options.wallMs();
    this.#staleness = { sinceMs, problems, problemCount };
    return rejected;
  }

  #restore(lastGood: LastGoodSet, rejected: RejectedSet): FeedStart {
    const loaded = lastGood.load();
    if (loaded.kind === 'none') {
      return this.#denyAll(rejected, `${lastGood.path}: ${loaded.message}`);
    }
    const { bundle, savedAt } = loaded;
    const decoded = this.#decode(bundle);
    const result =
      decoded.kind === 'rejected' ? decoded : this.#options.store.update(decoded.input);
    if (result.kind === 'accepted') {
      return { kind: 'restored', accepted: result, bundle, savedAt, rejected };
    }
    // Of another version of this program, which took what this one refuses.
    const [first = 'it is rejected'] = result.problems.map(formatProblem);
    return this.#denyAll(rejected, `${lastGood.path}: ${first}`);
  }

  #denyAll(rejected: RejectedSet, why: string): FeedStart {
    const result = this.#options.store.update(EMPTY_INPUT);
    if (result.kind === 'rejected') throw new Error('a set of nothing was rejected');
    // Behind what is told of the files, however much that is: it says why not even an old set is in force.
    const told = this.#stale({
      ...rejected,
      problems: [...rejected.problems, why],
      problemCount: rejected.problemCount + 1,
    });
    return {
      kind: 'restored',
      accepted: result,
      bundle: EMPTY_BUNDLE,
      savedAt: null,
      rejected: told,
    };
  }
}

/** For the log, when a set without any policy is in force. */
export function emptySetText(isOpen: boolean): string {
  return isOpen
    ? 'no policies: every endpoint is open (allowEmptyPolicySet)'
    : 'no policies: everything is denied, as the folder may have failed to mount (allowEmptyPolicySet: true opens every endpoint instead)';
}
