/**
 * `sallyport run`: reads the configuration, starts the app, and turns signals into what the app
 * does. Ends with 0 after a drain, 1 when it cannot start, 2 when the configuration is wrong.
 */
import { type App, createApp } from '../../app.ts';
import type { Config } from '../../config/config.ts';
import { type ConfigResult, loadConfig } from '../../config/load.ts';
import type { FlagOverride } from '../../config/overrides.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import { LineSink } from '../../workers/line_sink.ts';
import type { Args } from '../args.ts';
import { type BesideCilium, besideCilium } from '../beside_cilium.ts';
import type { HeldSignals } from '../held_signals.ts';
import { EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE, type ExitCode, type Io, usageError } from '../io.ts';
import { sallyportVersion } from '../version.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const overrides = flagOverrides(args);
  if (overrides.kind === 'error') return usageError(io, `run: ${overrides.message}`);
  const load = (): ConfigResult =>
    loadConfig({ path: args.value('config'), flags: overrides.flags, env: io.env, cwd: io.cwd });
  const loaded = load();
  if (args.has('check-config')) return tellConfig(io, loaded);
  if (loaded.kind === 'rejected') return usageError(io, firstOf(loaded.problems));
  return runApp(loaded.config, { io, load });
}

const STDOUT = 1;
/** Who does not read a cluster has nothing to do with its agent. */
const ALONE: BesideCilium = { refusal: null, notes: [] };

type Overrides =
  | { readonly kind: 'flags'; readonly flags: readonly FlagOverride[] }
  | { readonly kind: 'error'; readonly message: string };

/** Flags that stand for a field of the configuration. */
const FIELD_FLAGS = {
  endpoints: 'endpoints',
  secrets: 'secrets',
  admin: 'admin',
  workers: 'workers',
  'access-log': 'accessLog.to',
  'log-level': 'logLevel',
} as const;

const FIELD_SWITCHES = {
  'admin-allow-remote': 'adminAllowRemote',
  'dry-run': 'behaviour.dryRun',
} as const;

function flagOverrides(args: Args): Overrides {
  const flags: FlagOverride[] = [];
  for (const text of args.values('set')) {
    const equals = text.indexOf('=');
    if (equals <= 0) return { kind: 'error', message: `--set needs FIELD=VALUE; found "${text}"` };
    const field = text.slice(0, equals);
    flags.push({ flag: `--set ${field}`, field, value: text.slice(equals + 1) });
  }
  for (const [flag, field] of Object.entries(FIELD_FLAGS)) {
    const value = args.value(flag);
    if (value !== null) flags.push({ flag: `--${flag}`, field, value });
  }
  for (const [flag, field] of Object.entries(FIELD_SWITCHES)) {
    if (args.has(flag)) flags.push({ flag: `--${flag}`, field, value: 'true' });
  }
  if (args.has('policy')) {
    flags.push({ flag: '--policy', field: 'policies', value: args.values('policy') });
  }
  return { kind: 'flags', flags };
}

function tellConfig(io: Io, loaded: ConfigResult): ExitCode {
  if (loaded.kind === 'config') {
    io.stdout.write(`${loaded.config.path}: valid\n`);
    return EXIT_OK;
  }
  for (const problem of loaded.problems) io.stderr.write(`sallyport: ${problem}\n`);
  return EXIT_USAGE;
}

function firstOf(problems: readonly string[]): string {
  const [first = 'the configuration is wrong'] = problems;
  const more = problems.length - 1;
  return more === 0 ? first : `${first} (and ${more} more: --check-config lists them)`;
}

async function runApp(
  config: Config,
  surroundings: { readonly io: Io; readonly load: () => ConfigResult },
): Promise<ExitCode> {
  const { io, load } = surroundings;
  const { accessLogBufferBytesMax, accessLogCloseTimeoutMs } = config.limits;
  const { timers } = nodePlatform();
  const sink = new LineSink({ fd: STDOUT, bytesMax: accessLogBufferBytesMax, timers });
  const beside = config.kubernetes === null ? ALONE : await besideCilium(config);
  for (const note of beside.notes) io.stderr.write(`sallyport: ${note}\n`);
  if (beside.refusal !== null) {
    io.stderr.write(`sallyport: ${beside.refusal}\n`);
    return EXIT_NEGATIVE;
  }
  const app = createApp(config, {
    load,
    version: sallyportVersion(),
    isInProcess: false,
    writeLines: (lines) => sink.write(lines),
    droppedLineCount: () => sink.droppedLineCount,
  });
  const release = onSignals(app, io.signals ?? null);
  try {
    const started = await app.start();
    if (started.kind === 'failed') {
      for (const line of started.problems) io.stderr.write(`sallyport: ${line}\n`);
      return EXIT_NEGATIVE;
    }
    if (started.kind === 'started') await app.ended;
    return EXIT_OK;
  } finally {
    release();
    await sink.idle(accessLogCloseTimeoutMs);
  }
}

/** The first SIGTERM or SIGINT drains, the second ends at once. */
function onSignals(app: App, held: HeldSignals | null): () => void {
  let hasAsked = false;
  const end = (): void => {
    if (hasAsked) void app.stop();
    else void app.drain();
    hasAsked = true;
  };
  const reload = (): void => void app.reload();
  const reopen = (): void => app.reopenAccessLog();
  const handlers: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGTERM', end],
    ['SIGINT', end],
    ['SIGHUP', reload],
    ['SIGUSR1', reopen],
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  // What else came is done by the start itself: it reads the files, and opens the log.
  if (held?.handOver().some((signal) => signal === 'SIGTERM' || signal === 'SIGINT') === true)
    end();
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
