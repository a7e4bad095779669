/**
 * The verdict as cilium/proxy gives it, one rule after the other, straight from its description: no
 * index, no views, no caches, no short cuts. Slow, plain, and the yardstick of the engine.
 */
import {
  applyMutations,
  type HeaderMutation,
  type LoggedHeader,
} from '../../src/model/decision.ts';
import type { Identity, Protocol } from '../../src/model/identity.ts';
import { joinField, type RequestHead } from '../../src/model/request_head.ts';
import type {
  EndpointPolicy,
  HeaderMatcher,
  HttpRule,
  PortPolicy,
  PortRule,
} from '../../src/policy/ast.ts';
import { NO_L7, portPolicies } from '../../src/policy/ast.ts';

export interface ReferenceQuestion {
  readonly direction: 'ingress' | 'egress';
  readonly protocol: Protocol;
  readonly port: number;
  readonly proxyId: number;
  readonly remote: Identity;
  readonly serverName: string;
  readonly head: RequestHead;
}

export interface ReferenceAnswer {
  readonly verdict: 'allow' | 'deny';
  readonly layer: 'network' | 'http';
  readonly mutations: readonly HeaderMutation[];
  readonly missing: readonly LoggedHeader[];
  readonly rejected: readonly LoggedHeader[];
}

type Verdict = 'allow' | 'deny' | 'pass' | 'none';

export function referenceAnswer(
  policy: EndpointPolicy,
  question: ReferenceQuestion,
  secrets: ReadonlyMap<string, string>,
): ReferenceAnswer {
  const log = new Log(question.head);
  const rules = rulesFor(policy, question);
  const answer = (verdict: 'allow' | 'deny', layer: 'network' | 'http'): ReferenceAnswer => ({
    verdict,
    layer,
    mutations: log.mutations,
    missing: log.missing,
    rejected: log.rejected,
  });
  if (rules === null) return answer('deny', 'network');
  const network = walk(rules, true, (rule) => networkVerdict(rule, question));
  if (network !== 'allow') return answer('deny', 'network');
  if (!rules.some(({ l7 }) => l7.kind === 'http')) return answer('allow', 'http');
  const canShortCircuit = !rules.some(hasHeaderMatches);
  const http = walk(rules, canShortCircuit, (rule) => httpVerdict(rule, question, log, secrets));
  return answer(http === 'allow' ? 'allow' : 'deny', 'http');
}

/** Null: no range covers the port. */
function rulesFor(policy: EndpointPolicy, question: ReferenceQuestion): PortRule[] | null {
  const entries = portPolicies(policy, question.direction).filter(
    ({ protocol }) => protocol === question.protocol,
  );
  const hasPasses = entries.some(({ rules }) => rules.some(isPass));
  const specific = entries.filter(
    ({ port, endPort }) => port !== 0 && port <= question.port && question.port <= endPort,
  );
  const wildcard = entries.filter(({ port }) => port === 0);
  const usable = (group: readonly PortPolicy[]): PortRule[] | null => {
    if (group.length === 0) return null;
    const rules = sorted(inOrder(group));
    return hasPasses && rules.every(isPass) ? null : rules;
  };
  const own = specific.length === 0 ? null : usable([...specific, ...wildcard]);
  return own ?? usable(wildcard);
}

/** Rules of single ports go to the front one by one, those of ranges to the back, port 0 last. */
function inOrder(group: readonly PortPolicy[]): PortRule[] {
  const rulesOf = (entries: readonly PortPolicy[]): PortRule[] => {
    const rules: PortRule[] = [];
    for (const entry of entries) {
      for (const rule of entry.rules.length === 0 ? [DEFAULT_ALLOW] : entry.rules) {
        if (entry.port === entry.endPort) rules.unshift(rule);
        else rules.push(rule);
      }
    }
    return rules;
  };
  const specific = group.filter(({ port }) => port !== 0);
  const wildcard = group.filter(({ port }) => port === 0);
  return [...rulesOf(specific), ...rulesOf(wildcard)];
}

const DEFAULT_ALLOW: PortRule = {
  precedence: 0,
  verdict: { kind: 'allow' },
  proxyId: 0,
  origin: { policy: '', rule: 'default' },
  remotes: null,
  serverNames: [],
  l7: NO_L7,
};

const KIND_ORDER = { deny: 0, allow: 1, pass: 2 };

function sorted(rules: PortRule[]): PortRule[] {
  return rules.toSorted(
    (a, b) =>
      b.precedence - a.precedence || KIND_ORDER[a.verdict.kind] - KIND_ORDER[b.verdict.kind],
  );
}

function walk(
  rules: readonly PortRule[],
  canShortCircuit: boolean,
  ask: (rule: PortRule) => Verdict,
): Verdict {
  let verdict: Verdict = 'none';
  let at = 0;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as PortRule;
    if (verdict !== 'none' && rule.precedence < at) break;
    const found = ask(rule);
    if (found === 'pass' && rule.verdict.kind === 'pass') {
      if (verdict === 'none' || at < rule.precedence) {
        const { passPrecedence } = rule.verdict;
        i += 1;
        while (i < rules.length && (rules[i] as PortRule).precedence >= passPrecedence) i += 1;
        continue;
      }
    } else if (found !== 'none') {
      verdict = found;
      at = rule.precedence;
      if (found === 'deny' || canShortCircuit) return verdict;
    }
    i += 1;
  }
  return verdict;
}

