/**
 * The harness: chosen suites, one after the other, and their report.
 *
 *     npm run bench -- [http1 h2 grpc policy memory latency] [--quick] [--help]
 *
 *     options ──► suites (bench/suites) ──► report.json, report.md, report.html
 *                   └ each starts its subjects, measures them by turns, stops them
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeMachine, ROOT } from './measure/machine.ts';
import { pinHarness } from './measure/pinning.ts';
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { renderMarkdown } from './report/markdown.ts';
import { renderPage } from './report/page.ts';
import type { Missing, Report, Scenario, SuiteName, SuiteResult } from './report/report.ts';
import { SubjectBook } from './report/subject_book.ts';
import { durationText } from './report/summary.ts';
import { KINDS } from './subjects/kinds.ts';
import { stopAll } from './subjects/process.ts';
import { SUITES } from './suites/index.ts';
import type { SuiteContext } from './suites/suite.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

async function main(args: readonly string[]): Promise<void> {
  const parsed = parseOptions(
    args,
    KINDS.map(({ name }) => name),
  );
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(HELP);
      return;
    case 'error':
      process.stderr.write(`bench: ${parsed.message.split('\n')[0]}; --help tells more\n`);
      process.exitCode = EXIT_USAGE;
      return;
    case 'run': {
      const directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
      endOnSignals(directory);
      try {
        await runAll(args, parsed.options, directory);
      } finally {
        await stopAll();
        await rm(directory, { recursive: true, force: true });
      }
    }
  }
}

async function runAll(
  args: readonly string[],
  options: BenchOptions,
  directory: string,
): Promise<void> {
  const startedAt = new Date();
  const machine = describeMachine();
  pinHarness();
  const run = new Run(options, directory);
  for (const name of options.suites) await run.suite(name);
  run.endProgress();
  const report: Report = {
    schemaVersion: 1,
    startedAt: startedAt.toISOString(),
    seconds: run.seconds,
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args.map(quoted)] : [])].join(' '),
    machine,
    subjects: run.book.subjects,
    missing: [...run.missing.values()],
    suites: run.results,
  };
  await writeReport(report, options.out);
  if (run.hasFailed) process.exitCode = EXIT_FAILED;
}

/** What the suites tell, gathered. */
class Run {
  readonly results: SuiteResult[] = [];
  readonly missing = new Map<string, Missing>();
  readonly book = new SubjectBook();
  hasFailed = false;
  readonly #options: BenchOptions;
  readonly #directory: string;
  readonly #startMs = performance.now();

  constructor(options: BenchOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  get seconds(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  /** Of one that fails what it has measured is told, and the others go on: an hour's figures are not thrown away. */
  async suite(name: SuiteName): Promise<void> {
    const scenarios: Scenario[] = [];
    try {
      const suite = await SUITES[name]();
      this.results.push(await suite.run(this.#contextOf(name, scenarios)));
    } catch (error) {
      if (isEnding) return;
      this.#failed(`suite ${name}`, error);
      const about = 'This suite failed before its end: what it had measured until then.';
      if (scenarios.length > 0) {
        this.results.push({ name, title: name, about, scenarios, plots: [] });
      }
    }
  }

  endProgress(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }

  #failed(name: string, error: unknown): void {
    if (isEnding) return;
    this.hasFailed = true;
    const why = error instanceof Error ? error.message : String(error);
    this.endProgress();
    process.stderr.write(`bench: ${name} failed: ${why}\n`);
    this.missing.set(name, { name, why: `failed: ${why}` });
  }

  #contextOf(name: SuiteName, scenarios: Scenario[]): SuiteContext {
    const { only, settings, suites } = this.#options;
    const place = `${name} (${suites.indexOf(name) + 1}/${suites.length})`;
    return {
      kinds: KINDS.filter((kind) => only === null || only.includes(kind.name)),
      settings,
      directory: this.#directory,
      progress: (text) => {
        const line = `${durationText(this.seconds)}  ${place}  ${text}`;
        process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
      },
      tellSubject: (facts) => this.book.tell(facts),
      tellMissing: (missing) => this.missing.set(missing.name, missing),
      tellFailed: (what, error) => this.#failed(`${what} (${name})`, error),
      tellScenario: (scenario) => scenarios.push(scenario),
    };
  }
}

async function writeReport(report: Report, out: string | null): Promise<void> {
  const time = report.startedAt.replaceAll(/[-:]|\.[0-9]+/g, '');
  const folder = out === null ? join(ROOT, '.bench/results', time) : resolve(out);
  await mkdir(folder, { recursive: true });
  const markdown = renderMarkdown(report);
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(join(folder, 'report.md'), markdown);
  await writeFile(join(folder, 'report.html'), renderPage(report));
  process.stdout.write(markdown);
  process.stderr.write(`bench: the whole report is in ${folder}\n`);
}

let isEnding = false;

/** Ctrl-C leaves no process and no file. */
function endOnSignals(directory: string): void {
  for (const [signal, code] of Object.entries(SIGNAL_CODES)) {
    process.on(signal, () => {
      if (isEnding) return;
      isEnding = true;
      void stopAll()
        .then(() => rm(directory, { recursive: true, force: true }))
        .finally(() => process.exit(code));
    });
  }
}

function quoted(word: string): string {
  return /^[-\w.,:/=]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

await main(process.argv.slice(2));
