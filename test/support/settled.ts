/**
 * When everything that is on its way in this process has arrived: for claims that something did NOT happen.
 *
 * A byte over loopback is in its receiver's buffer when `write` returns, and is read in the next turn of the
 * event loop. Client, proxy and origin live in this process, and the longest way (client, proxy, origin, back, with
 * what each of them defers to its next turn) has fewer than ten hops. So turns are counted, not milliseconds: a slow
 * machine takes as many.
 */
const TURNS = 100;

export async function settled(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
