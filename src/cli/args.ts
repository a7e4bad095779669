/**
 * Arguments of every verb, from one declarative table a verb: the same table parses the command
 * line and writes the help. Unknown flags are errors with the nearest known name.
 */
import { parseArgs } from 'node:util';
import { nearestName } from '../model/nearest.ts';

export interface VerbSpec {
  readonly name: string;
  /** One sentence, without a full stop. */
  readonly about: string;
  /** What stands after the flags, as help shows it: "" when the verb takes no arguments. */
  readonly argumentsForm: string;
  /** Arguments fewer or more than these are usage errors. */
  readonly argumentCountMin: number;
  readonly argumentCountMax: number;
  readonly flags: readonly FlagSpec[];
  readonly examples: readonly string[];
  /** More paragraphs for the verb's help. */
  readonly notes?: readonly string[];
}

export interface FlagSpec {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What the value is called in help ("FILE"); absent for a switch. */
  readonly value?: string;
  readonly isRepeated?: boolean;
  /** A switch that is also given as "--flag=true" and "--flag=false"; `value` then names nothing. */
  readonly isSwitchable?: boolean;
  /** The only values allowed. */
  readonly choices?: readonly string[];
  readonly about: string;
}

/** Flags of every verb. */
export const COMMON_FLAGS: readonly FlagSpec[] = [
  { name: 'help', short: 'h', about: 'print this help and exit' },
  { name: 'no-color', about: 'no colours (NO_COLOR in the environment does the same)' },
];

/** For verbs that can print as a table, JSON or YAML. */
export const OUTPUT_FLAG: FlagSpec = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  choices: ['table', 'json', 'yaml'],
  about: 'table (the default), json or yaml',
};

export type ArgsResult =
  | { readonly kind: 'args'; readonly args: Args }
  | { readonly kind: 'error'; readonly message: string };

export interface GivenFlag {
  readonly name: string;
  readonly value: string;
}

/** Flags by their long name, and the arguments that stand by themselves, in order. */
export class Args {
  readonly arguments: readonly string[];
  /** Every flag as it stands, in order: for a verb in which one says something of the next. */
  readonly given: readonly GivenFlag[];
  readonly #flags: ReadonlyMap<string, readonly string[]>;

  constructor(
    flags: ReadonlyMap<string, readonly string[]>,
    positionals: readonly string[],
    given: readonly GivenFlag[] = [],
  ) {
    this.#flags = flags;
    this.arguments = positionals;
    this.given = given;
  }

  has(flag: string): boolean {
    return this.#flags.has(flag);
  }

  /** The flag's value; null when it was not given. */
  value(flag: string): string | null {
    return this.#flags.get(flag)?.at(-1) ?? null;
  }

  /** All values of a repeated flag, in order. */
  values(flag: string): readonly string[] {
    return this.#flags.get(flag) ?? [];
  }
}

/** `argv` is what stands after the verb. */
export function parseVerbArgs(spec: VerbSpec, argv: readonly string[]): ArgsResult {
  const flags = [...COMMON_FLAGS, ...spec.flags];
  const byName = new Map(flags.map((flag) => [flag.name, flag]));
  const found = new Map<string, string[]>();
  const positionals: string[] = [];
  const given: GivenFlag[] = [];
  for (const token of tokensOf(flags, argv)) {
    if (token.kind === 'positional') {
      positionals.push(token.value);
    } else if (token.kind === 'option') {
      const message = addFlag(found, byName, token);
      if (message !== null) return { kind: 'error', message: withVerb(spec, message) };
      given.push({ name: token.name, value: found.get(token.name)?.at(-1) ?? '' });
    }
  }
  if (!found.has('help')) {
    const message = argumentCountError(spec, positionals);
    if (message !== null) return { kind: 'error', message: withVerb(spec, message) };
  }
  return { kind: 'args', args: new Args(found, positionals, given) };
}

