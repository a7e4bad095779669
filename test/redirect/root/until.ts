import { setTimeout as sleep } from 'node:timers/promises';

/** Beyond this, on a machine however busy, something is wrong. */
const PATIENCE_MS = 60_000;
const INTERVAL_MS = 50;

/** Asks until it is so. Throws when it does not come to be. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const lastMs = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > lastMs) throw new Error('it did not come to be');
    await sleep(INTERVAL_MS);
  }
}
