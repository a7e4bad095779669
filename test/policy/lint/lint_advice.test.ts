/**
 * What lint proposes admits nothing that was not meant: for each kind of finding the meaning is written
 * here a second time, by other means, and held against values near the pattern, an attacker's among them.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { FindingId } from '../../../src/policy/lint/finding_kinds.ts';
import { lintPattern } from '../../../src/policy/lint/http_rule_lint.ts';
import { MATCH_YES } from '../../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';

const engine = createRe2Engine(DEFAULT_LIMITS);

/** Null when RE2 refuses the pattern. */
function matcherOf(pattern: string): ((text: string) => boolean) | null {
  const compiled = engine.compile(pattern);
  if (compiled.kind === 'error') return null;
  return (text) => compiled.regex.test(Buffer.from(text, 'latin1')) === MATCH_YES;
}

function globPrefix(pattern: string): string {
  return pattern.replace(/^\^/, '').replace(/\$$/, '').replace(/\*+$/, '');
}

/** Was the value meant by who wrote the pattern? Absent: nothing is ever proposed. */
const MEANT: Partial<Record<FindingId, (pattern: string, value: string) => boolean>> = {
  'implied-anchor': same,
  'bare-dot': same,
  'prefix-not-segment': same,
  // A dot of the pattern may have matched a "?" before.
  'query-forgotten': (pattern, value) =>
    same(pattern, value) || same(pattern, value.split('?')[0] ?? ''),
  'host-case': (pattern, value) => same(pattern.toLowerCase(), value),
  'glob-not-regex': (pattern, value) => {
    if (pattern.includes('/')) return value.startsWith(globPrefix(pattern));
    const parts = pattern.replace(/^\^/, '').replace(/\$$/, '').split('*');
    let rest = value;
    return parts.every((part, index) => {
      const at = index === 0 ? (rest.startsWith(part) ? 0 : -1) : rest.indexOf(part);
      if (at === -1) return false;
      rest = rest.slice(at + part.length);
      return true;
    });
  },
  'never-matches': (pattern, value) => {
    const core = pattern.replace(/^\^/, '').replace(/\$$/, '');
    if (/^[a-z|,; ]+$/i.test(core) && value === value.toUpperCase()) {
      return core
        .toUpperCase()
        .split(/[|,; ]+/)
        .includes(value);
    }
    if (value.startsWith('/')) return same(core, value.slice(1));
    return core.replace(/^https?:\/+/, '').split('/')[0] === value;
  },
};

function same(pattern: string, value: string): boolean {
  return matcherOf(pattern)?.(value) ?? false;
}

const word = fc.constantFrom('api', 'public', 'v1', 'a-b', 'x_y', 'users', 'Ab', 'get', '7');
const operator = fc.constantFrom(
  '',
  '',
  '.*',
  '*',
  '.',
  '\\.',
  '[0-9]+',
  '(a|b)',
  '|',
  '/',
  '//',
  '?',
  '.+',
);
const end = fc.constantFrom(
  '',
  '',
  '$',
  '.*',
  '/*',
  '/**',
  '*',
  '/.*',
  '\\$',
  '(\\?.*)?',
  '\\d.*',
  '{2}.*',
);

const path = fc
  .tuple(
    fc.constantFrom('', '^', '/', '^/', '/'),
    fc.array(fc.tuple(word, operator), { minLength: 1, maxLength: 3 }),
    end,
  )
  .map(([start, parts, last]) => `${start}${parts.flat().join('')}${last}`);

const host = fc
  .tuple(
    fc.constantFrom('', '^', '*.', '.*\\.', 'https://', 'api-*.'),
    fc.array(word, { minLength: 1, maxLength: 2 }),
    fc.constantFrom('.', '\\.', '.*.', '[.]', '-'),
    fc.constantFrom('test', 'com', 'test$', 'com.', 'test/x', '.*', 'test:80', 'TEST', '\\D'),
  )
  .map(([start, words, dot, last]) => `${start}${words.join(dot)}${dot}${last}`);

const method = fc
  .array(fc.constantFrom('get', 'POST', 'Put', 'delete'), { minLength: 1, maxLength: 3 })
  .chain((words) => fc.constantFrom('|', ',', ', ', ' ').map((joint) => words.join(joint)));

