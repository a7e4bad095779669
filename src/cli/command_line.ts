/**
 * From the command line to an exit code: finds the verb, parses its arguments, runs it. Help goes
 * to stdout (exit 0), usage errors to stderr (exit 2, one line), an exception is ours (exit 70).
 */
import { nearestName } from '../model/nearest.ts';
import { type Args, columns, parseVerbArgs, type VerbSpec, verbHelp } from './args.ts';
import { EXIT_INTERNAL, EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from './io.ts';
import { loadFailureText } from './load_failure.ts';
import { HELP_SPEC, RUN_SPEC } from './specs.ts';
import { safeIo } from './terminal.ts';
import { VERBS, type Verb, type VerbModule } from './verbs.ts';
import { versionLine } from './version.ts';

/** `argv` is what stands after the name of the command. */
export async function runCommandLine(argv: readonly string[], streams: Io): Promise<ExitCode> {
  const io = safeIo(streams);
  try {
    return await dispatch(argv, io);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.stderr.write(`sallyport: internal error: ${text}\n`);
    return EXIT_INTERNAL;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<ExitCode> {
  const name = argv[0];
  if (name === undefined) {
    return usageError(io, 'no verb; `sallyport help` lists them');
  }
  if (name === '-h' || name === '--help') return print(io, overview());
  if (name === '-V' || name === '--version') return print(io, `${versionLine()}\n`);
  const rest = argv.slice(1);
  if (name === HELP_SPEC.name) return runHelp(rest, io);
  const verb = verbNamed(name);
  if (verb === null) return usageError(io, unknownVerb(name));
  return runVerb(verb, rest, io);
}

async function runVerb(verb: Verb, argv: readonly string[], io: Io): Promise<ExitCode> {
  const parsed = parseVerbArgs(verb.spec, argv);
  if (parsed.kind === 'error') return usageError(io, parsed.message);
  if (parsed.args.has('help')) return print(io, verbHelp(verb.spec));
  const module = await loaded(verb, io);
  if (module === null) return verb.spec === RUN_SPEC ? EXIT_NEGATIVE : EXIT_INTERNAL;
  return module.run(parsed.args, withColourChoice(io, parsed.args));
}

/** Null after it was told why the installation is not complete. */
async function loaded(verb: Verb, io: Io): Promise<VerbModule | null> {
  try {
    return await verb.load();
  } catch (error) {
    const text = loadFailureText(error);
    if (text === null) throw error;
    io.stderr.write(`sallyport: ${text}\n`);
    return null;
  }
}

function runHelp(argv: readonly string[], io: Io): ExitCode {
  const parsed = parseVerbArgs(HELP_SPEC, argv);
  if (parsed.kind === 'error') return usageError(io, parsed.message);
  const name = parsed.args.arguments[0];
  if (parsed.args.has('help')) return print(io, verbHelp(HELP_SPEC));
  if (name === undefined) return print(io, overview());
  const spec = specNamed(name);
  return spec === null ? usageError(io, unknownVerb(name)) : print(io, verbHelp(spec));
}

function overview(): string {
  const rows = allSpecs().map((spec): [string, string] => [spec.name, spec.about]);
  return [
    'Sallyport judges HTTP requests by CiliumNetworkPolicy and the identity of the client.',
    '',
    'Usage: sallyport VERB [flags] [arguments]',
    '',
    'Verbs:',
    ...columns(rows),
    '',
    '`sallyport VERB --help` lists the flags of a verb.',
    'Exit codes: 0 yes or done, 1 a negative answer, 2 wrong usage or unreadable input, 70 internal error.',
    '',
  ].join('\n');
}

function unknownVerb(name: string): string {
  const nearest = nearestName(
    name,
    allSpecs().map((spec) => spec.name),
  );
  const hint = nearest === null ? '`sallyport help` lists them' : `did you mean ${nearest}?`;
  return `unknown verb "${name}"; ${hint}`;
}

function verbNamed(name: string): Verb | null {
  return VERBS.find((verb) => verb.spec.name === name) ?? null;
}

function specNamed(name: string): VerbSpec | null {
  return allSpecs().find((spec) => spec.name === name) ?? null;
}

function allSpecs(): readonly VerbSpec[] {
  return [...VERBS.map((verb) => verb.spec), HELP_SPEC];
}

function withColourChoice(io: Io, args: Args): Io {
  return args.has('no-color') ? { ...io, hasColour: false } : io;
}

function print(io: Io, text: string): ExitCode {
  io.stdout.write(text);
  return EXIT_OK;
}
