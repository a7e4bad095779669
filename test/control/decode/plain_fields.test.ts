/**
 * An object is decoded as its text would be: the same documents, the same problems and warnings, but for the places.
 * The texts are JSON, which is YAML, and for the fixtures also YAML in blocks.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { DocumentsDecoder } from '../../../src/control/decode/documents_decoder.ts';
import type { Field, FieldReader } from '../../../src/control/decode/field.ts';
import { type Place, WHOLE_SET } from '../../../src/control/decode/place.ts';
import { readPlain } from '../../../src/control/decode/plain_fields.ts';
import { decodePolicyObject, type ObjectRef } from '../../../src/control/decode/policy_object.ts';
import type { Problem } from '../../../src/control/decode/problem.ts';
import { readYaml } from '../../../src/control/decode/yaml_fields.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';
import { cnp, tiers, wireRule } from './decoding.ts';

const FIXTURES = join(import.meta.dirname, '../../../fixtures/policy');
const OPTIONS = {
  limits: DEFAULT_LIMITS,
  regexEngine: createRe2Engine(DEFAULT_LIMITS),
  hasNodeLabels: true,
  isApiServerChecked: true,
  isKustomization: false,
};

const fixtures = readdirSync(FIXTURES).flatMap((name) => {
  const { policies } = parse(readFileSync(join(FIXTURES, name), 'utf8')) as {
    readonly policies: readonly unknown[];
  };
  return policies.map((policy, index) => ({ name: `${name} ${index}`, policy }));
});

const samples = [
  ...fixtures.map(({ policy }) => policy),
  parse(
    tiers(
      '{ tier: Admin, priority: 1, subject: { namespaces: {} }, egress: [{ action: Accept, to: [{ networks: [10.0.0.0/8] }, { domainNames: [a.test] }], protocols: [{ tcp: { destinationPort: { number: 80 } } }] }] }',
    ),
  ),
  parse(
    wireRule(
      '{ precedence: 5, pass_precedence: 3, remote_policies: [43], http_rules: { http_rules: [{ headers: [{ name: b, range_match: { start: 1, end: "5" } }], header_matches: [{ name: c, value: d, match_action: 1 }] }] } }',
    ),
  ),
];

describe('an object', () => {
  it('has fixtures to go by', () => {
    expect(fixtures.length).toBeGreaterThan(80);
  });

  it.each(fixtures)('is decoded as its text is: $name', ({ policy }) => {
    const plain = decoded(readPlain(policy, () => WHOLE_SET));
    expect(plain).toEqual(decodedText(JSON.stringify(policy)));
    const blocks = stringify(policy, { defaultStringType: 'QUOTE_DOUBLE' });
    expect(plain).toEqual(decodedText(blocks));
  });

  it('is decoded as its text is, whatever stands in the place of any value', () => {
    const seen = { good: 0, bad: 0, warned: 0 };
    const json = fc.jsonValue({ maxDepth: 2, noUnicodeString: true });
    const put = fc.oneof(
      json,
      fc.constantFrom(...ODD_VALUES),
      fc.constantFrom(...samples).chain((sample) => fc.constantFrom(...valuesIn(sample))),
    );
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(), put, (sample, at, value) => {
        const count = { left: at % Math.max(1, valuesIn(sample).length) };
        const changed = withValue(sample, count, value);
        const plain = decoded(readPlain(changed, () => WHOLE_SET));
        expect(plain).toEqual(decodedText(JSON.stringify(changed)));
        seen[plain.problems.length === 0 ? 'good' : 'bad']++;
        if (plain.warnings.length > 0) seen.warned++;
      }),
      runs(600),
    );
    expect(Math.min(seen.good, seen.bad, seen.warned)).toBeGreaterThan(10);
  });

  it('may have a label that only a text can be read wrong: on, in quotes or sent by a program', () => {
    const spec = (matchLabels: string): string =>
      cnp(`{ endpointSelector: { matchLabels: ${matchLabels} }, ingress: [{}] }`);
    expect(decodedText(spec('{ on: a }')).problems).toEqual([
      expect.objectContaining({ message: expect.stringContaining('write it in quotes: "on"') }),
    ]);
    const quoted = decodedText(spec('{ "on": a }'));
    expect(quoted.problems).toEqual([]);
    expect(decoded(readPlain(parse(spec('{ "on": a }')), () => WHOLE_SET))).toEqual(quoted);
    const key = '{ endpointSelector: { matchExpressions: [{ key: "on", operator: Exists }] }';
    expect(decodedText(cnp(`${key}, ingress: [{}] }`)).problems).toEqual([]);
  });

  it('has the places of its own fields', () => {
    const policy = parse(cnp('{ endpointSelector: {}, ingress: [{ toPorts: [{ prots: [] }] }] }'));
    const ref = { apiKind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'p', uid: 'u' };
    const result = decodePolicyObject(policy, ref, OPTIONS);
    expect(result.kind === 'refused' && result.problems.map(({ place }) => place)).toEqual([
      { kind: 'object', ...ref, field: 'spec.ingress[0].toPorts[0].prots' },
    ]);
  });

  const whole = parse(cnp('{ endpointSelector: {}, ingress: [{}] }'));
  const others: readonly [about: string, object: unknown, ref: Partial<ObjectRef>, text: string][] =
    [
      ['of another name', whole, { name: 'q' }, 'says that it is CiliumNetworkPolicy shop/p'],
      ['of another namespace', whole, { namespace: 'x' }, 'says that it is'],
      ['of another kind', whole, { apiKind: 'NetworkPolicy' }, 'says that it is'],
      ['that is a list', { kind: 'List', apiVersion: 'v1', items: [whole, whole] }, {}, 'found 2'],
      ['that is no policy', { kind: 'Pod', apiVersion: 'v1' }, {}, 'found 0'],
      ['that is nothing', null, {}, 'is no policy (found nothing'],
    ];
  it.each(others)('%s than the API names is refused', (_, object, other, text) => {
    const ref = { apiKind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'p', uid: null };
    const result = decodePolicyObject(object, { ...ref, ...other }, OPTIONS);
    expect(result).toMatchObject({
      kind: 'refused',
      problems: [{ message: expect.stringContaining(text) }],
    });
  });

  it('is no field of another reader', () => {
    const plain = readPlain({ a: 1 }, () => WHOLE_SET);
    const yaml = readYaml({ path: 'a.yaml', text: 'a: 1' }, DEFAULT_LIMITS);
    const [ofPlain, ofYaml] = [plain.root(), yaml.root()] as [Field, Field];
    expect(() => plain.entries(ofYaml)).toThrow('another reader');
    expect(() => yaml.entries(ofPlain)).toThrow('another reader');
  });

  it.each([[() => 1], [1n], [Symbol('x')]])('refuses what no JSON has: %s', (value) => {
    const reader = readPlain({ a: value }, () => WHOLE_SET);
    expect(() => reader.entries(reader.root() as Field)).toThrow(TypeError);
  });
});

/** Texts that look like others, and numbers at the border. */
const ODD_VALUES: readonly unknown[] = [
  ...['on', 'y', 'null', '~', '', '<<', '*a', '010', '0x1f', '1e3', '.nan', ' ', '{{', '80'],
  ...[0, -0, 1e21, 1e-7, 2 ** 53, -1, 0.5, true, false, null, [], {}, [null], { a: null }],
  { '<<': { a: 1 } },
  JSON.parse('{"__proto__":{"a":1},"constructor":1}'),
];