/** Values that begin or end like the pattern's text, and go on as an attacker would. */
function valuesNear(pattern: string, proposed: string): readonly string[] {
  const texts = [pattern, proposed].flatMap((text) => {
    const plain = text.replaceAll(
      /\\|\^|\$|\(\\\?\.\*\)\?|\(\[\/\?\]\.\*\)\?|\[\^\.\]\+|\*+|\.\+/g,
      '',
    );
    return [plain, text.replaceAll(/[\\^$*()[\]?|+{}]/g, ''), plain.replaceAll('.', 'x')];
  });
  const tails = [
    '',
    'x',
    '-secret',
    '/',
    '/x',
    '/x/y',
    '?x=1',
    '/?x',
    'icity',
    '.attacker.test',
    ':80',
    '/..',
    '7',
    '?',
  ];
  const heads = ['', 'x', 'evil', 'evil.', 'a.b.', '/', 'x/', 'evil-'];
  return texts.flatMap((text) =>
    heads.flatMap((head) =>
      tails.flatMap((tail) => [`${head}${text}${tail}`, `${head}${text.slice(0, -1)}${tail}`]),
    ),
  );
}

describe('a proposal', () => {
  it.each([
    ['path', path],
    ['host', host],
    ['method', method],
  ] as const)('for a %s admits nothing that was not meant', (label, patterns) => {
    let proposals = 0;
    let admitted = 0;
    fc.assert(
      fc.property(patterns, (pattern) => {
        for (const { id, instead } of lintPattern(label, pattern)) {
          if (instead === null) continue;
          const matches = matcherOf(instead);
          const meant = MEANT[id];
          expect({ id, isKnown: meant !== undefined }).toEqual({ id, isKnown: true });
          // The original may be one that RE2 refuses; what is proposed must never be.
          if (matcherOf(pattern) !== null)
            expect({ instead, matches }).not.toMatchObject({ matches: null });
          if (matches === null || meant === undefined) continue;
          proposals++;
          const core = id === 'implied-anchor' ? pattern : withoutAnchors(pattern);
          for (const value of valuesNear(pattern, instead)) {
            if (!matches(value)) continue;
            admitted++;
            expect({ id, pattern, instead, value, isMeant: meant(core, value) }).toMatchObject({
              isMeant: true,
            });
          }
        }
      }),
      runs(500),
    );
    expect(proposals).toBeGreaterThan(100);
    expect(admitted).toBeGreaterThan(100);
  });

  it.each([
    [
      'host',
      '^api.example.com$',
      'api.example.com',
      ['api.example.com.attacker.test', 'xapi.example.com'],
    ],
    ['path', '/public.*', '/public([/?].*)?', ['/public-secret', '/publicity']],
    ['path', '/api/*', '/api/.*', ['/apix', '/api']],
    ['path', '/a|/b', '(/a|/b)(\\?.*)?', ['/ax', '/a/x']],
    ['host', '*.a.test', '[^.]+\\.a\\.test', ['.a.test', 'x.y.a.test', 'xxa.test', 'a.test']],
  ])('for %s %s is %s', (label, pattern, expected, refused) => {
    const proposals = lintPattern(label, pattern).flatMap(({ instead }) => instead ?? []);
    expect(proposals).toContain(expected);
    for (const value of refused) {
      for (const proposal of proposals) expect(same(proposal, value)).toBe(false);
    }
  });

  it('is not linted again for the same thing', () => {
    fc.assert(
      fc.property(fc.oneof(path, host), fc.constantFrom('path', 'host'), (pattern, label) => {
        for (const { id, instead } of lintPattern(label, pattern)) {
          // A rule may be such that it never matches for two reasons; then one is told after the other.
          if (instead === null || id === 'never-matches' || matcherOf(pattern) === null) continue;
          expect({
            id,
            instead,
            again: lintPattern(label, instead)
              .map((one) => one.id)
              .includes(id),
          }).toMatchObject({ again: false });
        }
      }),
      runs(400),
    );
  });
});

function withoutAnchors(pattern: string): string {
  return pattern.replace(/^\^/, '').replace(/(?<!\\)\$$/, '');
}
