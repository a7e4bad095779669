/**
 * Holds the snapshot in force. An update builds the whole next snapshot, then replaces one
 * reference; an input that is rejected leaves everything as it was. Before the first
 * accepted input everything is denied.
 */
import type { Limits } from '../../model/limits.ts';
import { denyAllSnapshot } from '../../policy/compile/compile.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { IdentityBatch } from '../../policy/identity/delta.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import { WHOLE_SET } from '../decode/place.ts';
import { type Problem, type Rejected, rejected } from '../decode/problem.ts';
import {
  type BuildOptions,
  type BuildResult,
  type BuiltRules,
  buildRules,
  buildSnapshot,
  type KnownWho,
} from './build_snapshot.ts';
import { IdentityTracker } from './identity_tracker.ts';
import {
  EMPTY_INPUT,
  isSameInput,
  type PolicyInput,
  type RefusedDocument,
} from './policy_input.ts';
import { PolicySet } from './policy_set.ts';
import type { ResolvedSet } from './resolved_set.ts';

export interface PolicyCheckerOptions {
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  /** See `BuildOptions.isEmptySetOpen`; absent is false. */
  readonly isEmptySetOpen?: boolean;
  /** See `BuildOptions.isHostJudged`; absent is false. */
  readonly isHostJudged?: boolean;
  /** See `TableOptions.areInterfacesFound`; absent is false. */
  readonly areInterfacesFound?: boolean;
  /** Default: one that has given nothing yet, and gives no number to another one. */
  readonly allocator?: IdentityAllocator;
}

export interface Accepted {
  readonly kind: 'accepted';
  readonly revision: number;
  /** For those who compile it, too. */
  readonly set: ResolvedSet;
  /** Who is who was in force before, after the last batch. */
  readonly isWhoSame: boolean;
  /** Without any policy. */
  readonly isEmpty: boolean;
  readonly warnings: readonly Problem[];
  /** What the source refused alone, and endpoints that are denied: rules exclude each other there, or no number is left for their labels. */
  readonly refused: readonly RefusedDocument[];
}

export type UpdateResult = Accepted | Rejected;

interface Taken {
  readonly input: PolicyInput;
  readonly result: UpdateResult;
}

type Built =
  | { readonly known: null; readonly built: BuildResult }
  /** Who is who stays as it is. */
  | { readonly known: KnownWho; readonly built: BuiltRules | Rejected };

/** Who is who in the set in force has changed. */
export interface IdentityMove {
  /** Null: nobody is anybody else. */
  readonly batch: IdentityBatch | null;
  /** As it was when the set was taken as a whole. */
  readonly accepted: Accepted;
  /** See `Accepted.refused`. */
  readonly refused: readonly RefusedDocument[];
}

export class PolicyChecker {
  readonly #options: PolicyCheckerOptions;
  readonly #allocator: IdentityAllocator;
  readonly #identities: IdentityTracker;
  #snapshot: PolicySnapshot;
  /** That `#snapshot` was made of. */
  #set = new PolicySet(EMPTY_INPUT);
  /** Of `#set` when it was taken as a whole. */
  #accepted: Accepted | null = null;
  /** The last input, accepted or not, and the one in force, with what became of them: the same again changes nothing. */
  #last: Taken | null = null;
  #inForce: Taken | null = null;

  constructor(options: PolicyCheckerOptions) {
    this.#options = options;
    this.#allocator = options.allocator ?? new IdentityAllocator(options.limits);
    this.#identities = new IdentityTracker({ ...options, allocator: this.#allocator });
    const ipcache = { lookup: () => null };
    this.#snapshot = denyAllSnapshot({ ipcache, labels: { labelsOf: () => [] } });
  }

  /** The snapshot to judge by; keep it for one decision, not for the next one. */
  current(): PolicySnapshot {
    return this.#snapshot;
  }

  /** What the current snapshot was made of; without any policy before the first. */
  currentSet(): PolicySet {
    return this.#set;
  }

