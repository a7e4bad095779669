import type { Platform } from './platform.ts';

/** A turn of the event loop that takes longer than this had other work to do than to wait. */
const QUIET_TURN_MS = 20;
/** Beyond it the machine is busy, and waiting longer makes nothing better. */
const TURN_COUNT_MAX = 50;

/**
 * Once what a start leaves to do is done: whoever came before would wait for all of it. Resolves to how many
 * turns it took.
 */
export async function quietTurn({
  clock,
  soon,
}: Pick<Platform, 'clock' | 'soon'>): Promise<number> {
  for (let count = 1; count < TURN_COUNT_MAX; count++) {
    const beganMs = clock.nowMs();
    // A turn has a phase for what `soon` was given in the one before.
    await new Promise<void>((resolve) => soon(() => soon(resolve)));
    if (clock.nowMs() - beganMs <= QUIET_TURN_MS) return count;
  }
  return TURN_COUNT_MAX;
}
