import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import {
  fqdnNameProblem,
  fqdnPatternProblem,
  matchFqdnName,
  matchFqdnPattern,
} from '../../../src/policy/match/fqdn_pattern.ts';
import { literalOf } from '../../../src/policy/match/literal.ts';
import { MATCH_NO, MATCH_YES } from '../../../src/policy/match/regex.ts';
import { parseSniPattern } from '../../../src/policy/match/sni_pattern.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';

const engine = createRe2Engine(DEFAULT_LIMITS);

describe('server name patterns', () => {
  const cases: readonly [string, string, boolean][] = [
    ['a.test', 'a.test', true],
    ['A.test', 'a.TEST', true],
    ['a.test', 'b.a.test', false],
    ['*', 'a.b.c', true],
    ['*', '', false],
    ['*.test', 'a.test', true],
    ['*.test', 'a.b.test', false],
    ['*.test', 'test', false],
    ['**.test', 'a.test', true],
    ['**.test', 'a.b.test', true],
    ['**.test', 'test', false],
    ['a*b.test', 'ab.test', true],
    ['a*b.test', 'axxb.test', true],
    ['a*b.test', 'a.b.test', false],
    ['a*b*.test', 'axbx.test', true],
    ['a.**', 'a.b.c', true],
    ['**.a.**', 'x.a.y.z', true],
    ['**', 'a', true],
    ['k.test', '\u212a.test', false],
    ['*.test', '\u212a.test', false],
    ['*', '\u212a', false],
    ['*', 'a..b', false],
    ['*', 'a.', false],
    ['a*', 'a', true],
  ];
  it.each(cases)('%s and %s: %s', (pattern, name, expected) => {
    expect(parseSniPattern(pattern)?.matches(name)).toBe(expected);
  });

  it.each(['', '***', 'a..b', 'a.', '.a', 'a b', 'a**b', 'ä', 'a/b', '***.a'])(
    '%j is none',
    (pattern) => {
      expect(parseSniPattern(pattern)).toBeNull();
    },
  );

  it('gives what the regular expression of npds.proto gives', () => {
    const label = fc.constantFrom('a', 'b', 'ab', '*', '**', 'a*', '*b', 'a*b', 'a*b*');
    const nameLabel = fc.constantFrom('a', 'b', 'ab', 'axb', 'aab', 'abab', 'x');
    fc.assert(
      fc.property(
        fc.array(label, { minLength: 1, maxLength: 4 }),
        fc.array(nameLabel, { minLength: 1, maxLength: 5 }),
        (labels, names) => {
          const pattern = labels.join('.');
          const parsed = parseSniPattern(pattern);
          if (parsed === null) return;
          expect(parsed.matches(names.join('.'))).toBe(sniRegex(pattern).test(names.join('.')));
        },
      ),
      runs(1500),
    );
  });
});

describe('FQDN patterns', () => {
  const cases: readonly [string, string, boolean][] = [
    ['*', 'anything.at.all', true],
    ['*', '.', true],
    ['**', 'a.b', true],
    ['*.', 'a.b', true],
    ['cilium.io', 'CILIUM.io.', true],
    ['*.cilium.io', 'www.cilium.io', true],
    ['*.cilium.io', 'a.www.cilium.io', false],
    ['*.cilium.io', 'cilium.io', false],
    ['**.cilium.io', 'a.www.cilium.io', true],
    ['**.cilium.io', 'www.cilium.io', true],
    ['**.cilium.io', 'cilium.io', false],
    ['***.cilium.io', 'a.b.cilium.io', true],
    ['*cilium.io', 'xcilium.io', true],
    ['*cilium.io', 'www.cilium.io', false],
    ['sub*.cilium.io', 'sub.cilium.io', true],
    ['a.**.io', 'a.b.io', true],
    ['a.**.io', 'a.b.c.io', false],
    ['_sip._tcp.*', '_sip._tcp.example', true],
  ];
  it.each(cases)('%s and %s: %s', (pattern, name, expected) => {
    expect(fqdnPatternProblem(pattern)).toBeNull();
    expect(matchFqdnPattern(pattern, name)).toBe(expected);
  });

  it('names are compared without case and with a trailing dot', () => {
    expect(matchFqdnName('a.test', 'A.TEST.')).toBe(true);
    expect(matchFqdnName('a.test', 'b.a.test')).toBe(false);
    expect(matchFqdnName('k.test', '\u212a.test')).toBe(false);
    expect(matchFqdnPattern('*.test', '\u212a.test')).toBe(false);
  });

  it('what holds other characters is none', () => {
    expect(fqdnNameProblem('a/b')).not.toBeNull();
    expect(fqdnNameProblem('*.a')).not.toBeNull();
    expect(fqdnPatternProblem('a b')).not.toBeNull();
    expect(fqdnPatternProblem(' *.cilium.io')).not.toBeNull();
    expect(fqdnPatternProblem('*.cilium.io\n')).not.toBeNull();
    expect(fqdnPatternProblem(`${'a'.repeat(256)}`)).not.toBeNull();
  });

  it('takes bounded time on hostile patterns', () => {
    expect(matchFqdnPattern(`${'a*'.repeat(120)}b`, 'a'.repeat(250))).toBe(false);
    expect(matchFqdnPattern(`${'**.'.repeat(80)}b`, `${'a.'.repeat(120)}a`)).toBe(false);
  });
});

