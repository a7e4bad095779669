/**
 * One direction of a policy: its rules, compiled for good, and its ports as far as its rules have somebody to be
 * about. A rule whose selector selects nobody is left out, and a port without any rule is, too: what applies there
 * is then what applies to every other port. So when a selector gets its first identity or loses its last one, the
 * tables are laid out anew; ports whose rules stay keep their views.
 */
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
import type { DirectionTables } from '../compiled/compiled_endpoint.ts';
import { type CompiledRule, NO_SELECTOR } from '../compiled/compiled_rule.ts';
import type { PortOptions, RuledRange } from '../compiled/port_rules.ts';
import { PortTable } from '../compiled/port_table.ts';
import { NO_RULES, OrderedRules, RangeRules } from '../compiled/range_rules.ts';
import { passProblem } from '../compiled/rule_order.ts';
import { isInUse } from '../compiled/rule_remotes.ts';
import type { Remotes } from '../identity/remotes.ts';
import type { RegexEngine } from '../match/regex.ts';
import { splitPorts } from './port_ranges.ts';
import type { RuleCompiler, RulePlace } from './rule_compiler.ts';

export interface DirectionContext {
  readonly compiler: RuleCompiler;
  readonly options: { readonly regexEngine: RegexEngine; readonly limits: Limits };
  /** Null: selectors are not asked again. */
  readonly remotes: Remotes | null;
}

type Entry = PortPolicy<PolicyProtocol>;

export class CompiledDirection {
  /** Of its rules. */
  readonly selectors: ReadonlySet<number>;
  readonly #policy: EndpointPolicy;
  readonly #direction: Direction;
  readonly #context: Omit<DirectionContext, 'remotes'>;
  readonly #entries: ReadonlyMap<PolicyProtocol, readonly Entry[]>;
  readonly #defaultAllow: PortRule;
  #tables: DirectionTables = new Map();

  private constructor(policy: EndpointPolicy, direction: Direction, context: DirectionContext) {
    this.#policy = policy;
    this.#direction = direction;
    this.#context = context;
    this.#entries = entriesByProtocol(policy, direction);
    this.#defaultAllow = defaultAllowRule(policy);
    this.selectors = new Set(this.#rules().map(({ selector }) => selector));
  }

  static *compile(
    policy: EndpointPolicy,
    direction: Direction,
    context: DirectionContext,
  ): Steps<CompiledDirection> {
    for (const entries of entriesByProtocol(policy, direction).values()) {
      for (const entry of entries) {
        yield* context.compiler.compileAll(entry.rules, placeOf(entry, policy));
      }
    }
    yield;
    const compiled = new CompiledDirection(policy, direction, context);
    compiled.#tables = yield* compiled.#layOut(context.remotes, null);
    return compiled;
  }

  /** With the remotes that there were when it was compiled. */
  get tables(): DirectionTables {
    return this.#tables;
  }

  tablesWith(remotes: Remotes | null, before: DirectionTables | null): DirectionTables {
    return finish(this.#layOut(remotes, before));
  }

  *#layOut(remotes: Remotes | null, before: DirectionTables | null): Steps<DirectionTables> {
    const tables = new Map<PolicyProtocol, PortTable>();
    for (const [protocol, entries] of this.#entries) {
      const valid = entries.filter((entry) => this.#isValidRange(entry));
      tables.set(protocol, yield* this.#table(valid, { protocol, remotes, before }));
      yield;
    }
    return tables;
  }

  *#table(
    entries: readonly Entry[],
    place: {
      readonly protocol: PolicyProtocol;
      readonly remotes: Remotes | null;
      readonly before: DirectionTables | null;
    },
  ): Steps<PortTable> {
    const { protocol, remotes, before } = place;
    const { regexEngine, limits } = this.#context.options;
    const rulesOf = new Map<Entry, readonly CompiledRule[]>();
    for (const entry of entries) {
      rulesOf.set(
        entry,
        this.#rulesOf(entry).filter((one) => isInUse(one, remotes)),
      );
      yield;
    }
    const live = entries.filter((entry) => rulesOf.get(entry)?.length !== 0);
    const { ranges, wildcard } = yield* splitPorts<CompiledRule>(
      live,
      (one) => rulesOf.get(one) ?? [],
    );
    const options: PortOptions = {
      direction: this.#direction,
      protocol,
      regexEngine,
      viewCountMax: limits.viewCacheCountMax,
      workLimits: limits,
    };
    const shared = OrderedRules.of(wildcard ?? []);
    this.#checkPasses(new RangeRules(shared, NO_RULES));
    const inOrder: RuledRange[] = [];
    for (const { first, last, rules: own } of ranges) {
      const rules = new RangeRules(OrderedRules.of(own), shared);
      this.#checkPasses(rules);
      // A range of pass rules only yields no verdict: such a port falls to port 0, or to deny.
      if (!rules.isPassesOnly) inOrder.push({ first, last, rules });
      yield;
    }
    const given = { ranges: inOrder, shared };
    return yield* PortTable.build(given, options, before?.get(protocol) ?? null);
  }

  #checkPasses(rules: RangeRules): void {
    const problem = rules.hasPasses ? passProblem(rules.all) : null;
    if (problem === null) return;
    const { compiler } = this.#context;
    compiler.fail(this.#policy.name, problem.rule.source.origin, problem.message);
  }

  #rules(): readonly CompiledRule[] {
    return [...this.#entries.values()]
      .flatMap((entries) => entries.flatMap((entry) => this.#rulesOf(entry)))
      .filter(({ selector }) => selector !== NO_SELECTOR);
  }

  #rulesOf(entry: Entry): readonly CompiledRule[] {
    const rules = entry.rules.length === 0 ? [this.#defaultAllow] : entry.rules;
    const place = placeOf(entry, this.#policy);
    return rules.map((rule) => this.#context.compiler.compile(rule, place));
  }

  #isValidRange({ port, endPort, rules }: Entry): boolean {
    const fail = (message: string): false => {
      this.#context.compiler.fail(this.#policy.name, rules[0]?.origin ?? null, message);
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
}

/** None at all of what only a kernel sees, of a policy in wire form: it cannot speak of that. */
function entriesByProtocol(
  policy: EndpointPolicy,
  direction: Direction,
): ReadonlyMap<PolicyProtocol, readonly Entry[]> {
  const byProtocol = new Map<PolicyProtocol, Entry[]>();
  for (const protocol of PROTOCOLS) byProtocol.set(protocol, []);
  for (const protocol of policy.kernelOnly === undefined ? [] : KERNEL_PROTOCOLS) {
    byProtocol.set(protocol, []);
  }
  const kernelOnly = policy.kernelOnly?.[direction] ?? [];
  for (const entry of [...portPolicies(policy, direction), ...kernelOnly]) {
    byProtocol.get(entry.protocol)?.push(entry);
  }
  return byProtocol;
}

function placeOf(entry: Entry, policy: EndpointPolicy): RulePlace {
  return { endpoint: policy.name, ports: entry.port * 0x1_0000 + entry.endPort };
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
