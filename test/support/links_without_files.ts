/** A process of its own, with a few open files: how many of its links are still there after none could be opened. */
import { openSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { Datagrams } from '../../src/platform/datagrams.ts';
import { DATAGRAM_FORMS } from './datagram_forms.ts';

const TRIES = 100;

function openAll(): void {
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // There is no further one, as it should be.
  }
}

const datagrams = new Map(DATAGRAM_FORMS).get(process.argv[2] ?? '') as Datagrams;
const options = { sender: null, id: 1, onDatagram: () => {}, onError: () => {} };
const peer = parseSocketAddress('127.0.0.1:53') as SocketAddress;
// What is loaded at the first call needs files of its own.
datagrams.connect(peer, options).close();
openAll();
const codes = new Set<unknown>();
for (let i = 0; i < TRIES; i++) {
  try {
    datagrams.connect(peer, options);
  } catch (error) {
    codes.add((error as NodeJS.ErrnoException).code);
  }
}
await setImmediate();
await setImmediate();
const leftCount = process.getActiveResourcesInfo().filter((kind) => /udp/i.test(kind)).length;
console.log(`${[...codes]} ${leftCount}`);