/** The help of one verb, ending in a newline. */
export function verbHelp(spec: VerbSpec): string {
  const usage = `sallyport ${spec.name} [flags]${spec.argumentsForm === '' ? '' : ` ${spec.argumentsForm}`}`;
  const rows = [...spec.flags, ...COMMON_FLAGS].map((flag): [string, string] => [
    flagForm(flag),
    flag.isRepeated === true ? `${flag.about} (may be repeated)` : flag.about,
  ]);
  const parts = [`${spec.about}.`, '', `Usage: ${usage}`, '', 'Flags:', ...columns(rows)];
  for (const note of spec.notes ?? []) parts.push('', note);
  if (spec.examples.length > 0) {
    parts.push('', 'Examples:', ...spec.examples.map((example) => `  ${example}`));
  }
  return `${parts.join('\n')}\n`;
}

/** Two columns, the first as wide as its widest cell. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}

type Token = NonNullable<ReturnType<typeof parseTokens>>[number];
type OptionToken = Extract<Token, { kind: 'option' }>;

function tokensOf(flags: readonly FlagSpec[], argv: readonly string[]): readonly Token[] {
  return parseTokens(flags, argv) ?? [];
}

function parseTokens(flags: readonly FlagSpec[], argv: readonly string[]) {
  const options = Object.fromEntries(
    flags.map((flag) => [
      flag.name,
      {
        type: flag.value === undefined ? ('boolean' as const) : ('string' as const),
        ...(flag.short === undefined ? {} : { short: flag.short }),
      },
    ]),
  );
  return parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
}

/** Null when the flag was added, else what is wrong with it. */
function addFlag(
  found: Map<string, string[]>,
  byName: ReadonlyMap<string, FlagSpec>,
  token: OptionToken,
): string | null {
  const flag = byName.get(token.name);
  if (flag === undefined) return unknownFlag(token.rawName, byName);
  if (flag.isSwitchable === true) {
    const value = token.value ?? 'true';
    if (value !== 'true' && value !== 'false') return `${token.rawName} must be true or false`;
    found.set(flag.name, [value]);
    return null;
  }
  if (flag.value === undefined) {
    if (token.value !== undefined) return `${token.rawName} takes no value`;
    found.set(flag.name, ['']);
    return null;
  }
  // "--flag --other" is a forgotten value, "--flag=--other" and "-" are not.
  const isForgotten = token.value === undefined || (!token.inlineValue && /^-./.test(token.value));
  if (isForgotten || token.value === undefined) return `${token.rawName} needs a ${flag.value}`;
  if (flag.choices !== undefined && !flag.choices.includes(token.value)) {
    return `${token.rawName}: "${token.value}" is none of ${flag.choices.join(', ')}`;
  }
  const values = found.get(flag.name) ?? [];
  if (values.length > 0 && flag.isRepeated !== true) return `${token.rawName} is given twice`;
  found.set(flag.name, [...values, token.value]);
  return null;
}

function unknownFlag(rawName: string, byName: ReadonlyMap<string, FlagSpec>): string {
  const nearest = rawName.startsWith('--') ? nearestName(rawName.slice(2), byName.keys()) : null;
  return `unknown flag ${rawName}${nearest === null ? '' : `; did you mean --${nearest}?`}`;
}

function argumentCountError(spec: VerbSpec, positionals: readonly string[]): string | null {
  if (positionals.length < spec.argumentCountMin) return `needs ${spec.argumentsForm}`;
  if (positionals.length > spec.argumentCountMax) {
    return `unexpected argument "${positionals[spec.argumentCountMax] ?? ''}"`;
  }
  return null;
}

function withVerb(spec: VerbSpec, message: string): string {
  return `${spec.name}: ${message} (sallyport ${spec.name} --help)`;
}

function flagForm(flag: FlagSpec): string {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
  const value =
    flag.isSwitchable === true ? '[=false]' : flag.value === undefined ? '' : ` ${flag.value}`;
  return `${short}--${flag.name}${value}`;
}
