/**
 * Policies that a tenant may write to make a verdict long, each with a request that asks the most of it. What the
 * engine refuses when it compiles them is left out: those cost nobody anything.
 */
import { plainHead, type RequestHead } from '../../src/model/request_head.ts';
import type { HeaderMatcher, HttpRule } from '../../src/policy/ast.ts';
import { httpRule, matcher } from './policies.ts';

export interface NastyCase {
  readonly name: string;
  readonly rules: readonly HttpRule[];
  readonly heads: readonly RequestHead[];
}

const PATH_BYTES = 32_000;
const FIELD_BYTES = 60_000;

export function nastyCases(): readonly NastyCase[] {
  return [
    ...[4, 12, 20, 60, 120].map((n) =>
      onPath(`(a|b)*a(a|b){${n}}`, 1, () => `/(a|b)*a(a|b){${n}}c`),
    ),
    onPath('20 of (a|b)*a(a|b){60}', 20, (i) => `/(a|b)*a(a|b){${40 + i}}c${i}`),
    onPath('200 of (a|b)*a(a|b){60}', 200, (i) => `/(a|b)*a(a|b){${30 + (i % 30)}}c${i}`),
    onPath('.*a.{20}', 4, (i) => `.*a.{${20 + i}}c`),
    onPath('nested repetition', 8, (i) => `/((a{1,9}b?){1,9}|b){1,3}${i}`),
    onPath('nested stars', 8, (i) => `/((a*b*)*(a|b)*)*c${i}`),
    onPath('unicode classes', 8, (i) => `/(\\pL|[^x]){1,9}a\\pL{${10 + i}}x`),
    onPath('without case', 8, (i) => `(?i)/.*a[^/]{${20 + i}}c`),
    onPath('word borders', 8, (i) => `/.*\\ba.*\\b.{${i}}c`),
    onPath('1,000 without a beginning', 1000, (i) => `.*/service/${i}/items/[0-9]+`),
    onPath('3,000 that go on', 3000, (i) => `/.*/res${i}/[0-9]+(/[a-z-]+)?/.*`),
    onPath('1,000 that run on', 1000, (i) => `.*a${i}.*b`),
    scanned(),
    onPath('3,000 of one beginning', 3000, (i) => `/a[ab]*${i}.*`),
    onPath('a set that forgets its states', 60, (i) => `/.*a[ab]{${i % 12}}c${i}`),
    ofField('on a long field', 20, (i) => matcher('x-long', `.*a.{${10 + i}}c`)),
    ofField('turned around on a long field', 20, (i) => ({
      ...matcher('x-long', `.*a.{${10 + i}}c`),
      isInverted: true,
    })),
    ofField('3,000 cheap ones on a long field', 3000, (i) => matcher('x-long', `.*c${i}`)),
    ofField('3,000 texts in a long field', 3000, (i) => ({
      ...matcher('x-long', ''),
      value: { kind: 'contains', text: `a${i}`, ignoreCase: true },
    })),
    ofField('3,000 by turns on two long fields', 3000, (i) => ({
      ...matcher(i % 2 === 0 ? 'x-long' : 'x-other', ''),
      value: { kind: 'exact', text: `a${i}`, ignoreCase: false },
    })),
    onHost('hosts', 40, (i) => `(a|b|\\.)*a(a|b){${20 + i}}c`),
    headerActions(),
  ];
}

type PatternOf = (i: number) => string;

function onPath(name: string, count: number, patternOf: PatternOf): NastyCase {
  const rules = numbers(count).map((i) => httpRule(i, [matcher(':path', patternOf(i))]));
  const lengths = [40, 400, 4000, PATH_BYTES];
  const paths = [
    ...lengths.map((length) => `/${letters(length)}`),
    `/${'service/1/items/7/'.repeat(1500)}`,
    ...lengths.map((length) => textsOf(count).slice(0, length)),
  ];
  return { name: `path: ${name}`, rules, heads: paths.map((path) => headOf({ path })) };
}

/** Of each of three beginnings so many that the texts that they need are looked for, in a path that has all three. */
function scanned(): NastyCase {
  const beginnings = ['', '/', '/a'];
  const rules = numbers(6000).map((i) => {
    const text = letters(60, { of: 26, seed: i });
    return httpRule(i, [matcher(':path', `${beginnings[i % 3]}.*${text}.*`)]);
  });
  const path = `/a${letters(59_000, { of: 26, seed: -1 })}`;
  return { name: 'path: 6,000 that need a text each', rules, heads: [headOf({ path })] };
}

/** What many of the patterns need stands in it, so that these are asked. */
function textsOf(count: number): string {
  const texts = numbers(count).map((i) => `/service/${i}/items/7/aac${i}xb/res${i}/1/a`);
  return texts.join('');
}

function onHost(name: string, count: number, patternOf: PatternOf): NastyCase {
  const rules = numbers(count).map((i) => httpRule(i, [matcher(':authority', patternOf(i))]));
  const heads = [40, 250, 4000].map((length) => headOf({ authority: letters(length) }));
  return { name: `host: ${name}`, rules, heads };
}

function ofField(name: string, count: number, matcherOf: (i: number) => HeaderMatcher): NastyCase {
  const rules = numbers(count).map((i) => httpRule(i, [matcherOf(i)]));
  const heads = [400, 8000, FIELD_BYTES].map((length) =>
    headOf({ fields: ['x-long', letters(length), 'x-other', letters(length)] }),
  );
  return { name: `field: ${name}`, rules, heads };
}

function headerActions(): NastyCase {
  const rules = numbers(2000).map((i) =>
    httpRule(
      i,
      [],
      [
        {
          name: 'x-long',
          value: `a${i}`,
          secret: null,
          matchAction: 'continue',
          mismatchAction: 'add',
        },
      ],
    ),
  );
  return {
    name: 'field: 2,000 actions',
    rules,
    heads: [headOf({ fields: ['x-long', letters(FIELD_BYTES)] })],
  };
}

interface HeadParts {
  readonly path?: string;
  readonly authority?: string;
  readonly fields?: readonly string[];
}

function headOf({ path = '/', authority = 'a.test', fields = [] }: HeadParts): RequestHead {
  return plainHead({ method: 'GET', path, authority, fields });
}

/** The first of the alphabet, in an order that repeats late: each byte of them leads to another state. */
function letters(length: number, { of = 2, seed = 1 } = {}): string {
  let state = Math.imul(seed, 2654435761) & 0x7fffffff;
  let text = '';
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    text += String.fromCharCode(97 + ((state >> 16) % of));
  }
  return text;
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}
