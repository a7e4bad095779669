/** `sallyport relay`: the flows of many nodes at one place, until it is told to end. */
import { RelayService } from '../../hubble/relay/relay_service.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { createLogger } from '../../observe/log/logger.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { sallyportVersion } from '../version.ts';
import { relaySettings } from './relay_settings.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const read = relaySettings(args, io);
  if (read.kind === 'error') return usageError(io, `relay: ${read.message}`);
  const { settings } = read;
  const log = createLogger({ level: 'info' });
  const relay = new RelayService({
    settings,
    limits: DEFAULT_LIMITS,
    version: `sallyport ${sallyportVersion()}`,
    clock: nodePlatform().clock,
    onProblem: (problem) => log.warn({ problem }, 'a problem'),
  });
  const asked = toldToEnd();
  try {
    const addresses = await relay.start();
    if (addresses.length === 0) {
      log.error({}, 'not started');
      return EXIT_NEGATIVE;
    }
    log.info({ addresses }, 'ready');
    await asked.promise;
    return EXIT_OK;
  } finally {
    asked.release();
    relay.stop();
  }
}

function toldToEnd(): { readonly promise: Promise<void>; release(): void } {
  let end = (): void => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  return {
    promise,
    release: () => {
      process.off('SIGTERM', end);
      process.off('SIGINT', end);
    },
  };
}
