/**
 * Runs policy test files: builds each file's policy set, asks its questions, compares the answers.
 * Returns results as data; `cli/ask/test.ts` prints them.
 */
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { LineCounter, type YAMLParseError } from 'yaml';
import type { Judge, JudgeResult } from '../../control/ask/judge.ts';
import { judgeBundle } from '../../control/ask/judge_bundle.ts';
import { withPodNames } from '../../control/ask/named_question.ts';
import type { PodNames } from '../../control/ask/pod_names.ts';
import {
  type Expectation,
  type PolicyTestCase,
  type PolicyTestFile,
  parsePolicyTestFile,
  type TestSource,
  type TestSubject,
} from '../../control/ask/policy_test_file.ts';
import type { VerdictLine } from '../../control/ask/verdict_line.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import type { SourceBundle, SourceText } from '../../control/source/files/source_bundle.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';
import type { Io } from '../io.ts';
import { inlineText } from './inline_text.ts';
import { judgeOptions } from './judge_options.ts';
import { readBoundedText, readPolicies, readText } from './sources.ts';

export interface TestResult {
  readonly file: string;
  readonly name: string;
  /** Null when it passed, else what was expected and what was found. */
  readonly failure: string | null;
}

export type FileResult =
  | { readonly kind: 'results'; readonly about: string; readonly results: readonly TestResult[] }
  | { readonly kind: 'unreadable'; readonly message: string };

/** `path` is absolute, `shown` is how the user named it. Throws when a file cannot be read. */
export async function runTestFile(path: string, shown: string, io: Io): Promise<FileResult> {
  const text = readBoundedText(path, DEFAULT_LIMITS.policyBytesMax);
  const opened = openTestFile(text, { shown, directory: dirname(path) }, io);
  if (opened.kind === 'unreadable') return opened;
  const created = judgeBundle(await opened.readBundle(), judgeOptions());
  return {
    kind: 'results',
    about: opened.file.about,
    results: resultsOf(shown, opened.file.expectation, { created, names: null }),
  };
}

/** The same of what is in a cluster. What the file names is not read. */
export function runTestFileOn(
  cluster: TestedSet,
  { path, shown }: { readonly path: string; readonly shown: string },
  io: Io,
): FileResult {
  const text = readBoundedText(path, DEFAULT_LIMITS.policyBytesMax);
  const opened = openTestFile(text, { shown, directory: dirname(path) }, io, 'cluster');
  if (opened.kind === 'unreadable') return opened;
  const { about, expectation } = opened.file;
  if (expectation.kind === 'rejected') {
    const message = `${shown}: it expects that files are rejected; a cluster is not asked that`;
    return { kind: 'unreadable', message };
  }
  return { kind: 'results', about, results: resultsOf(shown, expectation, cluster) };
}

export interface TestedSet {
  readonly created: JudgeResult;
  /** How people call the pods of a cluster; null: of files. */
  readonly names: PodNames | null;
}

export type OpenedTestFile =
  | {
      readonly kind: 'opened';
      readonly file: PolicyTestFile;
      /** Reads what the file names; throws when that cannot be read. */
      readonly readBundle: () => Promise<SourceBundle>;
    }
  | { readonly kind: 'unreadable'; readonly message: string };

/** `directory` is where its relative paths start. */
export function openTestFile(
  text: string,
  place: { readonly shown: string; readonly directory: string },
  io: Io,
  subject: TestSubject = 'files',
): OpenedTestFile {
  const { shown, directory } = place;
  const lineCounter = new LineCounter();
  const document = parseYamlDocument(text, { lineCounter, limits: DEFAULT_LIMITS });
  const syntaxError = document.errors[0];
  if (syntaxError !== undefined) {
    return { kind: 'unreadable', message: `${shown}:${syntaxText(syntaxError, lineCounter)}` };
  }
  const read = yamlValue(document, DEFAULT_LIMITS);
  if (read.kind === 'error') return { kind: 'unreadable', message: `${shown}: ${read.message}` };
  const parsed = parsePolicyTestFile(read.value, subject);
  if (parsed.kind === 'error')
    return { kind: 'unreadable', message: `${shown}: ${parsed.message}` };
  const sources = new TestSources(
    { path: shown, inline: (at, value) => inlineText({ document, text }, at, value) },
    { ...io, cwd: directory },
  );
  return {
    kind: 'opened',
    file: parsed.file,
    readBundle: () => sources.bundleOf(parsed.file),
  };
}

