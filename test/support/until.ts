/** Waits for what other processes, threads and timers bring about. */
const INTERVAL_MS = 5;
const PATIENCE_MS = 25_000;

/** Fails with the condition's own text when it does not come true. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const lastMs = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > lastMs) throw new Error(`not within ${patienceMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}
