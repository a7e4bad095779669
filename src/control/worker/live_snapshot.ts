/**
 * A worker's snapshot in force. A new set is compiled in turns with the traffic that this thread serves, whole,
 * beside the one in force; then one reference changes. The newest set wins: of those that come meanwhile only
 * the last is taken up, after the one at hand, so that sets that come faster than they compile are still
 * put in force.
 *
 *     update 2 ──► [compile 2 . . . . .] swap ─► [compile 4 . . . .] swap
 *     update 3 ─────────►│    │
 *     update 4 ──────────────►│ (3 is never compiled)
 *
 * Batches of identities are in force as soon as they come, for the set in force and for the one that is being
 * compiled. Where that one brings another who is who itself, what comes after it waits for it.
 */
import type { Limits } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { Platform } from '../../platform/platform.ts';
import { Turns } from '../../platform/turns.ts';
import { type CompileProblem, denyAllSnapshot } from '../../policy/compile/compile.ts';
import { prepareViews } from '../../policy/compile/prepare.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { BrokenTableError, type IdentityBatch } from '../../policy/identity/delta.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { compileSet } from '../set/resolved_set.ts';
import { decodeBatch, type SentBatch } from './identity_wire.ts';
import { decodeResolved, type ResolvedParts } from './resolved_wire.ts';

/** One consistent read of all sources, numbered in the order in which it was accepted. */
export interface NumberedSet {
  readonly revision: number;
  readonly parts: ResolvedParts;
}

export interface LiveSnapshotOptions {
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  readonly platform: Pick<Platform, 'clock' | 'soon'>;
  readonly events: SnapshotStoreEvents;
}

export interface SnapshotStoreEvents {
  /** What others make of a snapshot before it is put in force. It is not when the store is stopped. */
  prepare?(next: PolicySnapshot): Steps<void>;
  /** Right after the swap. Nothing else is taken up before `done` is called. */
  onSwap(taken: TakenSet, done: () => void): void;
  /** What was in force stays so. One line each. */
  onRefused(revision: number, problems: readonly string[]): void;
  /** Right after the swap; not for batches that come into force with a set. */
  onIdentities(batch: IdentityBatch): void;
  /** A batch does not fit: who is who stays what it was until a whole set comes. */
  onBroken(sequence: number, problem: string): void;
}

export interface TakenSet {
  readonly revision: number;
  readonly secrets: ReadonlyMap<string, string>;
}

export type TakeResult =
  | { readonly kind: 'taken'; readonly set: TakenSet }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

export class LiveSnapshot {
  readonly #options: LiveSnapshotOptions;
  readonly #turns: Turns;
  #snapshot: PolicySnapshot;
  #next: NumberedSet | null = null;
  /** That came since the set that is being compiled, or waits for it. */
  #since: IdentityBatch[] = [];
  #isBroken = false;
  /** A set is being compiled. */
  #isMaking = false;
  #isBusy = false;

  constructor(options: LiveSnapshotOptions) {
    const { platform, limits } = options;
    this.#options = options;
    this.#turns = new Turns(platform, limits.policyTurnMs);
    const ipcache = { lookup: () => null };
    this.#snapshot = denyAllSnapshot({ ipcache, labels: { labelsOf: () => [] } });
  }

  /** The snapshot to judge by; keep it for one decision, not for the next one. */
  current(): PolicySnapshot {
    return this.#snapshot;
  }

