/**
 * Endpoint policies → a PolicySnapshot (cilium/proxy network_policy.cc, section by section: ranges,
 * wildcard port, sorting, passes). Pure and whole: either every policy compiles or nothing is put in
 * force. All at once, or in steps for a thread that also serves traffic.
 */
import type { Limits } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import { type EndpointPolicy, type PortPolicy, portPolicies, VACANT } from '../ast.ts';
import type { NodeContents, PolicySnapshot } from '../compiled/snapshot.ts';
import { Remotes } from '../identity/remotes.ts';
import type { Roster } from '../identity/roster.ts';
import { SelectorCache } from '../identity/selector_cache.ts';
import type { IdentityLookup, LabelLookup } from '../lookups.ts';
import type { RegexEngine } from '../match/regex.ts';
import { CompiledDirection, type DirectionContext } from './compiled_direction.ts';
import { type CompiledSet, Snapshot } from './compiled_snapshot.ts';
import { EndpointIndex, type PlacedEndpoint, type SubjectPolicy } from './endpoint_index.ts';
import { type CompileProblem, RuleCompiler } from './rule_compiler.ts';

export type { CompileProblem } from './rule_compiler.ts';

export interface CompileOptions {
  readonly revision: number;
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  readonly secrets: ReadonlyMap<string, string>;
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  /** In the place of both, and then the snapshot takes batches; absent: rules are about whom they name for good. */
  readonly roster?: Roster;
  readonly shadow: PolicySnapshot | null;
  /** Of the same roster: whom the same selectors select is taken from it. Absent: it is made. */
  readonly previous?: PolicySnapshot;
  /** Names of the policies in force; default: those that rules come from. */
  readonly policyNames?: readonly string[];
  /** For who tells a kernel; default: nothing. */
  readonly node?: NodeContents;
}

export type CompileResult =
  | { readonly kind: 'ok'; readonly snapshot: PolicySnapshot }
  | { readonly kind: 'error'; readonly problems: readonly CompileProblem[] };

/** Problems name endpoint and rule; patterns that RE2 refuses carry RE2's own words. */
export function compilePolicies(
  policies: readonly EndpointPolicy[],
  options: CompileOptions,
): CompileResult {
  return finish(compileSteps(policies, options));
}

export function* compileSteps(
  policies: readonly EndpointPolicy[],
  options: CompileOptions,
): Steps<CompileResult> {
  const { roster, previous } = options;
  const remotes =
    roster === undefined ? null : yield* remotesOf(selectorsOf(policies), roster, previous);
  const compiler = new RuleCompiler(
    options.regexEngine,
    options.secrets,
    remotes?.selectors ?? null,
  );
  const directions = new Directions({ compiler, options, remotes });
  const endpoints: PlacedEndpoint[] = [];
  const subjects = new Map<number, SubjectPolicy>();
  for (const policy of policies) {
    const own = yield* directions.of(policy);
    const { name, endpointId, endpointIps, subject } = policy;
    if (subject !== undefined) subjects.set(subject, own);
    if (subject !== undefined && name === VACANT) continue;
    const place = endpoints.length;
    const placed = { name, endpointId, endpointIps, directions: own, place };
    endpoints.push({ ...placed, subject: subject ?? null });
  }
  yield;
  const byIp = indexByIp(endpoints, compiler);
  if (compiler.problems.length > 0) return { kind: 'error', problems: compiler.problems };
  const rules = compiler.refs();
  const set: CompiledSet = {
    revision: options.revision,
    compiler,
    rules,
    policyNames: options.policyNames ?? [...new Set(rules.map(({ policy }) => policy))].sort(),
    subjects,
    bySelector: directions.bySelector(),
  };
  const snapshot = new Snapshot(set, {
    endpoints: EndpointIndex.of(endpoints, byIp),
    ipcache: roster?.ipcache ?? options.ipcache,
    labels: roster ?? options.labels,
    who: roster === undefined || remotes === null ? null : { roster, remotes, layout: compiler },
    tables: new Map(),
    shadow: options.shadow,
    prefixes: options.node?.prefixes ?? null,
    workloads: options.node?.workloads ?? [],
  });
  return { kind: 'ok', snapshot };
}

