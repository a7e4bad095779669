/**
 * Endpoint policies → a PolicySnapshot (cilium/proxy network_policy.cc, section by section: ranges,
 * wildcard port, sorting, passes). Pure and whole: either every policy compiles or nothing is put in
 * force. All at once, or in steps for who has something else to do meanwhile.
 */
import type { RuleRef } from '../../model/decision.ts';
import type { Direction, PolicyProtocol } from '../../model/identity.ts';
import { KERNEL_PROTOCOLS, PROTOCOLS } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import {
  DEFAULT_ALLOW_RULE,
  type EndpointPolicy,
  NO_L7,
  type PortPolicy,
  type PortRule,
  portPolicies,
} from '../ast.ts';
import {
  CompiledEndpoint,
  type DirectionTables,
  UNKNOWN_ENDPOINT,
} from '../compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../compiled/compiled_rule.ts';
import type { PortOptions } from '../compiled/port_rules.ts';
import { PortTable } from '../compiled/port_table.ts';
import { orderRules, passProblem } from '../compiled/rule_order.ts';
import { NO_NODE_CONTENTS, type NodeContents, type PolicySnapshot } from '../compiled/snapshot.ts';
import type { IdentityLookup, LabelLookup } from '../lookups.ts';
import type { RegexEngine } from '../match/regex.ts';
import { splitPorts } from './port_ranges.ts';
import { type CompileProblem, RuleCompiler, type RulePlace } from './rule_compiler.ts';

export type { CompileProblem } from './rule_compiler.ts';

export interface CompileOptions {
  readonly revision: number;
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  readonly secrets: ReadonlyMap<string, string>;
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  readonly shadow: PolicySnapshot | null;
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
  const compiler = new RuleCompiler(options.regexEngine, options.secrets);
  const tables = { ingress: new Map(), egress: new Map() } satisfies Context['tables'];
  const endpoints: CompiledEndpoint[] = [];
  for (const policy of policies) {
    const context = { compiler, tables, options };
    endpoints.push(
      new CompiledEndpoint(policy, {
        ingress: yield* compileDirection(policy, 'ingress', context),
        egress: yield* compileDirection(policy, 'egress', context),
      }),
    );
  }
  yield;
  const byIp = indexByIp(endpoints, compiler);
  if (compiler.problems.length > 0) return { kind: 'error', problems: compiler.problems };
  const rules = compiler.refs();
  const policyNames = options.policyNames ?? [...new Set(rules.map(({ policy }) => policy))].sort();
  return {
    kind: 'ok',
    snapshot: new Snapshot({ options, rules, policyNames, endpoints, byIp }),
  };
}

/** The snapshot before any policy: every address is without policy, so everything is denied. */
export function denyAllSnapshot(lookups: {
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
}): PolicySnapshot {
  const options = { revision: 0, shadow: null, ...lookups };
  return new Snapshot({ options, rules: [], policyNames: [], endpoints: [], byIp: new Map() });
}

interface Context {
  readonly compiler: RuleCompiler;
  /** Endpoints with the same labels share their port policies, and so their tables. */
  readonly tables: Readonly<Record<Direction, Map<readonly PortPolicy[], DirectionTables>>>;
  readonly options: CompileOptions;
}

function* compileDirection(
  policy: EndpointPolicy,
  direction: Direction,
  context: Context,
): Steps<DirectionTables> {
  const entries = portPolicies(policy, direction);
  const known = context.tables[direction].get(entries);
  if (known !== undefined) return known;
  const tables = new Map<PolicyProtocol, PortTable>();
  for (const protocol of PROTOCOLS) {
    const own = entries.filter((entry) => entry.protocol === protocol);
    // The rules are nearly all of the work; the table takes them as they are then.
    for (const entry of own) {
      yield* context.compiler.compileAll(entry.rules, placeOf(entry, policy));
    }
    tables.set(protocol, compileTable(own, { policy, direction, protocol, context }));
    yield;
  }
  const kernelOnly = policy.kernelOnly?.[direction] ?? [];
  // None at all of a policy in wire form: it cannot speak of them.
  for (const protocol of policy.kernelOnly === undefined ? [] : KERNEL_PROTOCOLS) {
    const own = kernelOnly.filter((entry) => entry.protocol === protocol);
    tables.set(protocol, compileTable(own, { policy, direction, protocol, context }));
  }
  context.tables[direction].set(entries, tables);
  return tables;
}

interface TablePlace {
  readonly policy: EndpointPolicy;
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  readonly context: Context;
}

