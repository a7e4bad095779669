/**
 * `sallyport redirect down`. The programs go first: as long as one of them marks packets, the rules that
 * deliver these must be there, or they would be routed past the proxy. The hooks of Services go before all: what is
 * dialled from then on is judged as dialled.
 */

import { existsSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { errorText } from '../../text/error_text.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io } from '../io.ts';
import { type RedirectNode, routingOf, thisNode } from './node.ts';
import { ANOTHER_LOADER } from './up.ts';

export async function redirectDown(
  config: Config,
  io: Io,
  node: RedirectNode = thisNode(config),
): Promise<ExitCode> {
  const { root } = config.redirect;
  const fail = (problem: string): ExitCode => {
    io.stderr.write(`sallyport: ${problem}\n`);
    return EXIT_NEGATIVE;
  };
  const lock = await node.takeLock(root);
  if (lock.kind !== 'held') return fail(lock.kind === 'error' ? lock.message : ANOTHER_LOADER);
  try {
    if (node.services.remove(root)) io.stdout.write('removed the hooks of Services\n');
    if (existsSync(root)) {
      node.removeDatapath(root);
      io.stdout.write(`removed programs, links and maps of ${root}\n`);
    }
    const { done, problems } = await routingOf(config, node).remove();
    for (const about of done) io.stdout.write(`removed ${about}\n`);
    for (const problem of problems) fail(problem);
    return problems.length === 0 ? EXIT_OK : EXIT_NEGATIVE;
  } catch (error) {
    return fail(errorText(error));
  } finally {
    await lock.release();
  }
}
