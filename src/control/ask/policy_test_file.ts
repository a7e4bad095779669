/**
 * Policy test files: requests and the verdicts that are expected of a policy set. Parses a file's
 * value into texts and cases; reads nothing and judges nothing.
 *
 *     about: one sentence
 *     policies: [ ./file.yaml, { kind: CiliumNetworkPolicy, ... } ]
 *     endpoints: ./endpoints.yaml | { endpoints: [...] }
 *     secrets: ./secrets.yaml | { name: value }
 *     enableNodeSelectorLabels: true  # fromNodes and toNodes are allowed
 *     cases:
 *       - name: what is shown
 *         request: { ... }            # a line of `verdict`
 *         expect: allow | deny | { verdict, layer, reason, policy, rule, headers, missing, rejected }
 *     rejected: text                  # instead of cases: the set is refused, with this text
 */
import { parseQuestion, type Question } from './question.ts';

export interface PolicyTestFile {
  readonly about: string;
  readonly policies: readonly TestSource[];
  readonly endpoints: TestSource | null;
  readonly secrets: TestSource | null;
  readonly hasNodeLabels: boolean;
  readonly expectation: Expectation;
}

/** A path relative to the test file, or a document written inside it. */
export type TestSource =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'inline'; readonly document: unknown };

export type Expectation =
  | { readonly kind: 'cases'; readonly cases: readonly PolicyTestCase[] }
  | { readonly kind: 'rejected'; readonly text: string };

export interface PolicyTestCase {
  readonly name: string;
  readonly question: Question;
  /** Only the keys that are there are compared, with the verdict line's own values. */
  readonly expect: ReadonlyMap<ExpectKey, unknown>;
}

const EXPECT_KEYS = [
  'verdict',
  'layer',
  'reason',
  'policy',
  'rule',
  'headers',
  'missing',
  'rejected',
] as const;

export type ExpectKey = (typeof EXPECT_KEYS)[number];

const FILE_KEYS = [
  'about',
  'policies',
  'endpoints',
  'secrets',
  'enableNodeSelectorLabels',
  'cases',
  'rejected',
] as const;
const CASE_KEYS = ['name', 'request', 'expect'] as const;

export type PolicyTestFileResult =
  | { readonly kind: 'file'; readonly file: PolicyTestFile }
  | { readonly kind: 'error'; readonly message: string };

/**
 * `files`: a test file names what is asked. `cluster`: a cluster is asked, so it need not, and what it names is not
 * read.
 */
export type TestSubject = 'files' | 'cluster';

/** True when a value looks like a test file, so that a directory may hold policies beside tests. */
export function isPolicyTestFile(value: unknown, subject: TestSubject): boolean {
  const isTest = isRecord(value) && ('cases' in value || 'rejected' in value);
  return isTest && (subject === 'cluster' || 'policies' in value);
}

export function parsePolicyTestFile(value: unknown, subject: TestSubject): PolicyTestFileResult {
  try {
    return { kind: 'file', file: fileOf(value, subject) };
  } catch (error) {
    if (error instanceof TestFileError) return { kind: 'error', message: error.message };
    throw error;
  }
}

class TestFileError extends Error {}

function fileOf(value: unknown, subject: TestSubject): PolicyTestFile {
  const fields = recordOf(value, 'the file', FILE_KEYS);
  const isAbsent = subject === 'cluster' && !fields.has('policies');
  const policies = isAbsent ? [] : fields.get('policies');
  if (!Array.isArray(policies) || (policies.length === 0 && !isAbsent)) {
    fail('policies must be a list of at least one path or document');
  }
  return {
    about: textOf(fields.get('about') ?? '', 'about'),
    policies: policies.map((source, index) => sourceOf(source, `policies[${index}]`)),
    endpoints: optionalSource(fields.get('endpoints'), 'endpoints'),
    secrets: optionalSource(fields.get('secrets'), 'secrets'),
    hasNodeLabels: switchOf(fields.get('enableNodeSelectorLabels'), 'enableNodeSelectorLabels'),
    expectation: expectationOf(fields),
  };
}

function expectationOf(fields: ReadonlyMap<string, unknown>): Expectation {
  const cases = fields.get('cases');
  const rejected = fields.get('rejected');
  if ((cases === undefined) === (rejected === undefined)) {
    fail('exactly one of cases and rejected must be given');
  }
  if (rejected !== undefined) return { kind: 'rejected', text: textOf(rejected, 'rejected') };
  if (!Array.isArray(cases) || cases.length === 0)
    fail('cases must be a list of at least one case');
  return { kind: 'cases', cases: cases.map((item, index) => caseOf(item, `cases[${index}]`)) };
}

function caseOf(value: unknown, at: string): PolicyTestCase {
  const fields = recordOf(value, at, CASE_KEYS);
  const parsed = parseQuestion(fields.get('request'));
  if (parsed.kind === 'error') fail(`${at}.request: ${parsed.message}`);
  return {
    name: textOf(fields.get('name') ?? at, `${at}.name`),
    question: parsed.question,
    expect: expectOf(fields.get('expect'), `${at}.expect`),
  };
}

function expectOf(value: unknown, at: string): ReadonlyMap<ExpectKey, unknown> {
  if (value === 'allow' || value === 'deny') return new Map([['verdict', value]]);
  if (!isRecord(value)) fail(`${at} must be allow, deny or an object (found ${shown(value)})`);
  const fields = recordOf(value, at, EXPECT_KEYS) as ReadonlyMap<ExpectKey, unknown>;
  if (fields.size === 0) fail(`${at} expects nothing`);
  return fields;
}

function switchOf(value: unknown, at: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true;
  return fail(`${at} must be true or false (found ${shown(value)})`);
}

function optionalSource(value: unknown, at: string): TestSource | null {
  return value === undefined ? null : sourceOf(value, at);
}

function sourceOf(value: unknown, at: string): TestSource {
  if (typeof value === 'string') return { kind: 'path', path: value };
  if (isRecord(value)) return { kind: 'inline', document: value };
  return fail(`${at} must be a path or a document (found ${shown(value)})`);
}

function recordOf(
  value: unknown,
  at: string,
  keys: readonly string[],
): ReadonlyMap<string, unknown> {
  if (!isRecord(value)) fail(`${at} must be an object (found ${shown(value)})`);
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const key of fields.keys()) {
    if (!keys.includes(key)) fail(`${at}: unknown key "${key}" (allowed: ${keys.join(', ')})`);
  }
  return fields;
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown, at: string): string {
  return typeof value === 'string' ? value : fail(`${at} must be a string (found ${shown(value)})`);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

function fail(message: string): never {
  throw new TestFileError(message);
}
