/** Waits for what other processes, threads and timers bring about. */
const PATIENCE_MS = 80_000;
/** A look may be a whole process: many of them would take the time from what is waited for. */
const [LEAST_INTERVAL_MS, MOST_INTERVAL_MS, LOOKS] = [5, 250, 20];

/** Fails with the condition's own text when it does not come true. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const beganMs = performance.now();
  while (!(await holds())) {
    const tookMs = performance.now() - beganMs;
    if (tookMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${holds}`);
    const pauseMs = Math.max(LEAST_INTERVAL_MS, Math.min(MOST_INTERVAL_MS, tookMs / LOOKS));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
