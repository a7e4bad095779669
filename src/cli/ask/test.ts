/** `sallyport test FILE...`: policy unit tests. The last line is `N passed, N failed`. */
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { isPolicyTestFile } from '../../control/ask/policy_test_file.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint } from '../terminal.ts';
import { junitXml } from './junit.ts';
import { runTestFile, type TestResult } from './policy_tests.ts';
import { readBoundedText, readErrorText } from './sources.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const results: TestResult[] = [];
  try {
    const paths = await testPaths(args.arguments, io);
    if (paths.length === 0) {
      return usageError(io, `test: no test files in ${args.arguments.join(', ')}`);
    }
    for (const path of paths) {
      const shown = relative(io.cwd, path);
      const result = await runTestFile(path, shown, io);
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

/** Files as they are named; of a directory the test files in it and below, sorted. */
async function testPaths(names: readonly string[], io: Io): Promise<string[]> {
  const paths: string[] = [];
  for (const name of names) {
    const path = resolve(io.cwd, name);
    if (!(await stat(path)).isDirectory()) paths.push(path);
    else paths.push(...(await testFilesBelow(path)));
  }
  return paths;
}

async function testFilesBelow(directory: string): Promise<string[]> {
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
      if (read.kind === 'error' || isPolicyTestFile(read.value)) found.push(path);
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

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function indented(text: string, indent: string): string {
  return text
    .split('\n')
    .map((line) => `${indent}${line}`)
    .join('\n');
}
