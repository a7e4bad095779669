/**
 * From a source to a set that can be enforced: offered → checked whole → kept for the next start → told. The proxy and
 * the redirect's loader have one each, so both take and refuse the same sets, and say so in the same words. What is done
 * with a set that was accepted is theirs.
 */
import type { Limits } from '../../model/limits.ts';
import { toldProblems } from '../../observe/told_problems.ts';
import type { IdentityBatch } from '../../policy/identity/delta.ts';
import type { DecodeOptions } from '../decode/context.ts';
import { formatProblem, type Rejected } from '../decode/problem.ts';
import type { NameLearning } from '../names/name_learning.ts';
import type { Accepted, IdentityMove, PolicyChecker } from '../set/policy_checker.ts';
import { EMPTY_INPUT, type PolicyInput, type RefusedDocument } from '../set/policy_input.ts';
import { safelyDecoded } from './files/decode_bundle.ts';
import type { LastGoodSet } from './files/last_good_set.ts';
import type { OfferedSet, PolicySink, PolicySource, SourceHealth } from './source.ts';

export interface PolicyFeedOptions {
  readonly source: PolicySource;
  readonly store: PolicyChecker;
  /** For the set that is kept on disk. */
  readonly decode: DecodeOptions;
  /** Null: nothing is kept on disk, and a first set that is bad is a start that fails, unless everything is denied then. */
  readonly lastGood: LastGoodSet | null;
  /** Everything is denied until there is a good set. Absent: a start without one fails. */
  readonly isDeniedAtFirst?: boolean;
  readonly limits: Pick<Limits, 'policyProblemCountMax'>;
  /** What DNS answers taught; absent: nothing is learned. */
  readonly names?: Pick<NameLearning, 'joined'>;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  readonly events: FeedEvents;
}

export interface FeedEvents {
  /** The source begins to read what the mark says, which may take long; `onStart` or `onRead` is next. */
  onReading(mark: string): void;
  /** Once, for what comes first. */
  onStart(start: FeedStart): void;
  /** `isAsked`: by `refresh`. */
  onRead(read: FeedRead, isAsked: boolean): void;
  /** What is refused alone, endpoints among it, is no longer what it was. Before `onStart` or `onRead`. */
  onRefused(refused: readonly RefusedDocument[]): void;
  /** See `PolicySink.health`. */
  onHealth(health: SourceHealth): void;
  /** See `PolicySink.notice`. */
  onNotice(message: string): void;
}

export interface NewSet {
  readonly kind: 'changed';
  readonly accepted: Accepted;
  readonly offered: OfferedSet;
}

export interface RejectedSet {
  readonly kind: 'rejected';
  /** `failed`: what there is could not be read; `rejected`: what it says cannot be enforced. */
  readonly result: 'rejected' | 'failed';
  /** One line each, bounded; the first are told, and how many more there are. */
  readonly problems: readonly string[];
  /** Of all of them. */
  readonly problemCount: number;
}

/** The policies are those in force; who is who is not. */
export interface NewIdentities {
  readonly kind: 'identities';
  readonly batch: IdentityBatch;
  /** Null: what names have taught; the source offers what it did. */
  readonly offered: OfferedSet | null;
}

export type FeedRead =
  | NewSet
  | NewIdentities
  | { readonly kind: 'same' }
  /** What was in force stays so. */
  | RejectedSet;

export type FeedStart =
  | NewSet
  /** Without a set to fall back on. */
  | RejectedSet
  /** What came first is bad: the set of `savedAt` is in force, or one that denies everything (null). */
  | {
      readonly kind: 'restored';
      readonly accepted: Accepted;
      readonly offered: OfferedSet;
      readonly savedAt: string | null;
      readonly rejected: RejectedSet;
    };

/** The source says something else than what is in force. */
export interface Staleness {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** As in `RejectedSet`. */
  readonly problems: readonly string[];
  readonly problemCount: number;
}

/** Where a feed goes on after another one has ended. */
export interface Resumed {
  readonly staleness: Staleness | null;
  /** That is in force; null: none is. */
  readonly offered: OfferedSet | null;
  /** See `PolicySource.start`. */
  readonly seen: string | null;
}

const NONE: readonly never[] = [];
const NOTHING: OfferedSet = { input: EMPTY_INPUT, texts: null };