function resultsOf(
  file: string,
  expectation: Expectation,
  { created, names }: TestedSet,
): TestResult[] {
  if (expectation.kind === 'rejected') {
    const name = `the set is rejected with "${expectation.text}"`;
    if (created.kind === 'judge') return [{ file, name, failure: 'the set was accepted' }];
    const texts = created.problems.map(formatProblem);
    const isFound = texts.some((text) => text.includes(expectation.text));
    return [{ file, name, failure: isFound ? null : `it was rejected with:\n${texts.join('\n')}` }];
  }
  if (created.kind === 'rejected') {
    const because = `the policy set is rejected:\n${created.problems.map(formatProblem).join('\n')}`;
    return expectation.cases.map(({ name }) => ({ file, name, failure: because }));
  }
  return expectation.cases.map((testCase) => ({
    file,
    name: testCase.name,
    failure: failureOf(created.judge, testCase, names),
  }));
}

function failureOf(judge: Judge, testCase: PolicyTestCase, names: PodNames | null): string | null {
  const named = names === null ? testCase : withPodNames(testCase.question, names);
  if ('kind' in named && named.kind === 'error') return named.message;
  const answer = judge.answer(named.question);
  if (answer.kind === 'error') return answer.message;
  const line = answer.line as VerdictLine & Readonly<Record<string, unknown>>;
  const differences: string[] = [];
  for (const [key, expected] of testCase.expect) {
    const found = line[key];
    if (!isDeepStrictEqual(found, expected)) {
      differences.push(
        `${key}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`,
      );
    }
  }
  if (differences.length === 0) return null;
  return `${differences.join('\n')}\nthe answer was ${JSON.stringify(answer.line)}`;
}

interface InlineTexts {
  /** Of the test file, as the user named it. */
  readonly path: string;
  inline(place: readonly (string | number)[], value: unknown): string;
}

/** What a test file names or holds, as texts; problems in the latter have the file's own lines. */
class TestSources {
  readonly #file: InlineTexts;
  /** Its `cwd` is the folder of the test file. */
  readonly #io: Io;

  constructor(file: InlineTexts, io: Io) {
    this.#file = file;
    this.#io = io;
  }

  async bundleOf(file: PolicyTestFile): Promise<SourceBundle> {
    const policies: SourceText[] = [];
    for (const [index, source] of file.policies.entries()) {
      if (source.kind === 'path') policies.push(...(await readPolicies([source.path], this.#io)));
      else policies.push(this.#inline(source.document, ['policies', index]));
    }
    return {
      policies,
      endpoints: await this.#optional(file.endpoints, 'endpoints'),
      secrets: await this.#optional(file.secrets, 'secrets'),
      hasNodeLabels: file.hasNodeLabels,
    };
  }

  async #optional(source: TestSource | null, key: string): Promise<SourceText | null> {
    if (source === null) return null;
    if (source.kind === 'path') return readText(source.path, this.#io);
    return this.#inline(source.document, [key]);
  }

  #inline(value: unknown, place: readonly (string | number)[]): SourceText {
    return { path: this.#file.path, text: this.#file.inline(place, value) };
  }
}

function syntaxText(error: YAMLParseError, lines: LineCounter): string {
  const { line, col } = lines.linePos(error.pos[0]);
  return `${line}:${col}: ${error.message}`;
}