describe('literals', () => {
  const cases: readonly [string, string | null][] = [
    ['/public', '/public'],
    ['/public$', '/public'],
    ['^/public$', '/public'],
    ['/a\\.b', '/a.b'],
    ['/a.b', null],
    ['/a\\$', '/a$'],
    ['/a\\\\$', '/a\\'],
    ['a|b', null],
    ['/\\d', null],
    ['', ''],
    ['GET', 'GET'],
    ['/ä', null],
  ];
  it.each(cases)('%s is %s', (pattern, expected) => {
    expect(literalOf(pattern)).toBe(expected);
  });

  it('match what RE2 matches, and nothing else', () => {
    const text = fc.string({
      unit: fc.constantFrom('/', 'a', '.', '$', '^', '\\', '-', '?', '(', '_', 'Q', 'x'),
      maxLength: 6,
    });
    fc.assert(
      fc.property(text, text, (pattern, subject) => {
        const compiled = engine.compile(pattern);
        const literal = literalOf(pattern);
        if (compiled.kind === 'error' || literal === null) return;
        const expected = literal === subject ? MATCH_YES : MATCH_NO;
        expect(compiled.regex.test(Buffer.from(subject, 'latin1'))).toBe(expected);
        expect(compiled.regex.test(Buffer.from(literal, 'latin1'))).toBe(MATCH_YES);
      }),
      runs(4000),
    );
  });
});

