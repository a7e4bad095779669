/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { SUITE_NAMES, type SuiteName } from './report/report.ts';
import type { SuiteSettings } from './suites/suite.ts';

export interface BenchOptions {
  readonly suites: readonly SuiteName[];
  readonly settings: SuiteSettings;
  /** Names of subjects; null: all. */
  readonly only: readonly string[] | null;
  /** Null: a folder of this run under .bench/results. */
  readonly out: string | null;
}

export type Parsed =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'error'; readonly message: string };

export const HELP = `Usage: npm run bench -- [SUITE...] [--rounds N] [--seconds N] [--quick] [--only NAME[,NAME...]] [--out DIR]

Compares Sallyport with Envoy, HAProxy, nginx, what one would write by hand and the origin alone.

  SUITE        ${SUITE_NAMES.join(', ')}; all when none is named
  --rounds N   of each subject in each scenario, by turns (default 5; 2 with --quick)
  --seconds N  of each round (default 2; 1 with --quick)
  --quick      fewer scenarios: each kind of load once
  --only NAME  these subjects alone; again for each name, or with commas between
  --out DIR    for report.json, report.md and report.html (default .bench/results/TIME)
  --help       this text

What is missing here (npm run bench:peers gets some of it) is told in the report. Progress goes to standard
error, the report as Markdown to standard output. See bench/README.md for the method.
`;

const ROUNDS_MAX = 100;
const SECONDS_MAX = 600;

export function parseOptions(args: readonly string[], subjectNames: readonly string[]): Parsed {
  try {
    return parse(args, subjectNames);
  } catch (error) {
    return { kind: 'error', message: error instanceof Error ? error.message : String(error) };
  }
}

function parse(args: readonly string[], subjectNames: readonly string[]): Parsed {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return { kind: 'help' };
  const settings = {
    rounds: numberOf('--rounds', values.rounds, {
      fallback: values.quick ? 2 : 5,
      max: ROUNDS_MAX,
    }),
    seconds: numberOf('--seconds', values.seconds, {
      fallback: values.quick ? 1 : 2,
      max: SECONDS_MAX,
    }),
    isQuick: values.quick,
  };
  const only = values.only?.flatMap((value) => namesIn(value, subjectNames)) ?? null;
  if (values.out === '') throw new Error('--out: no directory');
  return {
    kind: 'run',
    options: { suites: suitesOf(positionals), settings, only, out: values.out ?? null },
  };
}

/** In their own order, each once. */
function suitesOf(words: readonly string[]): readonly SuiteName[] {
  const unknown = words.find((word) => !SUITE_NAMES.some((name) => name === word));
  if (unknown !== undefined) {
    throw new Error(`${unknown}: no such suite (${SUITE_NAMES.join(', ')})`);
  }
  return words.length === 0 ? SUITE_NAMES : SUITE_NAMES.filter((name) => words.includes(name));
}

/** "a,b", where a name may have a comma itself: "haproxy, no log". */
function namesIn(value: string, known: readonly string[]): readonly string[] {
  if (known.includes(value)) return [value];
  return value.split(',').map((part) => {
    const name = part.trim();
    if (!known.includes(name)) throw new Error(`${name}: no such subject (${known.join('; ')})`);
    return name;
  });
}

function numberOf(
  flag: string,
  text: string | undefined,
  { fallback, max }: { readonly fallback: number; readonly max: number },
): number {
  if (text === undefined) return fallback;
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || number < 1 || number > max) {
    throw new Error(`${flag}: ${text} is not a whole number from 1 to ${max}`);
  }
  return number;
}
