/**
 * Our listeners in the kernel's hands: the program that picks the listener of a redirected connection
 * takes it from `listeners`, in which worker i of n holds every slot s with s % n === i. The slots of a
 * worker that dies empty themselves, and connections go on to the next one's.
 *
 *     IPv4  0 1 2 … 31     IPv6  32 33 … 63     datagrams: the same from 64 on
 *           a b a b …            a  b  …
 */
import { join } from 'node:path';
import type { SocketAddress } from '../model/address.ts';
import type { Transport } from '../model/connection_meta.ts';
import { sockmapFill, sockmapUpdate } from './kernel/pinned.ts';
import { LISTENER_SLOTS } from './layout.ts';

export interface Place {
  readonly workerIndex: number;
  readonly workerCount: number;
}

export interface SocketPlace extends Place {
  readonly address: Pick<SocketAddress, 'family'>;
  readonly transport: Transport;
}

/** From now on connections, or datagrams, come to `fd`. Who held the slots before keeps what it has accepted. */
export function registerListener(mapsFolder: string, fd: number, listener: SocketPlace): void {
  const path = join(mapsFolder, 'listeners');
  for (const slot of slotsOf(listener)) sockmapUpdate(path, slot, fd);
}

/**
 * Takes those of our slots that are empty: a proxy that came up beside us, took them and died again must
 * not leave the node without one. True when there was any.
 */
export function fillSlots(mapsFolder: string, fd: number, listener: SocketPlace): boolean {
  return sockmapFill(join(mapsFolder, 'listeners'), slotsOf(listener), fd);
}

/** With more workers than slots the last ones would serve nothing: the configuration refuses that. */
export function slotsOf({
  workerIndex,
  workerCount,
  address,
  transport,
}: SocketPlace): readonly number[] {
  const first =
    (address.family === 6 ? LISTENER_SLOTS : 0) + (transport === 'UDP' ? 2 * LISTENER_SLOTS : 0);
  const slots: number[] = [];
  for (let slot = workerIndex; slot < LISTENER_SLOTS; slot += workerCount) slots.push(first + slot);
  return slots;
}