function compileTable(
  entries: readonly PortPolicy<PolicyProtocol>[],
  place: TablePlace,
): PortTable {
  const { policy, direction, protocol, context } = place;
  const { compiler, options } = context;
  const validEntries = entries.filter((entry) => isValidRange(entry, place));
  const { ranges, wildcard } = splitPorts<CompiledRule>(validEntries, (entry) => {
    const rules = entry.rules.length === 0 ? [defaultAllowRule(policy)] : entry.rules;
    return rules.map((rule) => compiler.compile(rule, placeOf(entry, policy)));
  });
  const hasPasses = validEntries.some(({ rules }) => rules.some(isPassRule));
  const ordered = (rules: readonly CompiledRule[]): readonly CompiledRule[] | null => {
    const sorted = orderRules(rules);
    const problem = passProblem(sorted);
    if (problem !== null) compiler.fail(policy.name, problem.rule.source.origin, problem.message);
    // A range of pass rules only yields no verdict: such a port falls to port 0, or to deny.
    const isOnlyPasses = hasPasses && sorted.every(({ source }) => isPassRule(source));
    return isOnlyPasses ? null : sorted;
  };
  const tableOptions: PortOptions = {
    direction,
    protocol,
    regexEngine: options.regexEngine,
    viewCountMax: options.limits.viewCacheCountMax,
    workLimits: options.limits,
  };
  return new PortTable(
    ranges.map(({ first, last, rules }) => ({ first, last, rules: ordered(rules) })),
    wildcard === null ? null : ordered(wildcard),
    tableOptions,
  );
}

function placeOf(entry: PortPolicy<PolicyProtocol>, policy: EndpointPolicy): RulePlace {
  return { endpoint: policy.name, ports: entry.port * 0x1_0000 + entry.endPort };
}

function isValidRange(entry: PortPolicy<PolicyProtocol>, place: TablePlace): boolean {
  const { port, endPort } = entry;
  const fail = (message: string): false => {
    place.context.compiler.fail(place.policy.name, entry.rules[0]?.origin ?? null, message);
    return false;
  };
  if (port === 0 && endPort > 0) {
    return fail(
      `PortNetworkPolicy: Invalid port range including the wildcard zero port 0-${endPort}`,
    );
  }
  if (endPort < port) {
    return fail(
      `PortNetworkPolicy: Invalid port range, end port is less than start port ${port}-${endPort}`,
    );
  }
  return true;
}

/** What an empty rule list means, made explicit so that it survives merging with others. */
function defaultAllowRule(policy: EndpointPolicy): PortRule {
  return {
    precedence: 0,
    verdict: { kind: 'allow' },
    proxyId: 0,
    origin: { policy: policy.name, rule: DEFAULT_ALLOW_RULE },
    remotes: null,
    serverNames: [],
    l7: NO_L7,
  };
}

function isPassRule(rule: PortRule): boolean {
  return rule.verdict.kind === 'pass';
}

function indexByIp(
  endpoints: readonly CompiledEndpoint[],
  compiler: RuleCompiler,
): ReadonlyMap<string, CompiledEndpoint> {
  const byIp = new Map<string, CompiledEndpoint>();
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

interface SnapshotParts {
  readonly options: Pick<CompileOptions, 'revision' | 'ipcache' | 'labels' | 'shadow' | 'node'>;
  readonly rules: readonly RuleRef[];
  readonly policyNames: readonly string[];
  readonly endpoints: readonly CompiledEndpoint[];
  readonly byIp: ReadonlyMap<string, CompiledEndpoint>;
}

class Snapshot implements PolicySnapshot {
  readonly revision: number;
  readonly rules: readonly RuleRef[];
  readonly policyNames: readonly string[];
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  readonly shadow: PolicySnapshot | null;
  readonly node: NodeContents;
  readonly #endpoints: readonly CompiledEndpoint[];
  readonly #byIp: ReadonlyMap<string, CompiledEndpoint>;
  readonly #byName: ReadonlyMap<string, CompiledEndpoint>;

  constructor(parts: SnapshotParts) {
    this.revision = parts.options.revision;
    this.rules = parts.rules;
    this.policyNames = parts.policyNames;
    this.ipcache = parts.options.ipcache;
    this.labels = parts.options.labels;
    this.shadow = parts.options.shadow;
    this.node = parts.options.node ?? NO_NODE_CONTENTS;
    this.#endpoints = parts.endpoints;
    this.#byIp = parts.byIp;
    this.#byName = new Map(parts.endpoints.map((endpoint) => [endpoint.name, endpoint]));
  }

  endpoint(ip: string): CompiledEndpoint {
    return this.#byIp.get(ip) ?? UNKNOWN_ENDPOINT;
  }

  endpointNamed(name: string): CompiledEndpoint | null {
    return this.#byName.get(name) ?? null;
  }

  endpoints(): readonly CompiledEndpoint[] {
    return this.#endpoints;
  }
}
