/** Patterns found by how their matches begin: never fewer than asking each one finds. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { finish } from '../../../src/model/steps.ts';
import { literalPrefixOf } from '../../../src/policy/match/literal.ts';
import { PatternIndex } from '../../../src/policy/match/pattern_index.ts';
import {
  MATCH_FAILED,
  MATCH_YES,
  type MatchOutcome,
  type Regex,
  type RegexEngine,
} from '../../../src/policy/match/regex.ts';
import { beginVerdict } from '../../../src/policy/match/verdict_work.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';

const engine = createRe2Engine(DEFAULT_LIMITS);

beforeEach(() => beginVerdict({ ...DEFAULT_LIMITS, verdictWorkMax: Number.MAX_SAFE_INTEGER }));

/** Whatever may stand between text and an operator, and what an operator may do to text. */
const PIECES = [
  ...['a', 'b', 'ab', '/', '/a', '-', '_', ' ', 'é', '\\.', '\\/', '\\\\', '\\-', '\\|', '\\*'],
  ...['*', '+', '?', '{2}', '{0,1}', '{,2}', '{a}', '*?', '|', '||', '.', '.*', '$', '^', '\\b'],
  ...['(', ')', '(?:', '(?i)', '(?i:', '(?P<n>', '(?s)', '(?U)', '(?-i)', '()', '\\d', '\\x61'],
  ...['[ab]', '[^a]', '[|]', '[)]', '[(]', '[]a]', '[[:alpha:]]', '\\Q', '\\E', '\\Q|\\E', '\\pL'],
  ...['\\Qa\\E', '\\Q\\E', '\\Q\\', '\\C', '\\A', '\\z', '\\B', '\\101', '\\n'],
];

const pattern = fc
  .array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 6 })
  .map((pieces) => pieces.join(''));

const subject = fc
  .array(fc.constantFrom('a', 'b', 'A', 'B', '/', '-', '.', '|', '*', '\\', ' ', '(', ')'), {
    maxLength: 5,
  })
  .map((characters) => characters.join(''));

describe('the beginning of a pattern', () => {
  const cases: readonly [pattern: string, beginning: string][] = [
    ['/users/[0-9]+', '/users/'],
    ['^/users/.*$', '/users/'],
    ['/a\\.b/(x|y)', '/a.b/'],
    ['/ab*', '/a'],
    ['/ab{2}', '/a'],
    ['/ab|/c', ''],
    ['/a(b)|/c', ''],
    ['/a[|]', ''],
    ['/a\\|b.', '/a|b'],
    ['(?i)/a', ''],
    ['/ab(?i)*', '/a'],
    ['/ab\\Q\\E*', '/a'],
    ['.*/a', ''],
    ['/a', '/a'],
    ['', ''],
  ];
  it.each(cases)('of %s', (text, beginning) => {
    expect(literalPrefixOf(text)).toBe(beginning);
  });

  it('stands in front of everything that the pattern matches', () => {
    let matches = 0;
    fc.assert(
      fc.property(
        pattern,
        fc.array(subject, { minLength: 10, maxLength: 30 }),
        (text, subjects) => {
          const compiled = engine.compile(text);
          if (compiled.kind === 'error') return;
          const beginning = literalPrefixOf(text);
          for (const one of [...subjects, ...variants(beginning)]) {
            if (compiled.regex.test(Buffer.from(one, 'latin1')) !== MATCH_YES) continue;
            matches++;
            expect(one.startsWith(beginning)).toBe(true);
          }
        },
      ),
      runs(3000),
    );
    expect(matches).toBeGreaterThan(1000);
  });
});

describe('the texts that a pattern needs', () => {
  const needs: readonly [pattern: string, texts: readonly string[]][] = [
    ['/.*/res17/[0-9]+(/[a-z-]+)?/.*', ['/', '/res17/']],
    ['a(b|c)d', ['a', 'd']],
    ['a(?:b(c))d', ['abcd']],
    ['ab*c', ['a', 'c']],
    ['ab+c', ['ab', 'c']],
    ['a(bc){2,3}d', ['abc', 'd']],
    ['a(bc)?d', ['a', 'd']],
    ['a(?i)bc', ['a']],
    ['a(?s)*b', ['b']],
    ['a(?i:b)c', ['a', 'c']],
    ['^ab$', ['ab']],
    ['a\\.b\\Q*+\\Ec', ['a.b*+c']],
    ['abc|abd', ['ab']],
    ['.*', []],
    ['a\\C\\pLb', ['a', 'b']],
  ];
  it.each(needs)('of %s', (text, texts) => {
    const compiled = engine.compile(text);
    expect(compiled.kind === 'ok' ? compiled.regex.neededTexts : null).toEqual(texts);
  });

  it('stand in everything that it matches', () => {
    let matches = 0;
    fc.assert(
      fc.property(
        pattern,
        fc.array(subject, { minLength: 10, maxLength: 30 }),
        (text, subjects) => {
          const compiled = engine.compile(text);
          if (compiled.kind === 'error') return;
          const { neededTexts } = compiled.regex;
          const all = neededTexts.join('');
          for (const one of [...subjects, ...neededTexts.flatMap(variants), ...variants(all)]) {
            if (compiled.regex.test(Buffer.from(one, 'latin1')) !== MATCH_YES) continue;
            matches++;
            for (const needed of neededTexts) expect(one).toContain(needed);
          }
        },
      ),
      runs(3000),
    );
    expect(matches).toBeGreaterThan(1000);
  });
});

