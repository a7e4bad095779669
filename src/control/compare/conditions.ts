/** What one rule asks of a connection beside its sides and its port: a key to compare by, and a text to show. */
import type { DnsRule, HeaderMatch, HeaderMatcher, HttpRule } from '../../policy/ast.ts';
import { type CompiledRule, VERDICT_DENY } from '../../policy/compiled/compiled_rule.ts';
import { matcherKey } from '../../policy/match/matcher_key.ts';

export interface Condition {
  /** Equal for conditions that are the same. May hold what stands in for a secret: not to be shown. */
  readonly key: string;
  readonly text: string;
}

/** At least one; of a rule that asks for nothing: anything. */
export function conditionsOf({ source, kind, proxyId }: CompiledRule): readonly Condition[] {
  const { serverNames, l7 } = source;
  const names = [...serverNames].sort();
  const around = {
    key: `${proxyId} ${JSON.stringify(names)}`,
    text: [
      ...(names.length === 0 ? [] : [`server name ${names.join(' or ')}`]),
      ...(proxyId === 0 ? [] : [`listener ${proxyId}`]),
    ].join(', '),
  };
  // A deny rule denies without looking at its L7 rules.
  const inner = kind === VERDICT_DENY ? [ANYTHING] : l7Conditions(l7);
  return inner.map(({ key, text }) => ({
    key: `${around.key} ${key}`,
    text:
      around.text === '' ? text : text === ANYTHING.text ? around.text : `${text} (${around.text})`,
  }));
}

const ANYTHING: Condition = { key: '', text: 'anything' };

function l7Conditions(l7: CompiledRule['source']['l7']): readonly Condition[] {
  switch (l7.kind) {
    case 'none':
      return [ANYTHING];
    case 'http':
      return l7.rules.map((rule) => ({ key: httpKey(rule), text: httpText(rule) }));
    case 'dns':
      return l7.rules.map((rule) => ({ key: `dns ${dnsText(rule)}`, text: dnsText(rule) }));
  }
}

function httpKey({ matchers, headerMatches }: HttpRule): string {
  const conditions = matchers.map(matcherKey).sort();
  return `http ${JSON.stringify([conditions, headerMatches])}`;
}

/** "GET /orders/[0-9]+", "any path, header x-a: 1". */
function httpText({ matchers, headerMatches }: HttpRule): string {
  const plain = (name: string): string | null => {
    const found = matchers.find((one) => one.name === name && isPlainPattern(one));
    return found?.value.kind === 'regex' ? found.value.pattern : null;
  };
  const method = plain(':method');
  const path = plain(':path');
  const others = matchers.filter(
    (one) => !isPlainPattern(one) || (one.name !== ':method' && one.name !== ':path'),
  );
  const first = [method, path].filter((text) => text !== null).join(' ');
  const parts = [
    ...(first === '' ? [] : [path === null ? `${first} of any path` : first]),
    ...others.map(matcherText),
    ...headerMatches.map(headerMatchText),
  ];
  return parts.length === 0 ? 'any HTTP request' : parts.join(', ');
}

function isPlainPattern({ value, isInverted, treatMissingAsEmpty }: HeaderMatcher): boolean {
  return value.kind === 'regex' && !isInverted && !treatMissingAsEmpty;
}

function matcherText({ name, value, isInverted }: HeaderMatcher): string {
  const field = PSEUDO_FIELDS.get(name) ?? `header ${name}`;
  return `${isInverted ? 'not ' : ''}${field}${valueText(value)}`;
}

const PSEUDO_FIELDS: ReadonlyMap<string, string> = new Map([
  [':authority', 'host'],
  [':method', 'method'],
  [':path', 'path'],
]);

function valueText(value: HeaderMatcher['value']): string {
  switch (value.kind) {
    case 'present':
      return value.isPresent ? '' : ' absent';
    case 'regex':
      return ` ${value.pattern}`;
    case 'exact':
      return ` ${JSON.stringify(value.text)}`;
    case 'prefix':
    case 'suffix':
    case 'contains':
      return ` ${value.kind} ${JSON.stringify(value.text)}`;
    default:
      return ` (${value.kind})`;
  }
}

/** Without its value, which may be a secret. */
function headerMatchText({ name, secret, mismatchAction }: HeaderMatch): string {
  const of = secret === null ? '' : ` of secret ${secret}`;
  return mismatchAction === 'fail'
    ? `header ${name}${of}`
    : `header ${name}${of} (${mismatchAction})`;
}

function dnsText({ matchName, matchPattern }: DnsRule): string {
  const names = [matchName, matchPattern].filter((name) => name !== null);
  return `DNS ${names.join(' or ')}`;
}
