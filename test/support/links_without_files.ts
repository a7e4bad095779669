/** A process of its own, with a few open files: how many of its links are still there after none could be opened. */
import { openSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import { PLAIN_DATAGRAMS } from '../../src/platform/datagrams.ts';

const TRIES = 100;

function openAll(): void {
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // There is no further one, as it should be.
  }
}

const peer = parseSocketAddress('127.0.0.1:53') as SocketAddress;
// What is loaded at the first call needs files of its own.
PLAIN_DATAGRAMS.connect(peer, { onDatagram: () => {}, onError: () => {} }).close();
openAll();
const codes = new Set<unknown>();
for (let i = 0; i < TRIES; i++) {
  try {
    PLAIN_DATAGRAMS.connect(peer, { onDatagram: () => {}, onError: () => {} });
  } catch (error) {
    codes.add((error as NodeJS.ErrnoException).code);
  }
}
await setImmediate();
await setImmediate();
const leftCount = process.getActiveResourcesInfo().filter((kind) => /udp/i.test(kind)).length;
console.log(`${[...codes]} ${leftCount}`);
