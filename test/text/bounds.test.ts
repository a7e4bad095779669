/**
 * Each parser of a foreign text refuses what exceeds a named bound, with its place and the bound's name, before
 * anything recurses into it; what is at the bound is taken.
 */

import { describe, expect, it } from 'vitest';
import { LineCounter } from 'yaml';
import { openTestFile } from '../../src/cli/ask/policy_tests.ts';
import { parseLocated } from '../../src/config/located.ts';
import { decodeEndpoints } from '../../src/control/decode/endpoints/endpoints.ts';
import { formatProblem } from '../../src/control/decode/problem.ts';
import { decodeSecrets } from '../../src/control/decode/secrets.ts';
import { DEFAULT_LIMITS, LIMITS, type Limits } from '../../src/model/limits.ts';
import { parseJson } from '../../src/text/json_value.ts';
import { parseYamlDocument, parseYamlDocuments } from '../../src/text/yaml_documents.ts';
import { testIo } from '../cli/test_io.ts';
import { cnp, decodeText } from '../control/decode/decode_check.ts';

const DEEP = 100_000;

function nested(depth: number): string {
  return `${'['.repeat(depth)}${']'.repeat(depth)}`;
}

/** Faults as "line:column: message". */
function faultsOf(text: string, limits: Partial<Limits> = {}): string[] {
  const lineCounter = new LineCounter();
  const options = { limits: { ...DEFAULT_LIMITS, ...limits }, lineCounter };
  return parseYamlDocuments(text, options).flatMap(({ errors }) =>
    errors.map(({ pos, message }) => {
      const { line, col } = lineCounter.linePos(pos[0]);
      return `${line}:${col}: ${message}`;
    }),
  );
}

describe('a YAML document', () => {
  const depth = 'lists and maps are nested deeper than documentDepthMax allows (3)';
  it.each([
    ['flow lists', 'a: 1\n---\nb: [[[c]]]', `3:6: ${depth}`],
    ['flow maps', '{ a: { b: { c: { d: 1 } } } }', `1:16: ${depth}`],
    ['block maps', 'a:\n  b:\n    c:\n      d: 1\n', `4:8: ${depth}`],
    ['lists of one line', '- - - - a', `1:7: ${depth}`],
    ['keys that are maps', '? ? ? ? a', `1:7: ${depth}`],
  ])('of %s, one deeper than may be, is refused where that begins', (_name, text, fault) => {
    expect(faultsOf(text, { documentDepthMax: 3 })).toEqual([fault]);
    expect(faultsOf(text, { documentDepthMax: 4 })).toEqual([]);
  });

  it.each([
    [
      'bytes',
      'a: 1\n---\nb: "ü123456789"\n',
      { documentBytesMax: 17 },
      { documentBytesMax: 21 },
      '2:1: the document has more bytes than documentBytesMax allows (17)',
    ],
    [
      'tokens',
      'a: 1\n---\nb: [1, 2]',
      { documentTokenCountMax: 7 },
      { documentTokenCountMax: 8 },
      '3:9: the document has more keys, values and signs than documentTokenCountMax allows (7)',
    ],
    [
      'anchors',
      'a: &x 1\n---\nb: &x 1\nc: *x\nd: "&y"\n',
      { documentAnchorCountMax: 1 },
      { documentAnchorCountMax: 2 },
      '4:4: the document has more anchors and aliases than documentAnchorCountMax allows (1)',
    ],
  ])('with more %s than may be is refused, with its place', (_n, text, under, at, fault) => {
    expect(faultsOf(text, under)).toEqual([fault]);
    expect(faultsOf(text, at)).toEqual([]);
  });

  it('that is as deep as can ever be allowed is read to its end', () => {
    const { max } = LIMITS.documentDepthMax;
    const limits = { ...DEFAULT_LIMITS, documentDepthMax: max };
    for (const text of [nested(max), `${'- '.repeat(max)}a`, `${'? '.repeat(max)}a`]) {
      expect(parseYamlDocument(text, { limits, uniqueKeys: false }).errors).toEqual([]);
    }
  });

  it('is refused before memory and time are spent on a tree of it', () => {
    const text = '[[]]\n'.repeat(200_000);
    expect(faultsOf(text, { documentTokenCountMax: 1000 })).toHaveLength(1);
  });
});

describe('a JSON text', () => {
  it.each([
    ['[[[[1]]]]', { documentDepthMax: 3 }, 'line 1 column 4'],
    ['{"a":"[[[[",\n"b":[{"c":[]}]}', { documentDepthMax: 3 }, 'line 2 column 11'],
    ['[1,2,3]', { documentTokenCountMax: 2 }, 'line 1 column 5'],
  ])('%s that is too much is refused with its place', (text, limits, place) => {
    const result = parseJson(text, { ...DEFAULT_LIMITS, ...limits });
    expect(result).toMatchObject({
      kind: 'error',
      message: expect.stringContaining(`at ${place}`),
    });
    expect(parseJson(text, DEFAULT_LIMITS)).toEqual({ kind: 'value', value: JSON.parse(text) });
  });
});

describe('lists a hundred thousand deep are told with their place', () => {
  const where = 'lists and maps are nested deeper than documentDepthMax allows (100)';
  const deep = nested(DEEP);
  const source = { path: 'f.yaml', text: `a:\n  b: ${deep}` };
  const problemsOf = (result: {
    readonly kind: string;
    readonly problems?: readonly Parameters<typeof formatProblem>[0][];
  }): string[] => (result.problems ?? []).map(formatProblem);

  it.each([
    ['a policy', () => decodeText(cnp(`ingress: ${deep}`)).problems.map(formatProblem), '6:110'],
    ['an endpoints file', () => problemsOf(decodeEndpoints(source, DEFAULT_LIMITS)), '2:104'],
    ['a secrets file', () => problemsOf(decodeSecrets(source, DEFAULT_LIMITS)), '2:104'],
    [
      'JSON documents',
      () => decodeText(`{"a": ${deep}}\n{"b": 1}`).problems.map(formatProblem),
      '1:106',
    ],
  ])('in %s', (_name, problems, place) => {
    expect(problems()).toContainEqual(expect.stringMatching(`:${place}: .*`));
    expect(problems().join('\n')).toContain(where);
  });

  it('in the configuration', () => {
    expect(parseLocated(source.text, 'c.yaml')).toMatchObject({
      problems: [{ origin: { line: 2, column: 104 }, message: where }],
    });
  });

  it('in the configuration, by aliases', () => {
    const step = (name: string, inner: string): string =>
      `${name}: &${name} ${'['.repeat(30)}${inner}${']'.repeat(30)}\n`;
    const text =
      step('a', '') + step('b', '*a') + step('c', '*b') + step('d', '*c') + step('e', '*d');
    expect(parseLocated(text, 'c.yaml')).toMatchObject({
      problems: [{ message: 'aliases nest lists and maps deeper than 100' }],
    });
  });

  it('in a policy test file', () => {
    const opened = openTestFile(source.text, { shown: 't.yaml', directory: '/' }, testIo());
    expect(opened).toEqual({ kind: 'unreadable', message: `t.yaml:2:104: ${where}` });
  });
});
