/**
 * The port policies of one direction and protocol: disjoint ranges, looked up by port. Exact range,
 * else port 0, else deny (PortPolicy in network_policy.cc).
 */
import type { Direction, Identity, PolicyProtocol, Port, ProxyId } from '../../model/identity.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { RegexEngine } from '../match/regex.ts';
import type { WorkLimits } from '../match/verdict_work.ts';
import type { CompiledPort } from '../snapshot.ts';
import type { CompiledRule } from './compiled_rule.ts';
import { ApplicableRules, canApply, selectionKey, View, type ViewKey } from './view.ts';

export interface PortTableOptions {
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  readonly regexEngine: RegexEngine;
  readonly viewCountMax: number;
  readonly workLimits: WorkLimits;
}

export interface OrderedRange {
  readonly first: number;
  readonly last: number;
  /** Null: the range yields no verdict and is as if it were not there. */
  readonly rules: readonly CompiledRule[] | null;
}

export class PortTable {
  readonly #ranges: readonly PortRules[];
  readonly #wildcard: PortRules | null;

  constructor(
    ranges: readonly OrderedRange[],
    wildcard: readonly CompiledRule[] | null,
    options: PortTableOptions,
  ) {
    this.#ranges = ranges.flatMap(({ first, last, rules }) =>
      rules === null ? [] : [new PortRules({ first, last, rules }, options)],
    );
    this.#wildcard =
      wildcard === null ? null : new PortRules({ first: 0, last: 0, rules: wildcard }, options);
  }

  find(port: Port): PortRules | null {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle] as PortRules;
      if (port < range.first) high = middle - 1;
      else if (port > range.last) low = middle + 1;
      else return range;
    }
    return this.#wildcard;
  }

  /** Ascending, the wildcard first. */
  all(): readonly PortRules[] {
    return this.#wildcard === null ? this.#ranges : [this.#wildcard, ...this.#ranges];
  }
}

/** One range and its rules in asking order. */
export class PortRules implements CompiledPort {
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  readonly first: number;
  readonly last: number;
  readonly rules: readonly CompiledRule[];
  readonly hasHttpRules: boolean;
  readonly hasDnsRules: boolean;
  /** Then all rules of the winning precedence are run, so that every header action is. */
  readonly hasHeaderMatches: boolean;
  /** What one verdict may cost. */
  readonly workLimits: WorkLimits;
  readonly #options: PortTableOptions;
  readonly #views = new Map<number, View>();
  readonly #selections = new Map<string, ApplicableRules>();

  constructor(
    range: {
      readonly first: number;
      readonly last: number;
      readonly rules: readonly CompiledRule[];
    },
    options: PortTableOptions,
  ) {
    this.direction = options.direction;
    this.protocol = options.protocol;
    this.first = range.first;
    this.last = range.last;
    this.rules = range.rules;
    this.hasHttpRules = range.rules.some(({ http }) => http !== null);
    this.hasDnsRules = range.rules.some(({ dns }) => dns !== null);
    this.hasHeaderMatches = range.rules.some(({ hasHeaderMatches }) => hasHeaderMatches);
    this.workLimits = options.workLimits;
    this.#options = options;
  }

  view(proxyId: ProxyId, remote: Identity): View {
    const view =
      this.#views.get(viewNumber(proxyId, remote)) ?? finish(this.#make({ proxyId, remote }));
    view.isAsked = true;
    return view;
  }

  /** Makes a view and what its index will need, so that the first who asks for it does not wait. */
  *prepare(key: ViewKey): Steps<void> {
    const view = this.#views.get(viewNumber(key.proxyId, key.remote)) ?? (yield* this.#make(key));
    yield* view.applicable.index.prepare();
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
    const selection = selectionKey(this.rules, key);
    let applicable = this.#selections.get(selection);
    if (applicable === undefined) {
      const rules = this.rules.filter((rule) => canApply(rule, key));
      applicable = yield* ApplicableRules.build(rules, this.#options.regexEngine);
      const entry = { key: selection, value: applicable };
      setBounded(this.#selections, entry, this.#options.viewCountMax);
    }
    return applicable;
  }
}

/** Identity (32 bits) and proxy id (16 bits) together fit a safe integer. */
function viewNumber(proxyId: ProxyId, remote: Identity): number {
  return remote * 0x1_0000 + proxyId;
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
  return new PortRules({ first: 0, last: 0, rules: [] }, { direction, ...DENY_OPTIONS });
}

function noEngine(): RegexEngine {
  const refuse = () =>
    ({ kind: 'error', message: 'a port without rules has no patterns' }) as const;
  return { compile: refuse, compileSet: refuse };
}