/** The snapshot before any policy: every address is without policy, so everything is denied. */
export function denyAllSnapshot(lookups: {
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
}): PolicySnapshot {
  const set: CompiledSet = {
    revision: 0,
    compiler: new RuleCompiler(NO_ENGINE, new Map()),
    rules: [],
    policyNames: [],
    subjects: new Map(),
    bySelector: new Map(),
  };
  return new Snapshot(set, {
    ...lookups,
    endpoints: EndpointIndex.of([], new Map()),
    who: null,
    tables: new Map(),
    shadow: null,
    prefixes: null,
    workloads: [],
  });
}

function* remotesOf(
  selectors: SelectorCache,
  roster: Roster,
  previous: PolicySnapshot | undefined,
): Steps<Remotes> {
  const known = previous?.who ?? null;
  const isKnown = known?.roster === roster && known.remotes.selectors.isSameAs(selectors);
  return isKnown ? known.remotes : yield* Remotes.build(selectors, roster.entries());
}

function selectorsOf(policies: readonly EndpointPolicy[]): SelectorCache {
  const selectors = new SelectorCache();
  const seen = new Set<unknown>();
  for (const { ingress, egress, kernelOnly } of policies) {
    for (const ports of [ingress, egress, kernelOnly?.ingress ?? [], kernelOnly?.egress ?? []]) {
      // Endpoints of one subject share them.
      if (seen.has(ports)) continue;
      seen.add(ports);
      for (const { rules } of ports) {
        for (const { selector } of rules) if (selector !== undefined) selectors.add(selector);
      }
    }
  }
  return selectors;
}

/** Endpoints with the same labels share their port policies, and so their compiled directions. */
class Directions {
  readonly #context: DirectionContext;
  readonly #known = {
    ingress: new Map<readonly PortPolicy[], CompiledDirection>(),
    egress: new Map<readonly PortPolicy[], CompiledDirection>(),
  };

  constructor(context: DirectionContext) {
    this.#context = context;
  }

  *of(policy: EndpointPolicy): Steps<SubjectPolicy> {
    return {
      ingress: yield* this.#of(policy, 'ingress'),
      egress: yield* this.#of(policy, 'egress'),
    };
  }

  bySelector(): CompiledSet['bySelector'] {
    const bySelector = new Map<number, CompiledDirection[]>();
    for (const known of [this.#known.ingress, this.#known.egress]) {
      for (const direction of known.values()) {
        for (const selector of direction.selectors) {
          const own = bySelector.get(selector);
          if (own === undefined) bySelector.set(selector, [direction]);
          else own.push(direction);
        }
      }
    }
    return bySelector;
  }

  *#of(policy: EndpointPolicy, direction: 'ingress' | 'egress'): Steps<CompiledDirection> {
    const entries = portPolicies(policy, direction);
    const known = this.#known[direction];
    let compiled = known.get(entries);
    if (compiled === undefined) {
      compiled = yield* CompiledDirection.compile(policy, direction, this.#context);
      known.set(entries, compiled);
    }
    return compiled;
  }
}

function indexByIp(
  endpoints: readonly PlacedEndpoint[],
  compiler: RuleCompiler,
): ReadonlyMap<string, PlacedEndpoint> {
  const byIp = new Map<string, PlacedEndpoint>();
  for (const endpoint of endpoints) {
    for (const ip of endpoint.endpointIps) {
      const other = byIp.get(ip);
      if (other === undefined) byIp.set(ip, endpoint);
      else if (other !== endpoint) {
        compiler.fail(
          endpoint.name,
          null,
          `duplicate endpoint IP ${ip}, it is also of ${other.name}`,
        );
      }
    }
  }
  return byIp;
}

/** Of a snapshot without rules: it is never asked. */
const NO_ENGINE: RegexEngine = {
  compile: () => ({ kind: 'error', message: 'there are no policies' }),
  compileSet: () => ({ kind: 'error', message: 'there are no policies' }),
};
