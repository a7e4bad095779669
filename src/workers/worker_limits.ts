/** What a worker may have of what the configuration allows. */
import type { Config } from '../config/config.ts';
import { descriptorsFor, limitsWithin } from '../model/descriptors.ts';
import type { Limits } from '../model/limits.ts';
import type { Logger } from '../observe/log/logger.ts';
import { openFileCountMax } from '../platform/open_files.ts';

/** With no more connections than there are file descriptors for, so that a bound of ours is met before the system's. */
export function workerLimits({ limits, listeners }: Config, log: Logger): Limits {
  const countMax = openFileCountMax();
  const areQuestionsServed = listeners.some(({ protocol }) => protocol === 'dns');
  const within = limitsWithin(limits, countMax, areQuestionsServed);
  const { connectionCountMax: allowed } = within;
  if (allowed !== limits.connectionCountMax) {
    log.warn(
      { open_files_max: countMax, connection_count_max: limits.connectionCountMax, allowed },
      `a worker may have ${countMax} open files, which is enough for ${allowed} connections in place of the ` +
        `${limits.connectionCountMax} of limits.connectionCountMax: raise it to ${descriptorsFor(limits)} ` +
        '(ulimit -n, LimitNOFILE= of systemd), or lower connectionCountMax',
    );
  }
  return within;
}
