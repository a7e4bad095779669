/**
 * Holds the snapshot in force. An update builds the whole next snapshot, then replaces one
 * reference, then tells; an input that is rejected leaves everything as it was. Before the first
 * accepted input everything is denied.
 */
import type { Limits } from '../../model/limits.ts';
import { denyAllSnapshot } from '../../policy/compile/compile.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import { WHOLE_SET } from '../decode/place.ts';
import { type Problem, type Rejected, rejected } from '../decode/problem.ts';
import { type BuildResult, buildSnapshot } from './build_snapshot.ts';
import { EMPTY_INPUT, isSameInput, type PolicyInput } from './policy_input.ts';
import { PolicySet } from './policy_set.ts';
import type { ResolvedSet } from './resolved_set.ts';

export interface PolicyStoreOptions {
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  /** See `BuildOptions.isEmptySetOpen`; absent is false. */
  readonly isEmptySetOpen?: boolean;
  /** See `BuildOptions.isHostJudged`; absent is false. */
  readonly isHostJudged?: boolean;
  /** Default: one that has given nothing yet. */
  readonly allocator?: IdentityAllocator;
}

export interface Accepted {
  readonly kind: 'accepted';
  readonly revision: number;
  /** For those who compile it, too. */
  readonly set: ResolvedSet;
  /** Without any policy. */
  readonly isEmpty: boolean;
  readonly warnings: readonly Problem[];
}

export type UpdateResult = Accepted | Rejected;

interface Taken {
  readonly input: PolicyInput;
  readonly result: UpdateResult;
}

/** Called after the swap, in the order of registration. */
export type SnapshotListener = (current: PolicySnapshot, previous: PolicySnapshot) => void;

export class PolicyStore {
  readonly #options: PolicyStoreOptions;
  readonly #allocator: IdentityAllocator;
  readonly #listeners = new Set<SnapshotListener>();
  #snapshot: PolicySnapshot;
  /** That `#snapshot` was made of. */
  #set = new PolicySet(EMPTY_INPUT);
  /** The last input, accepted or not, and the one in force, with what became of them: the same again changes nothing. */
  #last: Taken | null = null;
  #inForce: Taken | null = null;

  constructor(options: PolicyStoreOptions) {
    this.#options = options;
    this.#allocator = options.allocator ?? new IdentityAllocator(options.limits.identityCountMax);
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

  /** True once an input has been accepted. */
  get hasPolicy(): boolean {
    return this.#snapshot.revision > 0;
  }

  /** `revision`: greater than the current one, given by a caller that numbers inputs; else counted here. */
  update(input: PolicyInput, revision = this.#snapshot.revision + 1): UpdateResult {
    for (const taken of [this.#last, this.#inForce]) {
      if (taken !== null && isSameInput(taken.input, input)) return taken.result;
    }
    const previous = this.#snapshot;
    const result = this.#take(input, revision);
    this.#last = { input, result };
    if (result.kind === 'accepted') this.#inForce = this.#last;
    if (this.#snapshot !== previous) {
      for (const listener of [...this.#listeners]) listener(this.#snapshot, previous);
    }
    return result;
  }

  /** Returns a function that ends it. */
  onChange(listener: SnapshotListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Why an input would be rejected; null: it would not. Changes nothing. */
  check(input: PolicyInput): Rejected | null {
    const built = this.#build(new PolicySet(input), this.#snapshot.revision + 1);
    return built.kind === 'rejected' ? built : null;
  }

  /** Sets the snapshot when the whole of the next one stands. */
  #take(input: PolicyInput, revision: number): UpdateResult {
    const set = new PolicySet(input);
    const built = this.#build(set, revision);
    if (built.kind === 'rejected') return built;
    this.#snapshot = built.snapshot;
    this.#set = set;
    const warnings = [...input.warnings, ...built.warnings];
    return { kind: 'accepted', revision, set: built.resolved, isEmpty: set.isEmpty, warnings };
  }

  #build(set: PolicySet, revision: number): BuildResult {
    try {
      return buildSnapshot(set, {
        ...this.#options,
        revision,
        allocator: this.#allocator,
        isEmptySetOpen: this.#options.isEmptySetOpen ?? false,
      });
    } catch (error) {
      // A fault of ours in one policy set must not take down a proxy that has a good one.
      const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      return rejected([{ place: WHOLE_SET, field: '', message }]);
    }
  }
}