function applies(rule: PortRule, question: ReferenceQuestion): boolean {
  if (rule.proxyId !== 0 && rule.proxyId !== question.proxyId) return false;
  return rule.remotes === null || rule.remotes.has(question.remote);
}

function networkVerdict(rule: PortRule, question: ReferenceQuestion): Verdict {
  const { serverNames } = rule;
  const { serverName } = question;
  if (serverNames.length > 0 && (serverName === '' || !serverNames.includes(serverName)))
    return 'none';
  return applies(rule, question) ? rule.verdict.kind : 'none';
}

function httpVerdict(
  rule: PortRule,
  question: ReferenceQuestion,
  log: Log,
  secrets: ReadonlyMap<string, string>,
): Verdict {
  if (!applies(rule, question)) return 'none';
  if (rule.l7.kind !== 'http' || rule.verdict.kind === 'deny') return rule.verdict.kind;
  let matched = false;
  for (const httpRule of rule.l7.rules) {
    if (!httpRule.matchers.every((matcher) => matches(matcher, log))) continue;
    if (!hasHeaderMatches(rule)) return rule.verdict.kind;
    if (runHeaderMatches(httpRule, log, secrets)) matched = true;
  }
  return matched ? rule.verdict.kind : 'none';
}

function hasHeaderMatches(rule: PortRule): boolean {
  return (
    rule.l7.kind === 'http' && rule.l7.rules.some(({ headerMatches }) => headerMatches.length > 0)
  );
}

function isPass(rule: PortRule): boolean {
  return rule.verdict.kind === 'pass';
}

/** The request's fields as the rules have changed them so far. */
class Log {
  readonly head: RequestHead;
  readonly mutations: HeaderMutation[] = [];
  readonly missing: LoggedHeader[] = [];
  readonly rejected: LoggedHeader[] = [];

  constructor(head: RequestHead) {
    this.head = head;
  }

  field(name: string): string | null {
    if (name === ':path') return this.head.path;
    if (name === ':method') return this.head.method;
    if (name === ':authority') return this.head.authority;
    return joinField(applyMutations(this.head.fields(), this.mutations), name);
  }
}

/** Patterns of the tests mean the same to JavaScript's RegExp; they are the tests' own. */
function matches(matcher: HeaderMatcher, log: Log): boolean {
  const found = log.field(matcher.name);
  const { value, isInverted } = matcher;
  if (value.kind === 'present') {
    const isThere = found !== null || matcher.treatMissingAsEmpty;
    return (isThere === value.isPresent) !== isInverted;
  }
  if (found === null && !matcher.treatMissingAsEmpty) return false;
  const text = found ?? '';
  switch (value.kind) {
    case 'exact':
      return (text === value.text) !== isInverted;
    case 'prefix':
      return text.startsWith(value.text) !== isInverted;
    case 'suffix':
      return text.endsWith(value.text) !== isInverted;
    case 'contains':
      return text.includes(value.text) !== isInverted;
    case 'regex':
      return new RegExp(`^(?:${value.pattern})$`).test(text) !== isInverted;
    case 'range':
      return (
        (/^-?[0-9]+$/.test(text) && BigInt(text) >= value.start && BigInt(text) < value.end) !==
        isInverted
      );
    case 'never':
      return false;
  }
}

function runHeaderMatches(rule: HttpRule, log: Log, secrets: ReadonlyMap<string, string>): boolean {
  let isAccepted = true;
  for (const match of rule.headerMatches) {
    const show = (text: string): string => (match.secret === null ? text : '[redacted]');
    const addTo = (list: LoggedHeader[], text: string): void => {
      const shown = show(text);
      if (!list.some(([name, value]) => name === match.name && value === shown))
        list.push([match.name, shown]);
    };
    const secret = match.secret === null ? undefined : secrets.get(match.secret);
    const expected = secret ?? match.value;
    if (match.secret !== null && secret === undefined && match.value === '') {
      isAccepted = false;
      continue;
    }
    const found = log.field(match.name);
    const isSame = expected === '' ? found !== null : found === expected;
    if (isSame) {
      if (match.matchAction !== 'continue') addTo(log.rejected, expected);
      if (match.matchAction === 'fail') isAccepted = false;
      if (match.matchAction === 'delete')
        log.mutations.push({ kind: 'delete', name: match.name, value: '' });
      continue;
    }
    switch (match.mismatchAction) {
      case 'fail':
        addTo(log.missing, expected);
        isAccepted = false;
        break;
      case 'continue':
        addTo(log.missing, expected);
        break;
      case 'add':
        log.mutations.push({ kind: 'add', name: match.name, value: expected });
        addTo(log.missing, expected);
        break;
      case 'delete':
        if (expected === '' || found === null) break;
        addTo(log.rejected, found);
        log.mutations.push({ kind: 'delete', name: match.name, value: '' });
        break;
      case 'replace':
        if (found !== null) addTo(log.rejected, found);
        log.mutations.push({ kind: 'replace', name: match.name, value: expected });
        addTo(log.missing, expected);
        break;
    }
  }
  return isAccepted;
}