interface Result {
  readonly documents: readonly unknown[];
  readonly others: readonly unknown[];
  readonly problems: readonly unknown[];
  readonly warnings: readonly unknown[];
}

function decodedText(text: string): Result {
  return decoded(readYaml({ path: 'p.yaml', text }, DEFAULT_LIMITS));
}

function decoded(reader: FieldReader): Result {
  const decoder = new DocumentsDecoder(OPTIONS);
  decoder.add(reader);
  const { documents, others, problems, warnings } = decoder;
  return {
    documents: documents.map(({ positions, ...document }) => ({
      ...withoutPlace(document),
      positions: [...positions.keys()],
    })),
    others: others.map(withoutPlace),
    problems: problems.map((problem: Problem) => withoutPlace(problem)),
    warnings: warnings.map((warning: Problem) => withoutPlace(warning)),
  };
}

function withoutPlace<Placed extends { readonly place: Place }>({
  place: _,
  ...rest
}: Placed): Omit<Placed, 'place'> {
  return rest;
}

/** The values within, in the order in which `withValue` counts them. */
function valuesIn(value: unknown): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return [value];
  return Object.values(value).flatMap((one) => [one, ...valuesIn(one)]);
}

/** With the value that comes after so many others replaced. */
function withValue(value: unknown, count: { left: number }, put: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const one = (inner: unknown): unknown =>
    count.left-- === 0 ? put : withValue(inner, count, put);
  if (Array.isArray(value)) return value.map(one);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, one(inner)]));
}
