/** `sallyport redirect up|down|status`: from arguments and configuration to one of the three. */
import type { Config } from '../../config/config.ts';
import { loadConfig } from '../../config/load.ts';
import type { Args } from '../args.ts';
import { type ExitCode, type Io, usageError } from '../io.ts';
import { redirectDown } from './down.ts';
import { REDIRECT_ACTIONS } from './specs.ts';
import { redirectStatus } from './status.ts';
import { redirectUp } from './up.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const action = REDIRECT_ACTIONS.find((one) => one === args.arguments[0]);
  if (action === undefined) {
    const found = args.arguments[0] ?? '';
    return usageError(io, `redirect: "${found}" is none of ${REDIRECT_ACTIONS.join(', ')}`);
  }
  const misplaced = misplacedFlag(args, action);
  if (misplaced !== null) return usageError(io, `redirect ${action}: ${misplaced}`);
  const loaded = loadConfig({ path: args.value('config'), flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') {
    return usageError(io, loaded.problems[0] ?? 'the configuration is wrong');
  }
  return runAction(action, loaded.config, { args, io });
}

function runAction(
  action: (typeof REDIRECT_ACTIONS)[number],
  config: Config,
  { args, io }: { readonly args: Args; readonly io: Io },
): Promise<ExitCode> {
  switch (action) {
    case 'up':
      return redirectUp(config, { io, isFollowing: args.has('follow') });
    case 'down':
      return redirectDown(config, io);
    case 'status':
      return redirectStatus(config, { io, isJson: args.value('output') === 'json' });
  }
}

function misplacedFlag(args: Args, action: (typeof REDIRECT_ACTIONS)[number]): string | null {
  if (args.has('follow') && action !== 'up') return '--follow is for up';
  return args.has('output') && action !== 'status' ? '--output is for status' : null;
}
