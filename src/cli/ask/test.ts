/** `sallyport test FILE...`: policy unit tests. The last line is `N passed, N failed`. */

import { readdir, stat, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Config } from '../../config/config.ts';
import { isPolicyTestFile, type TestSubject } from '../../control/ask/policy_test_file.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { errorText } from '../../text/error_text.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint } from '../terminal.ts';
import { askedPlace } from './asked_place.ts';
import { openConfiguredCluster, readClusterFiles } from './cluster.ts';
import { junitXml } from './junit.ts';
import { type FileResult, runTestFile, runTestFileOn, type TestResult } from './policy_tests.ts';
import { readBoundedText, readErrorText } from './sources.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const opened = await readRunner(args, io);
  if (opened.kind === 'error') return usageError(io, `test: ${opened.message}`);
  const results: TestResult[] = [];
  try {
    const paths = await testPaths(args, io);
    if (paths.length === 0) {
      return usageError(io, `test: no test files in ${args.arguments.join(', ')}`);
    }
    for (const path of paths) {
      const shown = relative(io.cwd, path);
      const result = await opened.run(path, shown);
      if (result.kind === 'unreadable') return usageError(io, result.message);
      results.push(...result.results);
      printFile(io, shown, result.about, result.results, args.has('quiet'));
    }
  } catch (error) {
    return usageError(io, readErrorText(error));
  }
  const junit = args.value('junit');
  if (junit !== null) {
    try {
      await writeFile(resolve(io.cwd, junit), junitXml(results));
    } catch (error) {
      return usageError(io, `test: cannot write ${junit}: ${errorText(error)}`);
    }
  }
  const failed = results.filter(({ failure }) => failure !== null).length;
  io.stdout.write(`${results.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? EXIT_OK : EXIT_NEGATIVE;
}

type Runner =
  | {
      readonly kind: 'runner';
      run(path: string, shown: string): Promise<FileResult> | FileResult;
    }
  | { readonly kind: 'error'; readonly message: string };

/** Each file is asked of what it names, or with `--kube` of a cluster. */
async function readRunner(args: Args, io: Io): Promise<Runner> {
  const place = askedPlace(args, io);
  if (place.kind === 'cluster') return readClusterRunner(args, io, place.config);
  if (place.kind === 'error') return place;
  if (place.kind === 'rejected') return { kind: 'error', message: place.problems.join('; ') };
  if (place.kind === 'configuration') {
    const { path } = place.config;
    return {
      kind: 'error',
      message: `${path} has no field kubernetes, so there is no cluster to ask`,
    };
  }
  if (args.has('policy') || args.has('secrets')) return { kind: 'error', message: OF_A_CLUSTER };
  return { kind: 'runner', run: (path, shown) => runTestFile(path, shown, io) };
}

const OF_A_CLUSTER =
  'a test file names its own policies and secrets; -p and --secrets go with --kube';

async function readClusterRunner(args: Args, io: Io, config: Config | null): Promise<Runner> {
  const read = await readClusterFiles(args, io, args.values('policy'));
  if (read.kind === 'error') return read;
  const { policies, secrets } = read.files;
  const cluster = await openConfiguredCluster(args, io, { config, secrets });
  if (cluster.kind === 'error') return cluster;
  const laid = policies.length === 0 ? null : cluster.layOver(policies);
  const created = laid?.kind === 'rejected' ? laid : (laid?.judged ?? cluster.judged).accepted;
  const tested = { created, names: cluster.names };
  return { kind: 'runner', run: (path, shown) => runTestFileOn(tested, { path, shown }, io) };
}

/** Files as they are named; of a directory the test files in it and below, sorted. */
async function testPaths(args: Args, io: Io): Promise<string[]> {
  const subject = args.has('kube') || args.has('config') ? 'cluster' : 'files';
  const paths: string[] = [];
  for (const name of args.arguments) {
    const path = resolve(io.cwd, name);
    if (!(await stat(path)).isDirectory()) paths.push(path);
    else paths.push(...(await testFilesBelow(path, subject)));
  }
  return paths;
}

async function testFilesBelow(directory: string, subject: TestSubject): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const candidates = entries
    .filter((entry) => entry.isFile() && /\.(ya?ml|json)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const found: string[] = [];
  for (const path of candidates) {
    const text = readBoundedText(path, DEFAULT_LIMITS.policyBytesMax);
    if (/^["']?(cases|rejected)["']?\s*:|"(cases|rejected)"\s*:/m.test(text)) {
      const read = yamlValue(parseYamlDocument(text, { limits: DEFAULT_LIMITS }), DEFAULT_LIMITS);
      if (read.kind === 'error' || isPolicyTestFile(read.value, subject)) found.push(path);
    }
  }
  return found;
}

function printFile(
  io: Io,
  file: string,
  about: string,
  results: readonly TestResult[],
  isQuiet: boolean,
): void {
  const hasFailed = results.some(({ failure }) => failure !== null);
  if (isQuiet && !hasFailed) return;
  io.stdout.write(`${file}${about === '' ? '' : `: ${about}`}\n`);
  for (const { name, failure } of results) {
    if (failure === null) {
      if (!isQuiet) io.stdout.write(`  ${paint(io, 'green', 'ok')}    ${name}\n`);
    } else {
      io.stdout.write(`  ${paint(io, 'red', 'FAIL')}  ${name}\n${indented(failure, '        ')}\n`);
    }
  }
}

function indented(text: string, indent: string): string {
  return text
    .split('\n')
    .map((line) => `${indent}${line}`)
    .join('\n');
}
