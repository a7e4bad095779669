/**
 * The file of requests: lines as `verdict` reads them, or a file of `sallyport test`. What cannot be
 * read or understood is one line that names the place.
 */
import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isPolicyTestFile } from '../../control/ask/policy_test_file.ts';
import { parseQuestion, type Question } from '../../control/ask/question.ts';
import type { SourceBundle } from '../../control/source/files/source_bundle.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseJson } from '../../text/json_value.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';
import type { Args } from '../args.ts';
import { type OpenedTestFile, openTestFile } from '../ask/policy_tests.ts';
import { readErrorText, readSources, STDIN } from '../ask/sources.ts';
import { type Io, readStdin } from '../io.ts';
import { REQUEST_COUNT_MAX, REQUESTS_BYTES_MAX } from './bounds.ts';

export interface BenchRequest {
  /** "requests.jsonl:3", "api.test.yaml (the web shop reads)". */
  readonly place: string;
  readonly question: Question;
}

export type BenchInput =
  | {
      readonly kind: 'input';
      readonly requests: readonly BenchRequest[];
      readonly bundle: SourceBundle;
    }
  | { readonly kind: 'error'; readonly message: string };

/** Policies of `-p` count before those that a test file names; so do endpoints and secrets. */
export async function readBenchInput(args: Args, path: string, io: Io): Promise<BenchInput> {
  const names = [...args.values('policy'), ...args.arguments];
  if (path === STDIN && names.includes(STDIN)) {
    return failed('standard input has the requests, so policies cannot be there');
  }
  try {
    const shown = path === STDIN ? '<stdin>' : path;
    const text = await readRequests(path, io);
    const directory = path === STDIN ? io.cwd : dirname(resolve(io.cwd, path));
    const test = isTestFile(text) ? openTestFile(text, { shown, directory }, io) : null;
    if (test?.kind === 'unreadable') return failed(test.message);
    const requests = test === null ? requestsOfLines(text, shown) : casesOf(test, shown);
    if (typeof requests === 'string') return failed(requests);
    if (requests.length === 0) return failed(`${shown}: there are no requests in it`);
    if (requests.length > REQUEST_COUNT_MAX) {
      return failed(`${shown}: ${requests.length} requests are more than ${REQUEST_COUNT_MAX}`);
    }
    return await withBundle(requests, { args, test, hasNames: names.length > 0, io });
  } catch (error) {
    return failed(readErrorText(error));
  }
}

type Opened = Extract<OpenedTestFile, { kind: 'opened' }>;

async function withBundle(
  requests: readonly BenchRequest[],
  from: {
    readonly args: Args;
    readonly test: Opened | null;
    readonly hasNames: boolean;
    readonly io: Io;
  },
): Promise<BenchInput> {
  const own = from.test === null ? null : await from.test.readBundle();
  if (!from.hasNames && own !== null) return { kind: 'input', requests, bundle: own };
  const sources = await readSources(from.args, from.io);
  if (sources.kind === 'error') return sources;
  const { policies, endpoints, secrets } = sources.bundle;
  const bundle = {
    policies,
    endpoints: endpoints ?? own?.endpoints ?? null,
    secrets: secrets ?? own?.secrets ?? null,
  };
  return { kind: 'input', requests, bundle };
}

/** Reads no more than the bound, whatever kind of file it is. */
async function readRequests(path: string, io: Io): Promise<string> {
  if (path === STDIN) return readStdin(io, REQUESTS_BYTES_MAX);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of createReadStream(resolve(io.cwd, path))) {
      length += (chunk as Buffer).length;
      if (length > REQUESTS_BYTES_MAX) break;
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
  if (length > REQUESTS_BYTES_MAX) {
    throw new Error(`${path}: it has more than ${REQUESTS_BYTES_MAX} bytes`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A first line that is JSON by itself, and no test file, begins a file of lines. */
function isTestFile(text: string): boolean {
  const first = text.split('\n', REQUEST_COUNT_MAX).find((line) => line.trim() !== '');
  const value = first === undefined ? null : jsonOf(first);
  if (value !== undefined) return isPolicyTestFile(value, 'files');
  if (!/^["']?(cases|rejected)["']?\s*:|"(cases|rejected)"\s*:/m.test(text)) return false;
  const read = yamlValue(parseYamlDocument(text, { limits: DEFAULT_LIMITS }), DEFAULT_LIMITS);
  return read.kind === 'error' || isPolicyTestFile(read.value, 'files');
}

/** Undefined when it is no JSON. */
function jsonOf(text: string): unknown {
  const parsed = parseJson(text, DEFAULT_LIMITS);
  return parsed.kind === 'value' ? parsed.value : undefined;
}

function casesOf(test: Opened, shown: string): BenchRequest[] | string {
  const { expectation } = test.file;
  if (expectation.kind === 'rejected') {
    return `${shown}: it has no cases, as the set is expected to be rejected`;
  }
  return expectation.cases.map(({ name, question }) => ({ place: `${shown} (${name})`, question }));
}

function requestsOfLines(text: string, shown: string): BenchRequest[] | string {
  const requests: BenchRequest[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const place = `${shown}:${index + 1}`;
    const json = parseJson(line, DEFAULT_LIMITS);
    if (json.kind === 'error') return `${place}: the line is not JSON: ${json.message}`;
    const { value } = json;
    if (typeof value === 'object' && value !== null && 'policyFile' in value) {
      return `${place}: policyFile: one policy set is measured; give it with -p`;
    }
    const parsed = parseQuestion(value);
    if (parsed.kind === 'error') return `${place}: ${parsed.message}`;
    requests.push({ place, question: parsed.question });
  }
  return requests;
}

function failed(message: string): BenchInput {
  return { kind: 'error', message };
}