  /** `revision`: greater than the current one, given by a caller that numbers inputs; else counted here. */
  update(input: PolicyInput, revision = this.#snapshot.revision + 1): UpdateResult {
    for (const taken of [this.#last, this.#inForce]) {
      if (taken !== null && isSameInput(taken.input, input)) return taken.result;
    }
    const result = this.#take(input, revision);
    this.#last = { input, result };
    if (result.kind === 'accepted') this.#inForce = this.#last;
    return result;
  }

  /**
   * Takes an input that only says who else is who: nothing is compiled. Null: it is another set of policies, or one
   * that `update` rejects.
   */
  move(input: PolicyInput): IdentityMove | null {
    const accepted = this.#accepted;
    const moved = accepted === null ? null : this.#move(input, accepted);
    if (moved === null) this.#allocator.forgetAsked();
    return moved;
  }

  #move(input: PolicyInput, accepted: Accepted): IdentityMove | null {
    if (this.#inForce !== null && isSameInput(this.#inForce.input, input)) {
      return { batch: null, accepted, refused: this.#refused(input) };
    }
    const set = new PolicySet(input, this.#set);
    const previous = this.#snapshot;
    try {
      const change = this.#identities.change(set);
      if (change === null) return null;
      const { batch, workloads } = change;
      if (batch === null) {
        const isSame = JSON.stringify(workloads) === JSON.stringify(previous.node.workloads);
        if (!isSame) return null;
      } else {
        this.#snapshot = previous.after(batch, workloads);
        if (this.#snapshot.who !== null) this.#identities.share(this.#snapshot.who.roster);
      }
      this.#set = change.set;
      this.#last = null;
      this.#inForce = { input, result: accepted };
      return { batch, accepted, refused: this.#refused(input) };
    } catch {
      // Also for a fault of ours: a whole set needs none of this, and whatever is wrong with the input is told there.
      this.#identities.goOnAfter(this.#identities.sequence);
      return null;
    }
  }

  /** As it was before somebody went on in the place of another, whose batches went up to `sequence`. */
  restore(
    input: PolicyInput,
    { revision, sequence }: { readonly revision: number; readonly sequence: number },
  ): UpdateResult {
    const result = this.update(input, revision);
    this.#identities.goOnAfter(sequence);
    return result;
  }

  /** The set in force with who is who now; null before the first. */
  resolved(): ResolvedSet | null {
    return this.#accepted === null ? null : this.#identities.current(this.#accepted.set);
  }

  /** Why an input would be rejected; null: it would not. Changes nothing. */
  check(input: PolicyInput): Rejected | null {
    const { built } = this.#build(new PolicySet(input), this.#snapshot.revision + 1);
    this.#allocator.forgetAsked();
    return built.kind === 'rejected' ? built : null;
  }

  /** Sets the snapshot when the whole of the next one stands. */
  #take(input: PolicyInput, revision: number): UpdateResult {
    const set = new PolicySet(input);
    const { built, known } = this.#build(set, revision);
    if (built.kind === 'rejected') {
      this.#allocator.forgetAsked();
      return built;
    }
    if (known === null) this.#identities.took(built);
    else this.#identities.tookRules(built, known);
    this.#snapshot = built.snapshot;
    this.#set = built.set;
    const warnings = [...input.warnings, ...built.warnings];
    const isWhoSame = known !== null;
    const facts = { revision, set: built.resolved, isWhoSame, isEmpty: set.isEmpty, warnings };
    this.#accepted = { ...facts, kind: 'accepted', refused: this.#refused(input) };
    return this.#accepted;
  }

  /** Of an input that is in force. */
  #refused({ refused }: PolicyInput): readonly RefusedDocument[] {
    const denied = this.#identities.refused();
    return denied.length === 0 ? refused : [...refused, ...denied];
  }

  #build(set: PolicySet, revision: number): Built {
    const options: BuildOptions = {
      ...this.#options,
      revision,
      allocator: this.#allocator,
      subjects: this.#identities.subjects,
      sequenceOf: (whole) => this.#identities.sequenceOf(whole),
      isEmptySetOpen: this.#options.isEmptySetOpen ?? false,
      previous: this.#snapshot,
    };
    try {
      const known = this.#identities.known(set);
      return known === null
        ? { known, built: buildSnapshot(set, options) }
        : { known, built: buildRules(set, known, options) };
    } catch (error) {
      // A fault of ours in one policy set must not take down a proxy that has a good one.
      const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      return { known: null, built: rejected([{ place: WHOLE_SET, field: '', message }]) };
    }
  }
}
