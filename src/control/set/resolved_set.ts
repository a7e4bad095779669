/**
 * A policy set after resolution and before compilation: which rules each endpoint has, who is who, and the
 * secrets that rules name. All that a worker needs to make its snapshot; no texts, no selectors. Plain values,
 * so that it can go to another process (`resolved_wire.ts`).
 */
import type { Limits } from '../../model/limits.ts';
import type { Steps } from '../../model/steps.ts';
import type { EndpointPolicy } from '../../policy/ast.ts';
import { type CompileResult, compileSteps } from '../../policy/compile/compile.ts';
import type { NodeContents, PolicySnapshot, Workload } from '../../policy/compiled/snapshot.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';

export interface ResolvedSet {
  readonly enforced: ResolvedPolicies;
  /** The same with the policies in dry-run counted in; null when none is. */
  readonly shadow: ResolvedPolicies | null;
  readonly roster: Roster;
  readonly secrets: ReadonlyMap<string, string>;
  readonly workloads: readonly Workload[];
}

export interface ResolvedPolicies {
  readonly policies: readonly EndpointPolicy[];
  /** Sorted. */
  readonly names: readonly string[];
}

export interface CompileSetOptions {
  readonly revision: number;
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  /** See `CompileOptions.previous`. */
  readonly previous?: PolicySnapshot;
}

export function* compileSet(set: ResolvedSet, options: CompileSetOptions): Steps<CompileResult> {
  if (set.shadow === null) return yield* compileOne(set, { ...options, shadow: null });
  const own = options.previous?.shadow ?? null;
  const shadow = yield* compileOne(
    { ...set, enforced: set.shadow },
    { ...options, shadow: null, ...(own === null ? {} : { previous: own }) },
  );
  if (shadow.kind === 'error') return shadow;
  return yield* compileOne(set, { ...options, shadow: shadow.snapshot });
}

function compileOne(
  { enforced, roster, secrets, workloads }: ResolvedSet,
  options: CompileSetOptions & { readonly shadow: PolicySnapshot | null },
): Steps<CompileResult> {
  const { policies, names: policyNames } = enforced;
  return compileSteps(policies, {
    ...options,
    secrets,
    ipcache: roster.ipcache,
    labels: roster,
    roster,
    policyNames,
    node: { prefixes: NO_PREFIXES, workloads },
  });
}

/** The roster has them. */
const NO_PREFIXES: NodeContents['prefixes'] = [];
