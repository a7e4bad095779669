/**
 * Rules found by index against rules asked one by one, with requests made from the patterns themselves: so
 * that most requests match something, whatever way a pattern has to say it.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { literalOf, literalPrefixOf } from '../../../src/policy/match/literal.ts';
import { MATCH_YES } from '../../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';
import { compiled, endpoint, http, port, rule, viewOf } from '../../support/wire_policy.ts';

const engine = createRe2Engine(DEFAULT_LIMITS);

/** A pattern, and a text that it often matches. */
interface Sampled {
  readonly pattern: string;
  readonly text: string;
}

const CHARACTERS = [...'abAB01/-._~%&=,;:!"#\'<>@` |*+?^$()[]{}\\\n', '\xe9', '\xff', '\x7f'];

const character: fc.Arbitrary<Sampled> = fc
  .tuple(fc.constantFrom(...CHARACTERS), fc.nat(9))
  .map(([text, how]) => ({ pattern: written(text, how), text }));

/** One of the ways in which RE2 takes a character. */
function written(text: string, how: number): string {
  const code = text.charCodeAt(0);
  if (code > 0x7e) return text;
  const hex = code.toString(16).padStart(2, '0');
  if (how === 0 || code < 0x20) return `\\x${hex}`;
  if (how === 1) return `\\x{${hex}}`;
  if (how === 2) return `[${/[\]\\^-]/.test(text) ? `\\${text}` : text}]`;
  if (how === 3 && !/[\\E]/.test(text)) return `\\Q${text}\\E`;
  return /[\\^$.|?*+()[\]{}]/.test(text) ? `\\${text}` : text;
}

const special: fc.Arbitrary<Sampled> = fc
  .constantFrom(
    ...[
      ['.', 'b'],
      ['.*', '/x'],
      ['[^/]+', 'a1'],
      ['\\d', '7'],
      ['\\pL', 'a'],
      ['\\w*', 'ab'],
    ],
    ...[
      ['[[:alpha:]|]', '|'],
      ['[)(]', ')'],
      ['[]a]', ']'],
      ['\\Q|\\E', '|'],
      ['\\Q(a|b', '(a|b'],
    ],
    ...['^', '$', '\\A', '\\z', '\\b', '(?i)', '(?s)', '(?m)', '(?U)', '\\Q\\E', ''].map((it) => [
      it,
      '',
    ]),
    ...['{', '{,3}', '{a}', '}', ']'].map((it) => [it, it]),
  )
  .map(([pattern = '', text = '']) => ({ pattern, text }));

const { sampled } = fc.letrec<{ sampled: Sampled; sequence: Sampled }>((tie) => ({
  sequence: fc.array(tie('sampled'), { maxLength: 4 }).map((parts) => ({
    pattern: parts.map(({ pattern }) => pattern).join(''),
    text: parts.map(({ text }) => text).join(''),
  })),
  sampled: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 4, arbitrary: character },
    { weight: 2, arbitrary: special },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('sequence'), tie('sequence'), fc.constantFrom('(', '(?:', '(?i:', '(?P<n>', ''))
        .map(([a, b, open]) => ({
          pattern: `${open}${a.pattern}|${b.pattern}${open === '' ? '' : ')'}`,
          text: a.text.length > b.text.length ? a.text : b.text,
        })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('sampled'), fc.constantFrom('*', '+', '?', '*?', '{0,}', '{0}', '{2}', '{0,1}'))
        .map(([{ pattern, text }, how]) => ({
          pattern: `${pattern}${how}`,
          text: how === '{0}' ? '' : how === '{2}' ? text + text : text,
        })),
    },
    { weight: 1, arbitrary: tie('sequence') },
  ),
}));

/** With stems in common, so that some are told apart far behind their first character. */
const path: fc.Arbitrary<Sampled> = fc
  .tuple(
    fc.constantFrom('', '/', '/s', '/api/v1/', `/${'long'.repeat(64)}`),
    fc.array(sampled, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '', '$', '.*'),
  )
  .map(([stem, parts, end]) => ({
    pattern: `${stem}${parts.map(({ pattern }) => pattern).join('')}${end}`,
    text: `${stem}${parts.map(({ text }) => text).join('')}`,
  }))
  .filter(({ pattern }) => engine.compile(pattern).kind === 'ok');

const change = fc.tuple(fc.nat(300), fc.constantFrom('none', 'cut', 'add', 'end', 'upper'));

function changed(text: string, [place, how]: readonly [number, string]): string {
  const at = place % (text.length + 1);
  if (how === 'cut') return text.slice(0, at) + text.slice(at + 1);
  if (how === 'add') return `${text.slice(0, at)}a${text.slice(at)}`;
  if (how === 'end') return text.slice(0, at);
  return how === 'upper' ? text.toUpperCase().replace(/[^\0-\xff]/g, '') : text;
}

function matches(pattern: string, text: string): boolean {
  const made = engine.compile(pattern);
  return made.kind === 'ok' && made.regex.test(Buffer.from(text, 'latin1')) === MATCH_YES;
}

const RUNS = runs(500);
const SET_RUNS = runs(80);

describe('a pattern', () => {
  it('that is taken for text matches that text and no other, and nothing without its beginning', () => {
    let matchCount = 0;
    fc.assert(
      fc.property(path, fc.array(change, { minLength: 6, maxLength: 6 }), (one, changes) => {
        const literal = literalOf(one.pattern);
        const beginning = literalPrefixOf(one.pattern);
        for (const how of changes) {
          const text = changed(one.text, how);
          const isMatch = matches(one.pattern, text);
          if (isMatch) matchCount++;
          if (literal !== null) expect(isMatch).toBe(text === literal);
          if (isMatch) expect(text.startsWith(beginning)).toBe(true);
        }
      }),
      RUNS,
    );
    expect(matchCount).toBeGreaterThan(RUNS.numRuns / 2);
  });
});

describe('rules found by index', () => {
  it('decide as rules asked one by one: the first that matches', () => {
    let allowCount = 0;
    fc.assert(
      fc.property(
        fc.array(path, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: 400 }),
        fc.array(fc.tuple(fc.nat(), change), { minLength: 15, maxLength: 15 }),
        (some, fillCount, asked) => {
          // Enough that the index has branches, and none of them a match.
          const fill = Array.from({ length: fillCount }, (_, i) => `/s/fill-${i}-[0-9]+`);
          const patterns = [...some.map(({ pattern }) => pattern), ...fill];
          const rules = http(...patterns.map((pattern) => [':path', pattern]));
          const view = viewOf(compiled(endpoint([port('80', [rule('r', { l7: rules })])])));
          for (const [number, how] of asked) {
            const text = changed((some[number % some.length] as Sampled).text, how);
            const decision = decideRequest(
              view,
              '',
              plainHead({ method: 'GET', authority: 'x', path: text }),
            );
            const first = patterns.findIndex((pattern) => matches(pattern, text));
            expect(decision.rule?.rule ?? decision.reason).toBe(
              first === -1 ? 'no-http-rule-matched' : `http[${first}]`,
            );
            if (first !== -1) allowCount++;
          }
        },
      ),
      SET_RUNS,
    );
    expect(allowCount).toBeGreaterThan(SET_RUNS.numRuns * 3.75);
  });
});