export class PolicyFeed {
  readonly #options: PolicyFeedOptions;
  #isStarted = false;
  #staleness: Staleness | null = null;
  #refused: readonly RefusedDocument[] = [];
  /** In force, but for what names have taught. */
  #offered: OfferedSet | null = null;

  constructor(options: PolicyFeedOptions) {
    this.#options = options;
  }

  /** Starts the source. With a folder for state, what comes first always ends with a set in force. */
  start(): void {
    this.#options.source.start(this.#sink(false));
  }

  /**
   * The first of it is known to be bad: an earlier reader did not survive it. `seen` marks what that was. Without a set
   * to fall back on the source is not started.
   */
  startWithout(refusal: string, seen: string | null): void {
    const start = this.#started(this.#reject('failed', [refusal]));
    this.#options.events.onStart(start);
    if (start.kind !== 'rejected') this.#options.source.start(this.#sink(false), seen);
  }

  /** What was in force stays so, and is stale or not. */
  resume({ staleness, offered, seen }: Resumed): void {
    this.#isStarted = true;
    this.#offered = offered;
    this.#staleness = staleness;
    this.#options.source.start(this.#sink(false), seen);
  }

  /** Has the source offer once more what there is; what becomes of it is told before `done` is called. */
  refresh(done: () => void): void {
    this.#options.source.refresh(this.#sink(true), done);
  }

  /** A set is in force. */
  get isStarted(): boolean {
    return this.#isStarted;
  }

  /**
   * Puts in force what names have taught since. Null: nothing can be yet. Else the number of the last batch, with which
   * all of it is.
   */
  learn(): number | null {
    const { names, store } = this.#options;
    const offered = this.#offered;
    if (names === undefined || offered === null || !this.#isStarted) return null;
    const joined = names.joined(offered.input);
    const before = store.currentSet().inventory.learned ?? NONE;
    if ((joined.inventory.learned ?? NONE) !== before) this.#learn(joined, offered);
    return store.current().who?.roster.sequence ?? null;
  }

  #learn(joined: PolicyInput, offered: OfferedSet): void {
    const { store } = this.#options;
    const moved = store.move(joined);
    if (moved !== null) {
      this.#tellRefused(moved.refused);
      const { batch } = moved;
      if (batch !== null) this.#tell({ kind: 'identities', batch, offered: null }, false);
      return;
    }
    const before = store.current().revision;
    const result = store.update(joined);
    if (result.kind === 'rejected') {
      this.#tell(this.#reject('rejected', result.problems.map(formatProblem)), false);
    } else if (result.revision !== before) {
      this.#tell({ kind: 'changed', accepted: result, offered }, false);
    }
  }

  /** Null while what the source says is in force. */
  get staleness(): Staleness | null {
    return this.#staleness;
  }

  /** Takes nothing any more; resolves when what is being kept on disk is. */
  async stop(): Promise<void> {
    await this.#options.source.stop();
    await this.#options.lastGood?.settled();
  }

