import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePrefix } from '../../src/model/address.ts';
import {
  canonicalLabel,
  cidrLabel,
  formatLabel,
  labelSetKey,
  parseLabel,
} from '../../src/policy/labels.ts';
import type { LabelRequirement, LabelSelector } from '../../src/policy/rule.ts';
import { LabelSet, selectorKey, selectorMatches } from '../../src/policy/selector.ts';

describe('a label', () => {
  const cases: readonly [text: string, source: string, key: string, value: string][] = [
    ['k8s:app=api', 'k8s', 'app', 'api'],
    ['app=api', 'k8s', 'app', 'api'],
    ['reserved:host', 'reserved', 'host', ''],
    ['reserved:host=', 'reserved', 'host', ''],
    ['cidr:10.0.0.0/8', 'cidr', '10.0.0.0/8', ''],
    ['fqdn:*.example.com', 'fqdn', '*.example.com', ''],
    ['k8s:url=http://a=b', 'k8s', 'url', 'http://a=b'],
    ['url=a:b', 'k8s', 'url', 'a:b'],
  ];
  it.each(cases)('%s is read', (text, source, key, value) => {
    expect(parseLabel(text)).toEqual({ source, key, value });
  });

  it.each(['', 'k8s:', '=x', 'k8s:=x', 'nonsense:app=x'])('"%s" is none', (text) => {
    expect(parseLabel(text)).toBeNull();
  });

  it('is the same after being written and read', () => {
    const part = fc.stringMatching(/^[a-z][a-z0-9./_-]{0,12}$/);
    const label = fc.record({
      source: fc.constantFrom('k8s', 'cni', 'any'),
      key: part,
      value: part,
    });
    fc.assert(
      fc.property(label, (one) => {
        expect(parseLabel(formatLabel(one))).toEqual(one);
      }),
    );
  });

  it('has one text, whether an empty value is written or not', () => {
    expect(canonicalLabel('reserved:world=')).toBe(canonicalLabel('reserved:world'));
  });

  it('set does not depend on order or repetition', () => {
    expect(labelSetKey(['k8s:b=1', 'k8s:a=1', 'k8s:b=1'])).toBe(
      labelSetKey(['k8s:a=1', 'k8s:b=1']),
    );
  });

  it('of an IPv6 prefix has no colon after the source', () => {
    const prefix = parsePrefix('2001:db8::/32', { allowBare: false, allowHostBits: false });
    expect(prefix === null ? null : cidrLabel(prefix)).toBe('cidr:2001-db8--/32');
  });
});

describe('a selector', () => {
  const set = new LabelSet(['k8s:app=api', 'cni:zone=z', 'reserved:host', 'k8s:size=7']);
  const cases: readonly [about: string, requirement: LabelRequirement, holds: boolean][] = [
    ['in', need('k8s:app', 'in', 'web', 'api'), true],
    ['in, other value', need('k8s:app', 'in', 'web'), false],
    ['in, missing', need('k8s:nope', 'in', ''), false],
    ['in, no values', need('k8s:app', 'in'), false],
    ['in, any source', need('any:zone', 'in', 'z'), true],
    ['in, another source', need('k8s:zone', 'in', 'z'), false],
    ['in, empty value', need('reserved:host', 'in', ''), true],
    ['not-in', need('k8s:app', 'not-in', 'web'), true],
    ['not-in, that value', need('k8s:app', 'not-in', 'api'), false],
    ['not-in, missing', need('k8s:nope', 'not-in', 'x'), true],
    ['exists', need('any:host', 'exists'), true],
    ['exists, missing', need('any:nope', 'exists'), false],
    ['does-not-exist', need('any:nope', 'does-not-exist'), true],
    ['does-not-exist, there', need('k8s:app', 'does-not-exist'), false],
    ['gt', need('k8s:size', 'gt', '6'), true],
    ['gt, equal', need('k8s:size', 'gt', '7'), false],
    ['lt', need('k8s:size', 'lt', '10'), true],
    ['lt, no number', need('k8s:app', 'lt', '10'), false],
    ['gt, missing', need('k8s:nope', 'gt', '0'), false],
  ];
  it.each(cases)('%s', (_, requirement, holds) => {
    expect(selectorMatches({ requirements: [requirement] }, set)).toBe(holds);
  });

  it('without requirements selects everything', () => {
    expect(selectorMatches({ requirements: [] }, new LabelSet([]))).toBe(true);
  });

  it('needs all its requirements', () => {
    const both = [need('k8s:app', 'in', 'api'), need('k8s:size', 'in', '8')];
    expect(selectorMatches({ requirements: both }, set)).toBe(false);
  });

  it('has one key for what says the same', () => {
    const a: LabelSelector = {
      requirements: [need('k8s:a', 'in', 'x', 'y'), need('k8s:b', 'exists')],
    };
    const b: LabelSelector = {
      requirements: [need('k8s:b', 'exists'), need('k8s:a', 'in', 'y', 'x', 'y')],
    };
    expect(selectorKey(a)).toBe(selectorKey(b));
    expect(selectorKey(a)).not.toBe(selectorKey({ requirements: [need('k8s:b', 'exists')] }));
  });
});

function need(
  key: string,
  operator: LabelRequirement['operator'],
  ...values: string[]
): LabelRequirement {
  return { key, operator, values };
}
