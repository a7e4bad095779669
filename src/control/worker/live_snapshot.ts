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
 *
 * Where only rules are others, they are compiled for who is who in force, which stays the very same object: addresses and
 * labels of a large cluster are not read again for a policy of one pod.
 */

import type { Limits } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { Platform } from '../../platform/platform.ts';
import { Turns } from '../../platform/turns.ts';
import { type CompileProblem, denyAllSnapshot } from '../../policy/compile/compile.ts';
import { prepareViews } from '../../policy/compile/prepare.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import {
  BrokenTableError,
  type EndpointPlace,
  type IdentityBatch,
} from '../../policy/identity/delta.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import type { ServiceBatch } from '../../policy/identity/service_table.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { errorText } from '../../text/error_text.ts';
import { placedPolicies, placesOf } from '../set/identity_whole.ts';
import { compileSet, type ResolvedPolicies, type ResolvedSet } from '../set/resolved_set.ts';
import { decodeBatch, type SentBatch } from './identity_wire.ts';
import {
  decodeResolved,
  decodeRules,
  type ResolvedParts,
  type ResolvedRules,
} from './resolved_wire.ts';
import { decodeServices, type SentServices } from './service_wire.ts';

/** One consistent read of all sources, numbered in the order in which it was accepted. */
export interface NumberedSet {
  readonly revision: number;
  readonly parts: ResolvedParts;
  /** That came since, in the place of the rules in `parts`; absent: none did. */
  readonly rules?: ResolvedParts;
}

/** Other rules for who is who in force, wherever they come. */
export interface NumberedRules {
  readonly revision: number;
  readonly parts?: never;
  readonly rules: ResolvedParts;
}

export type PolicyUpdate = NumberedSet | NumberedRules;