  /** All at once, and without a word to `events`: before anything is served. */
  take(set: NumberedSet): TakeResult {
    const made = finish(this.#make(set));
    if (made.kind === 'refused') return made;
    this.#snapshot = made.snapshot;
    return { kind: 'taken', set: made.set };
  }

  update(set: NumberedSet): void {
    this.#next = set;
    if (!this.#isBusy) this.#begin();
  }

  /** Of the last batch that is in force. */
  get sequence(): number {
    return this.#snapshot.who?.roster.sequence ?? 0;
  }

  /** In force when it returns, unless it waits for a set. */
  identities(sent: SentBatch): void {
    if (this.#isBroken && !this.#isPending) return;
    try {
      const batch = decodeBatch(sent);
      if (this.#isPending) this.#since.push(batch);
      // Who is told that one does not fit sends all of them again: the set that comes with them is waited for.
      if (this.#isPending && (this.#isBroken || batch.sequence !== this.sequence + 1)) return;
      this.#apply(batch);
    } catch (error) {
      this.#broke(sent.sequence, error);
    }
  }

  get #isPending(): boolean {
    return this.#next !== null || this.#isMaking;
  }

  #apply(batch: IdentityBatch): void {
    this.#snapshot = this.#snapshot.after(batch);
    this.#options.events.onIdentities(batch);
  }

  /** With what came while it was made; what it has in it already is passed over. */
  #caughtUp(made: PolicySnapshot): PolicySnapshot {
    let snapshot = made;
    try {
      for (const batch of this.#since) {
        const sequence = snapshot.who?.roster.sequence ?? 0;
        if (batch.sequence === sequence + 1) snapshot = snapshot.after(batch);
        else if (batch.sequence > sequence && this.#next === null) {
          throw new BrokenTableError(`batch ${batch.sequence} came after batch ${sequence}`);
        }
      }
    } catch (error) {
      this.#broke(snapshot.who?.roster.sequence ?? 0, error);
    }
    // Another set is there already: what came after that one is for it, too.
    if (this.#next === null) this.#since = [];
    return snapshot;
  }

  #broke(sequence: number, error: unknown): void {
    this.#isBroken = true;
    const problem = error instanceof Error ? error.message : String(error);
    this.#options.events.onBroken(sequence, problem);
  }

  /** What is under way is put down for good. */
  stop(): void {
    this.#next = null;
    this.#isBusy = true;
    this.#turns.stop();
  }

  #begin(): void {
    const set = this.#next;
    if (set === null) return;
    this.#next = null;
    this.#isBusy = true;
    this.#isMaking = true;
    const { events } = this.#options;
    this.#turns.begin({
      steps: this.#make(set),
      onDone: (made) => {
        this.#isMaking = false;
        if (made.kind === 'refused') {
          events.onRefused(set.revision, made.problems);
          this.#goOn();
        } else {
          this.#isBroken = false;
          this.#snapshot = this.#caughtUp(made.snapshot);
          events.onSwap(made.set, () => this.#goOn());
        }
      },
    });
  }

  #goOn(): void {
    this.#isBusy = false;
    this.#begin();
  }

  /** An exception changes nothing: it is a set that cannot be taken. */
  *#make({ revision, parts }: NumberedSet): Steps<Made> {
    const { regexEngine, limits, events } = this.#options;
    try {
      const resolved = yield* decodeResolved(parts);
      const compiled = yield* compileSet(resolved, { revision, regexEngine, limits });
      if (compiled.kind === 'error') {
        return { kind: 'refused', problems: compiled.problems.map(problemText) };
      }
      const { snapshot } = compiled;
      yield* prepareViews(snapshot, this.#snapshot, limits.viewCacheCountMax);
      if (events.prepare !== undefined) yield* events.prepare(snapshot);
      return { kind: 'made', snapshot, set: { revision, secrets: resolved.secrets } };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { kind: 'refused', problems: [`internal error: ${message}`] };
    }
  }
}

type Made =
  | { readonly kind: 'made'; readonly snapshot: PolicySnapshot; readonly set: TakenSet }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** Where a rule stands in its file is the supervisor's to say, which refuses such a set itself. */
function problemText({ endpoint, origin, message }: CompileProblem): string {
  return origin === null
    ? `${endpoint}: ${message}`
    : `${endpoint}: ${origin.rule} of ${origin.policy}: ${message}`;
}
