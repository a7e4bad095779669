/** How old what a source has may be, as events of the log: each part when it begins to be, and when it no longer is. */
import type { SourceHealth } from '../control/source/source.ts';
import type { Logger } from '../observe/log/logger.ts';

export function logHealth(log: Logger, health: SourceHealth, before: SourceHealth): void {
  const { restoredAtMs } = health;
  if (restoredAtMs !== null && before.restoredAtMs === null) {
    const fields = { saved_at: new Date(restoredAtMs).toISOString() };
    log.error(fields, 'the state of the cluster that was kept on disk is in force');
  }
  const known = new Map(before.stale.map(({ part, problem }) => [part, problem]));
  for (const { part, sinceMs, problem } of health.stale) {
    if (known.get(part) === problem) continue;
    const fields = { part, since: new Date(sinceMs).toISOString(), problem };
    log.warn(fields, 'what was read of the cluster may be old; it stays in force');
  }
  const stale = new Set(health.stale.map(({ part }) => part));
  for (const part of known.keys()) {
    if (!stale.has(part)) log.info({ part }, 'what was read of the cluster is up to date');
  }
}