/** What a pattern would match whose beginning was taken for too long. */
function variants(text: string): readonly string[] {
  return [text.slice(0, -1), text.slice(1), text.toUpperCase(), text, `${text}a`, ''];
}

describe('the index of patterns', () => {
  const segment = fc.constantFrom('a', 'b', 'ab', 'users', '1', '12', '123');
  const ending = fc.constantFrom('', '/.*', '[0-9]+', '(x|y)', 'z?', '.', '|/b.*', '/[^/]+/c');
  const routed = fc
    .tuple(fc.array(segment, { maxLength: 4 }), ending)
    .map(([segments, end]) => `${segments.map((one) => `/${one}`).join('')}${end}`);
  const path = fc
    .tuple(fc.array(segment, { maxLength: 5 }), fc.constantFrom('', 'x', '/', '7', '/c'))
    .map(([segments, end]) => `${segments.map((one) => `/${one}`).join('')}${end}`);

  it('finds what asking each pattern finds', () => {
    const lists = fc.uniqueArray(fc.oneof({ weight: 9, arbitrary: routed }, pattern), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(
        lists,
        fc.array(path, { minLength: 20, maxLength: 20 }),
        fc.nat(8),
        (texts, paths, min) => {
          check(regexesOf(texts), paths, min);
        },
      ),
      runs(100),
    );
  });

  it('finds it among thousands, one by one and with sets', () => {
    const texts = Array.from({ length: 3000 }, (_, i) =>
      i % 3 === 0 ? `/s/${i}/[0-9]+` : i % 3 === 1 ? `/s/${i % 50}/x${i}.*` : `.*-${i}`,
    );
    const paths = [0, 1, 7, 299, 2998, 2999, 3000].flatMap((i) => [
      `/s/${i}/42`,
      `/s/${i % 50}/x${i}`,
      `/any-${i}`,
      `/s/${i}`,
    ]);
    check(regexesOf(texts), paths, 4);
  });

  it('answers nothing when one of those that can match cannot be asked', () => {
    const broken: RegexEngine = {
      compile: engine.compile.bind(engine),
      compileSet: () => ({ kind: 'error', message: 'out of memory' }),
    };
    const texts = Array.from({ length: 12 }, (_, i) => `/a.*[0-9]{${i + 1}}`);
    const index = finish(
      PatternIndex.build(regexesOf(texts), { engine: broken, setPatternsMin: 4 }),
    );
    expect(index.match('/a', Buffer.from('/a'))).toBeNull();
    expect(index.match('/a', Buffer.from('/a'))).toBeNull();
  });

  it('gives a set for which its share of memory is too little all there is, once', () => {
    const shares: number[] = [];
    const tight: RegexEngine = {
      compile: engine.compile.bind(engine),
      compileSet: (patterns, share) => {
        shares.push(share);
        if (share < 1) {
          const regex = { patterns, test: () => MATCH_FAILED as MatchOutcome, match: () => null };
          return { kind: 'ok', regex };
        }
        return engine.compileSet(patterns, share);
      },
    };
    // No text tells them apart.
    const texts = Array.from(
      { length: 600 },
      (_, i) =>
        `/${i % 2 === 0 ? 'a' : 'b'}.*-[${i % 10}][${Math.floor(i / 10) % 10}][${Math.floor(i / 100)}]`,
    );
    const index = finish(
      PatternIndex.build(regexesOf(texts), { engine: tight, setPatternsMin: 4 }),
    );
    for (let round = 0; round < 3; round++) {
      expect(index.match('/a-400', Buffer.from('/a-400'))).toEqual([4]);
    }
    // Each set is made with the index; the two that were asked are made again, once.
    expect(shares.filter((share) => share === 1)).toEqual([1, 1]);
    expect(shares.filter((share) => share < 1).reduce((sum, share) => sum + share, 0)).toBeCloseTo(
      1,
    );
  });
});

function check(regexes: readonly Regex[], paths: readonly string[], setPatternsMin: number): void {
  const index = finish(PatternIndex.build(regexes, { engine, setPatternsMin }));
  for (const text of paths) {
    const bytes = Buffer.from(text, 'latin1');
    const expected = [...regexes.keys()].filter((i) => regexes[i]?.test(bytes) === MATCH_YES);
    expect([...(index.match(text, bytes) ?? [])].sort((a, b) => a - b)).toEqual(expected);
  }
}

/** Those that RE2 takes. */
function regexesOf(texts: readonly string[]): readonly Regex[] {
  return texts.flatMap((text) => {
    const compiled = engine.compile(text);
    return compiled.kind === 'ok' ? [compiled.regex] : [];
  });
}