  #sink(isAsked: boolean): PolicySink {
    const { events, store } = this.#options;
    const tell = (read: FeedRead): void => this.#tell(read, isAsked);
    return {
      reading: (mark) => events.onReading(mark),
      check: (input) => store.check(input),
      notice: (message) => events.onNotice(message),
      health: (health) => events.onHealth(health),
      offer: (offered) => this.#offer(offered, tell),
      attempt: (offered) => this.#attempt(offered, tell),
      refused: (problems) => tell(this.#reject('rejected', problems.map(formatProblem))),
      failed: (problem) => tell(this.#reject('failed', [problem])),
      // A set that nobody has written is no set that is wrong, but to start with there has to be one.
      moving: (problem) =>
        tell(this.#isStarted ? { kind: 'same' } : this.#reject('failed', [problem])),
    };
  }

  #offer(offered: OfferedSet, tell: (read: FeedRead) => void): Accepted | Rejected {
    const result = this.#attempt(offered, tell);
    if (result.kind === 'rejected') {
      tell(this.#reject('rejected', result.problems.map(formatProblem)));
    }
    return result;
  }

  #attempt(offered: OfferedSet, tell: (read: FeedRead) => void): Accepted | Rejected {
    const { store, lastGood } = this.#options;
    const { input, texts } = offered;
    const before = store.current().revision;
    const joined = this.#joined(input);
    const moved = before === 0 ? null : store.move(joined);
    if (moved !== null) {
      this.#offered = offered;
      this.#tellMoved(moved, { offered, tell });
      return moved.accepted;
    }
    const result = store.update(joined);
    if (result.kind === 'rejected') {
      // Names are those of the set that stays in force.
      if (this.#offered !== null) this.#joined(this.#offered.input);
      return result;
    }
    this.#offered = offered;
    this.#staleness = null;
    this.#tellRefused(result.refused);
    if (result.revision === before) {
      tell({ kind: 'same' });
      return result;
    }
    // An empty set may be a folder that failed to mount: it is enforced, and no reason to forget the last one.
    if (!result.isEmpty && texts !== null) lastGood?.save(texts);
    tell({ kind: 'changed', accepted: result, offered });
    return result;
  }

  #joined(input: PolicyInput): PolicyInput {
    return this.#options.names?.joined(input) ?? input;
  }

  #tellMoved(
    { batch, refused }: IdentityMove,
    to: { readonly offered: OfferedSet; readonly tell: (read: FeedRead) => void },
  ): void {
    const { offered, tell } = to;
    const { store, lastGood } = this.#options;
    this.#staleness = null;
    this.#tellRefused(refused);
    if (batch === null) {
      tell({ kind: 'same' });
      return;
    }
    if (!store.currentSet().isEmpty && offered.texts !== null) lastGood?.save(offered.texts);
    tell({ kind: 'identities', batch, offered });
  }

  #tell(read: FeedRead, isAsked: boolean): void {
    const { events } = this.#options;
    if (this.#isStarted) {
      events.onRead(read, isAsked);
      return;
    }
    if (read.kind === 'same' || read.kind === 'identities') {
      throw new Error('the first set is another than none');
    }
    const start = this.#started(read);
    if (start.kind === 'rejected') this.#options.source.stop();
    events.onStart(start);
  }

  #started(read: NewSet | RejectedSet): FeedStart {
    const start = read.kind === 'changed' ? read : this.#withoutFirst(read);
    this.#isStarted = start.kind !== 'rejected';
    return start;
  }

  #tellRefused(refused: readonly RefusedDocument[]): void {
    const isSame =
      refused.length === this.#refused.length &&
      refused.every((one, index) => one === this.#refused[index]);
    if (isSame) return;
    this.#refused = refused;
    this.#options.events.onRefused(refused);
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

  #withoutFirst(rejected: RejectedSet): FeedStart {
    const { lastGood, isDeniedAtFirst = false } = this.#options;
    if (lastGood !== null) return this.#restore(lastGood, rejected);
    return isDeniedAtFirst ? this.#denyAll(rejected, null) : rejected;
  }

  #restore(lastGood: LastGoodSet, rejected: RejectedSet): FeedStart {
    const loaded = lastGood.load();
    if (loaded.kind === 'none') {
      return this.#denyAll(rejected, `${lastGood.path}: ${loaded.message}`);
    }
    const { bundle: texts, savedAt } = loaded;
    const { decode, store } = this.#options;
    const decoded = safelyDecoded(texts, decode);
    const result =
      decoded.kind === 'rejected' ? decoded : store.update(this.#joined(decoded.input));
    if (decoded.kind === 'ok' && result.kind === 'accepted') {
      const offered = { input: decoded.input, texts };
      this.#offered = offered;
      return { kind: 'restored', accepted: result, offered, savedAt, rejected };
    }
    // Of another version of this program, which took what this one refuses.
    const [first] = result.kind === 'rejected' ? result.problems.map(formatProblem) : [];
    return this.#denyAll(rejected, `${lastGood.path}: ${first ?? 'it is rejected'}`);
  }

  /** `why`: not even an old set is in force; null: that is said already. */
  #denyAll(rejected: RejectedSet, why: string | null): FeedStart {
    const result = this.#options.store.update(EMPTY_INPUT);
    if (result.kind === 'rejected') throw new Error('a set of nothing was rejected');
    // Behind what is told of the source, however much that is.
    const told = this.#stale(
      why === null
        ? rejected
        : {
            ...rejected,
            problems: [...rejected.problems, why],
            problemCount: rejected.problemCount + 1,
          },
    );
    return {
      kind: 'restored',
      accepted: result,
      offered: NOTHING,
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
