/**
 * A worker's snapshot in force. A new set is compiled in turns with the traffic that this thread serves, whole,
 * beside the one in force; then one reference changes. The newest set wins: of those that come meanwhile only
 * the last is taken up, after the one at hand, so that sets that come faster than they compile are still
 * put in force.
 *
 *     update 2 ──► [compile 2 . . . . .] swap ─► [compile 4 . . . .] swap
 *     update 3 ─────────►│    │
 *     update 4 ──────────────►│ (3 is never compiled)
 */
import type { Limits } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { Platform } from '../../platform/platform.ts';
import { Turns } from '../../platform/turns.ts';
import { type CompileProblem, denyAllSnapshot } from '../../policy/compile/compile.ts';
import { prepareViews } from '../../policy/compile/prepare.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { compileSet } from '../set/resolved_set.ts';
import { decodeResolved, type ResolvedParts } from './resolved_wire.ts';

/** One consistent read of all sources, numbered in the order in which it was accepted. */
export interface NumberedSet {
  readonly revision: number;
  readonly parts: ResolvedParts;
}

export interface SnapshotStoreOptions {
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
}

export interface TakenSet {
  readonly revision: number;
  readonly secrets: ReadonlyMap<string, string>;
}

export type TakeResult =
  | { readonly kind: 'taken'; readonly set: TakenSet }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

export class SnapshotStore {
  readonly #options: SnapshotStoreOptions;
  readonly #turns: Turns;
  #snapshot: PolicySnapshot;
  #next: NumberedSet | null = null;
  #isBusy = false;

  constructor(options: SnapshotStoreOptions) {
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
    const { events } = this.#options;
    this.#turns.begin({
      steps: this.#make(set),
      onDone: (made) => {
        if (made.kind === 'refused') {
          events.onRefused(set.revision, made.problems);
          this.#goOn();
        } else {
          this.#snapshot = made.snapshot;
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
