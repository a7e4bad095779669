/**
 * Holds the snapshot in force. An update builds the whole next snapshot, then replaces one
 * reference, then tells; a bundle that is rejected leaves everything as it was. Before the first
 * accepted bundle everything is denied.
 */
import type { Limits } from '../../model/limits.ts';
import { denyAllSnapshot } from '../../policy/compile/compile.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import { WHOLE_SET } from '../decode/place.ts';
import type { Problem } from '../decode/problem.ts';
import { DecodedFiles } from './decoded_files.ts';
import { buildSnapshot, decodePolicySet, isEmptySet, type SourceBundle } from './policy_set.ts';
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

export type UpdateResult =
  | {
      readonly kind: 'accepted';
      readonly revision: number;
      /** For those who compile it, too. */
      readonly set: ResolvedSet;
      /** Without any policy. */
      readonly isEmpty: boolean;
      readonly warnings: readonly Problem[];
    }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

/** Called after the swap, in the order of registration. */
export type SnapshotListener = (current: PolicySnapshot, previous: PolicySnapshot) => void;

export class PolicyStore {
  readonly #options: PolicyStoreOptions;
  readonly #allocator: IdentityAllocator;
  readonly #files = new DecodedFiles();
  readonly #listeners = new Set<SnapshotListener>();
  #snapshot: PolicySnapshot;
  /** The last bundle, accepted or not, and what became of it: the same again changes nothing. */
  #last: { readonly bundle: SourceBundle; readonly result: UpdateResult } | null = null;

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

  /** True once a bundle has been accepted. */
  get hasPolicy(): boolean {
    return this.#snapshot.revision > 0;
  }

  /** `revision`: greater than the current one, given by who numbers bundles; else counted here. */
  update(bundle: SourceBundle, revision = this.#snapshot.revision + 1): UpdateResult {
    if (this.#last !== null && sameBundle(this.#last.bundle, bundle)) return this.#last.result;
    const previous = this.#snapshot;
    const result = this.#build(bundle, revision);
    this.#last = { bundle, result };
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

  /** Sets the snapshot when the whole of the next one stands; an exception changes nothing. */
  #build(bundle: SourceBundle, revision: number): UpdateResult {
    try {
      const decoded = decodePolicySet(bundle, this.#options, this.#files);
      if (decoded.kind === 'rejected') return decoded;
      const built = buildSnapshot(decoded.set, {
        ...this.#options,
        revision,
        allocator: this.#allocator,
        isEmptySetOpen: this.#options.isEmptySetOpen ?? false,
      });
      if (built.kind === 'rejected') return built;
      this.#snapshot = built.snapshot;
      const warnings = [...decoded.warnings, ...built.warnings];
      const isEmpty = isEmptySet(decoded.set);
      return { kind: 'accepted', revision, set: built.resolved, isEmpty, warnings };
    } catch (error) {
      // A fault of ours in one policy set must not take down a proxy that has a good one.
      const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      return { kind: 'rejected', problems: [{ place: WHOLE_SET, field: '', message }] };
    }
  }
}

function sameBundle(a: SourceBundle, b: SourceBundle): boolean {
  const textsOf = ({ policies, endpoints, secrets }: SourceBundle) => [
    endpoints,
    secrets,
    ...policies,
  ];
  const left = textsOf(a);
  const right = textsOf(b);
  return (
    a.hasNodeLabels === b.hasNodeLabels &&
    left.length === right.length &&
    left.every((one, index) => {
      const other = right[index];
      return one?.path === other?.path && one?.text === other?.text;
    })
  );
}
