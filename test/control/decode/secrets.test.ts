import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import { decodeSecrets } from '../../../src/control/decode/secrets.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';

const UNREADABLE = 'not a map of names to quoted texts (what was found is not shown)';

function decoded(text: string): ReadonlyMap<string, string> | readonly string[] {
  const result = decodeSecrets({ path: 's.yaml', text }, DEFAULT_LIMITS);
  return result.kind === 'ok' ? result.secrets : result.problems.map(formatProblem);
}

describe('a secrets file', () => {
  it('gives a value for each name, as the bytes of a request', () => {
    expect(decoded('shop/token: abc\n"x": ""\nutf: "\\u00e9"\n')).toEqual(
      new Map([
        ['shop/token', 'abc'],
        ['x', ''],
        ['utf', '\u00c3\u00a9'],
      ]),
    );
  });

  it.each(['', '# none\n', '{}'])('may be empty: %j', (text) => {
    expect(decoded(text)).toEqual(new Map());
  });

  it.each([
    ['a: 12345\n', 's.yaml:1:4: a: the value of a secret must be a string (quote it)'],
    ['a: [b]\n', 's.yaml:1:4: a: the value of a secret must be a string (quote it)'],
    ['a: *b\n', `s.yaml:1:4: a: ${UNREADABLE}`],
    ['- a\n', `s.yaml:1:1: ${UNREADABLE}`],
    ['a: 1\na: 2\n', 's.yaml:2:1: Map keys must be unique'],
  ])('%j is refused', (text, problem) => expect(decoded(text)).toContain(problem));

  it.each([
    'hunter2\n',
    '"hunter2"\n',
    'a: !hunter2 x\n',
    'a: *hunter2\n',
    'a: "x" hunter2\n',
    'a: [x\nhunter2: y',
    '? [hunter2]\n: x\n',
    '? *hunter2\n: x\n',
    '%hunter2\n---\na: b\n',
    'a: "\\xhunter2"\n',
    'a: |hunter2\n',
    'a: &hunter2\n',
    '12345: x\n',
    'a: @hunter2\n',
    'a: `hunter2`\n',
    'a: b\n--- hunter2\n',
  ])('%j tells nothing of what it holds', (text) => {
    const found = decoded(text);
    if (found instanceof Map) return;
    expect(JSON.stringify(found)).not.toMatch(/hunter2|12345/);
    expect(found).not.toEqual([]);
  });

  it('a value that would end a line is refused, and no value is ever told', () => {
    const problems = decoded('a: "hunter2\\r\\nx: y"\nb: |\n  hunter2\nc: 12345\nd: [hunter2]\n');
    expect(problems).toHaveLength(4);
    expect(JSON.stringify(problems)).not.toMatch(/hunter2|12345/);
  });
});
