/** A full collection, so that what is counted afterwards is what is really held. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

export async function collectGarbage(): Promise<void> {
  // Sockets that were closed in this turn let go of their memory in a later one.
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    gc();
  }
}