describe('patterns', () => {
  const test = (pattern: string, subject: string | Buffer): number => {
    const compiled = engine.compile(pattern);
    if (compiled.kind === 'error') throw new Error(compiled.message);
    return compiled.regex.test(Buffer.from(subject as string, 'latin1'));
  };

  it.each<[string, string, boolean]>([
    ['/a', '/ab', false],
    ['a', 'ba', false],
    ['/a|/b', '/bx', false],
    ['(?i)get', 'GET', true],
    ['(?m)^/a$', '/a\n/b', false],
    ['/.*', '/a\nb', false],
    ['(?s)/.*', '/a\nb', true],
    ['/a\\z', '/a', true],
    ['\\Q/a.b\\E', '/a.b', true],
    ['\\Q/a.b', '/a.b', true],
    ['\\Q/a.b', '/axb', false],
    ['[[:alpha:]]+', 'ab', true],
    ['\\x{61}', 'a', true],
    ['/[^/]+/x', '/a/x', true],
    ['/[(?<x]', '/P', false],
    ['/[(?<x]', '/<', true],
    ['[](?<a]', ']', true],
    ['[](?<a]', 'P', false],
    ['[^](?<a]', 'P', true],
    ['[[:alpha:](?<]', '<', true],
    ['[[:digit:](?<]', 'P', false],
    ['(?<name>a)[(?]', 'a?', true],
    ['(?P<name>a)', 'a', true],
    ['\\pL', 'a', true],
    ['\\p{L}', 'a', true],
    ['\\P{L}', 'a', false],
    ['\\p{^L}', 'a', false],
    ['\\P{^L}', 'a', true],
    ['\\p{Latin}\\p{Greek}', 'aa', false],
    ['[\\p{Greek}a]', 'a', true],
    ['a\\C', 'a\xff', true],
    ['\\Q\\E', '', true],
    ['\\Qa\\Eb\\Qc', 'abc', true],
    ['\\\\Qa', '\\Qa', true],
  ])('%s on %j: %s', (pattern, subject, expected) => {
    expect(test(pattern, subject)).toBe(expected ? MATCH_YES : MATCH_NO);
  });

  it.each([
    'a)(b',
    '(a',
    '(?=a)',
    '(a)\\1',
    'a{1001}',
    '\\u0061',
    '\\cA',
    'a\0b',
    '*',
    '\\p{Letter}',
    '\\p{Emoji}',
    '\\p{Script=Greek}',
    '[\\Qa\\E]',
    'a\\E',
    '(?<=a)b',
    '[[:letters:]]',
    'a\\',
  ])('%j is refused', (pattern) => {
    expect(engine.compile(pattern).kind).toBe('error');
  });

  it('a class holds exactly the characters that it lists', () => {
    const chars = fc.constantFrom(...'()?<>P:=!/abQ^]-[&~');
    fc.assert(
      fc.property(
        fc.array(chars, { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        (list, isNegated) => {
          // "]" must be the first; "-" and "^" mean something in places, so they are escaped.
          const items = list.toSorted((a, b) => Number(b === ']') - Number(a === ']'));
          const body = items.map((char, i) => {
            const isPlain = char === ']' ? i === 0 : !'-^['.includes(char);
            return isPlain ? char : `\\${char}`;
          });
          const pattern = `x[${isNegated ? '^' : ''}${body.join('')}]`;
          for (const char of '()?<>P:=!/abQ^]-[&~\\zE') {
            const expected = list.includes(char) !== isNegated ? MATCH_YES : MATCH_NO;
            expect(test(pattern, `x${char}`), `${pattern} on x${char}`).toBe(expected);
          }
        },
      ),
      runs(200),
    );
  });

  it('that are too long or too large are refused', () => {
    expect(engine.compile('a'.repeat(DEFAULT_LIMITS.regexBytesMax + 1)).kind).toBe('error');
    expect(engine.compile('((a{100}){10}){10}').kind).toBe('error');
    expect(engine.compile('\\pL'.repeat(600)).kind).toBe('error');
  });

  it('no byte that is not UTF-8 is any character', () => {
    const compiled = engine.compile('/.*');
    if (compiled.kind === 'error') throw new Error(compiled.message);
    expect(compiled.regex.test(Buffer.from([0x2f, 0xff]))).toBe(MATCH_NO);
  });

  it('a set that is in use is not built again', () => {
    const patterns = ['/a', '/b.*'];
    const first = engine.compileSet(patterns, 1);
    const second = engine.compileSet([...patterns], 1);
    const other = engine.compileSet(patterns.toReversed(), 1);
    if (first.kind === 'error' || second.kind === 'error' || other.kind === 'error') {
      throw new Error('the sets compile');
    }
    expect(second.regex).toBe(first.regex);
    expect(other.regex).not.toBe(first.regex);
    expect(other.regex.match(Buffer.from('/a'))).toEqual([1]);
  });

  it('sets that are kept are bounded, and right when they are not', () => {
    const small = createRe2Engine({ ...DEFAULT_LIMITS, regexCacheCountMax: 3 });
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 20; i++) {
        const made = small.compileSet([`/${i}`, '/x.*'], 1);
        if (made.kind === 'error') throw new Error(made.message);
        expect(made.regex.match(Buffer.from(`/${i}`))).toEqual([0]);
      }
    }
  });

  it('a set says which patterns match, each over the whole subject', () => {
    const made = engine.compileSet(['/a', '/a.*', '/b', '.*'], 1);
    if (made.kind === 'error') throw new Error(made.message);
    expect(made.regex.match(Buffer.from('/a'))).toEqual([0, 1, 3]);
    expect(made.regex.match(Buffer.from('/ab'))).toEqual([1, 3]);
  });
});

/** network_policy.cc's translation. */
function sniRegex(pattern: string): RegExp {
  if (pattern === '*') return /^[-a-z0-9_]+(\.[-a-z0-9_]+)*$/;
  const source = pattern
    .replaceAll('.', '[.]')
    .replaceAll('**', '\u0001')
    .replaceAll('*', '[-a-z0-9_]{0,}')
    .replaceAll('\u0001', '[-a-z0-9_]+([.][-a-z0-9_]+){0,}');
  return new RegExp(`^(?:${source})$`);
}
