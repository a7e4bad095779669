/**
 * `sallyport redirect up`: once, or with `--follow` until SIGTERM. What it sets up outlives it: there is no
 * moment, not even after its end, in which packets pass unjudged.
 */

import type { Config } from '../../config/config.ts';
import { createLogger, type Logger } from '../../observe/log/logger.ts';
import { errorText } from '../../text/error_text.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io } from '../io.ts';
import { RedirectFollower } from './follow.ts';
import { LoaderError, RedirectLoader } from './loader.ts';
import { type RedirectNode, sleep, thisNode } from './node.ts';

export interface UpOptions {
  readonly io: Io;
  readonly isFollowing: boolean;
}

export async function redirectUp(
  config: Config,
  options: UpOptions,
  node: RedirectNode = thisNode(config),
): Promise<ExitCode> {
  const tell = options.isFollowing ? logged(config, options.io) : printed(options.io);
  const stop = new AbortController();
  const release = options.isFollowing ? onEnd(() => stop.abort()) : () => {};
  const loader = new RedirectLoader(config, node);
  let unlock = async (): Promise<void> => {};
  try {
    const lock = await waitForLock(config, { node, tell, options, signal: stop.signal });
    if (lock === null) return EXIT_NEGATIVE;
    unlock = lock;
    if (stop.signal.aborted) return EXIT_OK;
    const waiting = { onWaiting: tell.waiting, signal: stop.signal };
    const report = await loader.start(options.isFollowing ? waiting : null);
    if (report === null) return EXIT_OK;
    for (const line of report.done) tell.done(line);
    for (const line of report.warnings) tell.warning(line);
    if (options.isFollowing) {
      await new RedirectFollower({
        config,
        node,
        loader,
        log: tell.log,
        signal: stop.signal,
      }).run();
    }
    return EXIT_OK;
  } catch (error) {
    const problems = error instanceof LoaderError ? error.problems : [errorText(error)];
    for (const problem of problems) tell.problem(problem);
    return EXIT_NEGATIVE;
  } finally {
    await loader.close();
    release();
    await unlock();
  }
}

interface Teller {
  readonly log: Logger;
  done(line: string): void;
  warning(line: string): void;
  problem(line: string): void;
  /** For a first set of policy. */
  readonly waiting: (problems: readonly string[]) => void;
}

function printed(io: Io): Teller {
  return {
    log: createLogger({ level: 'silent', write: () => {} }),
    done: (line) => io.stdout.write(`${line}\n`),
    warning: (line) => io.stderr.write(`sallyport: warning: ${line}\n`),
    problem: (line) => io.stderr.write(`sallyport: ${line}\n`),
    waiting: () => {},
  };
}

function logged(config: Config, io: Io): Teller {
  const log = createLogger({ level: config.logLevel, write: (line) => io.stdout.write(line) });
  return {
    log,
    done: (line) => log.info({}, line),
    warning: (line) => log.warn({ problem: line }, 'redirect'),
    problem: (line) => {
      log.error({ problem: line }, 'redirect cannot be set up');
      io.stderr.write(`sallyport: ${line}\n`);
    },
    waiting: (problems) =>
      log.error({ problems }, 'waiting for the cluster; what is in the kernel stays in force'),
  };
}

interface LockContext {
  readonly node: RedirectNode;
  readonly tell: Teller;
  readonly options: UpOptions;
  readonly signal: AbortSignal;
}

/** One that follows waits for the one before it to end: so a new version can be started beside the old. */
async function waitForLock(
  config: Config,
  { node, tell, options, signal }: LockContext,
): Promise<(() => Promise<void>) | null> {
  let hasTold = false;
  for (;;) {
    const lock = await node.takeLock(config.redirect.root);
    if (lock.kind === 'held') return lock.release;
    if (lock.kind === 'error') {
      tell.problem(lock.message);
      return null;
    }
    if (!options.isFollowing) {
      tell.problem(ANOTHER_LOADER);
      return null;
    }
    if (signal.aborted) return async () => {};
    if (!hasTold) tell.log.info({}, 'waiting for another loader to end');
    hasTold = true;
    await sleep(node.timers, config.limits.redirectRetryMs);
  }
}

export const ANOTHER_LOADER =
  'another `sallyport redirect` is at work on these pins; end it first (what it set up stays in force)';

function onEnd(end: () => void): () => void {
  const signals = ['SIGTERM', 'SIGINT'] as const;
  for (const signal of signals) process.on(signal, end);
  return () => {
    for (const signal of signals) process.off(signal, end);
  };
}
