/**
 * hot path
 *
 * The rules of one port range that can apply to one remote on one listener: what a connection holds
 * until the snapshot changes. Made once, then asked for every request. Remotes to which the same
 * rules can apply share them, index and pattern set included: a new remote costs one pass over the
 * rules of the port, not one index.
 *
 *     PortRules.rules     [deny b] [allow a,c http] [allow d] [allow http]     (all remotes)
 *     View(a), View(c) →           [allow a,c http]           [allow http]     (one ApplicableRules)
 *       its index         path "/x" → HTTP rules 0, 4;  RE2 set over the other paths;  no path → 2
 */
import type { Direction, PolicyProtocol, ProxyId } from '../../model/identity.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { Remote } from '../identity/remotes.ts';
import type { RegexEngine } from '../match/regex.ts';
import type { WorkLimits } from '../match/verdict_work.ts';
import { ApplicableRules, canApply, selectionKey, type ViewKey } from './applicable_rules.ts';
import type { CompiledRule } from './compiled_rule.ts';
import { NO_RULES, type OrderedRules, RangeRules } from './range_rules.ts';

export interface PortOptions {
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  readonly regexEngine: RegexEngine;
  readonly viewCountMax: number;
  readonly workLimits: WorkLimits;
}

export interface RuledRange {
  readonly first: number;
  readonly last: number;
  readonly rules: RangeRules;
}

/** One range and its rules in asking order. */
export class PortRules {
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  readonly first: number;
  readonly last: number;
  /** True when any rule of the port has L7 rules: then bytes that nothing here parses are denied. */
  readonly hasL7Rules: boolean;
  /** Then all rules of the winning precedence are run, so that every header action is. */
  readonly hasHeaderMatches: boolean;
  /** What one verdict may cost. */
  readonly workLimits: WorkLimits;
  readonly #rules: RangeRules;
  readonly #options: PortOptions;
  readonly #views = new Map<number, View>();
  readonly #selections = new Map<string, ApplicableRules>();

  constructor(range: RuledRange, options: PortOptions) {
    this.direction = options.direction;
    this.protocol = options.protocol;
    this.first = range.first;
    this.last = range.last;
    this.#rules = range.rules;
    this.hasL7Rules = range.rules.hasL7;
    this.hasHeaderMatches = range.rules.hasHeaderMatches;
    this.workLimits = options.workLimits;
    this.#options = options;
  }

  get rules(): readonly CompiledRule[] {
    return this.#rules.all;
  }

  /** Without those of port 0. */
  get own(): OrderedRules {
    return this.#rules.own;
  }

  /** Made once and cached: what a connection holds on to until the snapshot changes, and hands to `decide`. */
  view(proxyId: ProxyId, remote: Remote): View {
    const view =
      this.#views.get(viewNumber(proxyId, remote)) ?? finish(this.#make({ proxyId, remote }));
    view.isAsked = true;
    return view;
  }

  /** Makes a view, so that the first who asks for it does not wait. */
  *prepare(key: ViewKey): Steps<void> {
    if (!this.#views.has(viewNumber(key.proxyId, key.remote))) yield* this.#make(key);
  }

  /** Those that somebody has asked for. */
  *asked(): Iterable<ViewKey> {
    for (const view of this.#views.values()) if (view.isAsked) yield view;
  }

  *#make(key: ViewKey): Steps<View> {
    const view = new View(this, key, yield* this.#applicableTo(key));
    const entry = { key: viewNumber(key.proxyId, key.remote), value: view };
    setBounded(this.#views, entry, this.#options.viewCountMax);
    return view;
  }

  *#applicableTo(key: ViewKey): Steps<ApplicableRules> {
    const all = this.rules;
    const selection = selectionKey(all, key);
    let applicable = this.#selections.get(selection);
    if (applicable === undefined) {
      const rules = all.filter((rule) => canApply(rule, key));
      applicable = yield* ApplicableRules.build(rules, this.#options.regexEngine);
      const entry = { key: selection, value: applicable };
      setBounded(this.#selections, entry, this.#options.viewCountMax);
    }
    return applicable;
  }
}

/** The key of a view (37 bits are enough for ever) and proxy id (16 bits) together fit a safe integer. */
function viewNumber(proxyId: ProxyId, remote: Remote): number {
  return remote.viewKey * 0x1_0000 + proxyId;
}

/** What is cached can be made again: at the bound the oldest one goes. */
function setBounded<Key, Value>(
  cache: Map<Key, Value>,
  entry: { readonly key: Key; readonly value: Value },
  countMax: number,
): void {
  if (cache.size >= countMax) cache.delete(cache.keys().next().value as Key);
  cache.set(entry.key, entry.value);
}

export class View {
  readonly port: PortRules;
  readonly proxyId: ProxyId;
  readonly remote: Remote;
  /** See `PortRules.hasL7Rules`. */
  readonly hasL7Rules: boolean;
  readonly applicable: ApplicableRules;
  /** False as long as it was only made ahead of time. */
  isAsked = false;

  constructor(port: PortRules, key: ViewKey, applicable: ApplicableRules) {
    this.port = port;
    this.proxyId = key.proxyId;
    this.remote = key.remote;
    this.hasL7Rules = port.hasL7Rules;
    this.applicable = applicable;
  }
}

const DENY_OPTIONS = {
  protocol: 'TCP',
  viewCountMax: 1,
  regexEngine: noEngine(),
  workLimits: DEFAULT_LIMITS,
} as const;

/** The endpoint is not known at all: deny, too, and say so. */
export const NO_POLICY_PORT: Readonly<Record<Direction, PortRules>> = {
  ingress: denyPort('ingress'),
  egress: denyPort('egress'),
};

/** No rule covers the port: deny, by the same code that allows. */
export const DENY_PORT: Readonly<Record<Direction, PortRules>> = {
  ingress: denyPort('ingress'),
  egress: denyPort('egress'),
};

function denyPort(direction: Direction): PortRules {
  return new PortRules(
    { first: 0, last: 0, rules: new RangeRules(NO_RULES, NO_RULES) },
    { direction, ...DENY_OPTIONS },
  );
}

function noEngine(): RegexEngine {
  const refuse = () =>
    ({ kind: 'error', message: 'a port without rules has no patterns' }) as const;
  return { compile: refuse, compileSet: refuse };
}
