import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as (options?: { readonly type: 'minor' }) => void;

/** A full collection, so that what is counted afterwards is what is really held. */
export async function collectGarbage(): Promise<void> {
  // Sockets that were closed in this turn let go of their memory in a later one.
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    gc();
  }
}

/** What is young and in use is old after two of these; what is old stays, in use or not. */
export function collectYoung(): void {
  gc({ type: 'minor' });
}