/** What is in force where `update` came after `before`. */
export function newest(before: NumberedSet, update: PolicyUpdate): NumberedSet {
  if (update.parts !== undefined) return update;
  const { revision, rules } = update;
  return { revision, parts: before.parts, rules };
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
  /** Right after they are in force. */
  onServices(batch: ServiceBatch): void;
  /** A batch of Services does not fit: those in force stay so until all of them come. */
  onServicesBroken(sequence: number, problem: string): void;
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
  #next: PolicyUpdate | null = null;
  /** That came since the set that is being compiled, or waits for it; each after the set of that number. */
  #since: { readonly batch: IdentityBatch; readonly after: number }[] = [];
  /** Of the set that came last. */
  #newest = 0;
  #isBroken = false;
  /** Until all of them come. */
  #areServicesBroken = false;
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
    const made = finish(this.#make(set, this.#snapshot));
    if (made.kind === 'refused') return made;
    this.#snapshot = made.snapshot.withServices(this.#snapshot.services);
    return { kind: 'taken', set: made.set };
  }

  update(set: PolicyUpdate): void {
    const before = this.#next;
    this.#newest = set.revision;
    this.#next = before?.parts === undefined ? set : newest(before, set);
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
      if (this.#isPending) this.#since.push({ batch, after: this.#newest });
      // Who is told that one does not fit sends all of them again: the set that comes with them is waited for. An
      // endpoint that comes waits for rules that came before it: those in force may leave it open.
      const isNext = batch.sequence === this.sequence + 1 && !bringsEndpoint(batch);
      if (this.#isPending && (this.#isBroken || !isNext)) return;
      this.#apply(batch);
    } catch (error) {
      this.#broke(sent.sequence, error);
    }
  }

  /**
   * In force when it returns, also for the set that is being compiled: what is behind an address hangs neither on rules
   * nor on who that is.
   */
  services(sent: SentServices): void {
    if (this.#areServicesBroken && !sent.isWhole) return;
    const { services } = this.#snapshot;
    try {
      const batch = decodeServices(sent);
      this.#areServicesBroken = false;
      this.#snapshot = this.#snapshot.withServices(services.after(batch));
      this.#options.events.onServices(batch);
    } catch (error) {
      this.#areServicesBroken = true;
      this.#options.events.onServicesBroken(sent.sequence, errorText(error));
    }
  }

  get #isPending(): boolean {
    return this.#next !== null || this.#isMaking;
  }

  #apply(batch: IdentityBatch): void {
    this.#snapshot = this.#snapshot.after(batch);
    this.#options.events.onIdentities(batch);
  }

  /**
   * With what came while the set of that number was made; what it has in it already is passed over. An endpoint that
   * came after other rules goes on waiting for them.
   */
  #caughtUp(made: PolicySnapshot, revision: number): PolicySnapshot {
    let snapshot = made;
    try {
      for (const { batch, after } of this.#since) {
        const sequence = snapshot.who?.roster.sequence ?? 0;
        if (this.#next !== null && after > revision && bringsEndpoint(batch)) break;
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

  /** What rules are made for: what is in force with all that waits. Null: who is who is broken. */
  #ahead(): PolicySnapshot | null {
    if (this.#isBroken) return null;
    const ahead = this.#caughtUp(this.#snapshot, this.#newest);
    return this.#isBroken ? null : ahead;
  }

  #broke(sequence: number, error: unknown): void {
    this.#isBroken = true;
    this.#options.events.onBroken(sequence, errorText(error));
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
    const base = set.parts === undefined ? this.#ahead() : this.#snapshot;
    this.#next = null;
    // Whoever was told that a batch does not fit sends all of it, these rules among it.
    if (base === null) {
      this.#since = [];
      return;
    }
    this.#isBusy = true;
    this.#isMaking = true;
    const { events } = this.#options;
    this.#turns.begin({
      steps: this.#make(set, base),
      onDone: (made) => {
        this.#isMaking = false;
        if (made.kind === 'refused') {
          this.#snapshot = this.#caughtUp(this.#snapshot, set.revision);
          events.onRefused(set.revision, made.problems);
          this.#goOn();
        } else {
          this.#isBroken = false;
          const { services } = this.#snapshot;
          this.#snapshot = this.#caughtUp(made.snapshot.withServices(services), set.revision);
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
  *#make(set: PolicyUpdate, previous: PolicySnapshot): Steps<Made> {
    const { regexEngine, limits, events } = this.#options;
    const { revision } = set;
    try {
      const resolved = yield* set.parts === undefined
        ? rulesFor(previous, set.rules)
        : wholeOf(set);
      const compiled = yield* compileSet(resolved, { revision, regexEngine, limits, previous });
      if (compiled.kind === 'error') {
        return { kind: 'refused', problems: compiled.problems.map(problemText) };
      }
      const { snapshot } = compiled;
      yield* prepareViews(snapshot, this.#snapshot, limits.viewCacheCountMax);
      if (events.prepare !== undefined) yield* events.prepare(snapshot);
      return { kind: 'made', snapshot, set: { revision, secrets: resolved.secrets } };
    } catch (error) {
      return { kind: 'refused', problems: [`internal error: ${errorText(error)}`] };
    }
  }
}

function bringsEndpoint({ deltas }: IdentityBatch): boolean {
  return deltas.some(({ kind }) => kind === 'upsert-endpoint');
}

type Made =
  | { readonly kind: 'made'; readonly snapshot: PolicySnapshot; readonly set: TakenSet }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

function* wholeOf({ parts, rules }: NumberedSet): Steps<ResolvedSet> {
  const whole = yield* decodeResolved(parts);
  if (rules === undefined) return whole;
  // Batches that come after `parts` end where the rules begin.
  return resolvedFor(yield* decodeRules(rules), whole.roster, placesOf(whole.enforced.policies));
}

/** Whoever has come or gone since the rules were resolved is who the snapshot has. */
function* rulesFor(snapshot: PolicySnapshot, parts: ResolvedParts): Steps<ResolvedSet> {
  const roster = snapshot.who?.roster ?? null;
  const rules = yield* decodeRules(parts);
  if (roster === null || roster.sequence < rules.sequence) {
    throw new Error(`rules of after batch ${rules.sequence} came before it`);
  }
  return resolvedFor(rules, roster, snapshot.places());
}

/** The rules of each subject, at the endpoints that have it. */
function resolvedFor(
  { enforced, shadow, secrets, workloads }: ResolvedRules,
  roster: Roster,
  places: readonly EndpointPlace[],
): ResolvedSet {
  const placed = ({ policies, names }: ResolvedPolicies): ResolvedPolicies => ({
    policies: placedPolicies(policies, places),
    names,
  });
  return {
    enforced: placed(enforced),
    shadow: shadow === null ? null : placed(shadow),
    roster,
    secrets,
    workloads,
  };
}

/** Where a rule stands in its file is the supervisor's to say, which refuses such a set itself. */
function problemText({ endpoint, origin, message }: CompileProblem): string {
  return origin === null
    ? `${endpoint}: ${message}`
    : `${endpoint}: ${origin.rule} of ${origin.policy}: ${message}`;
}
