/**
 * Our listeners in the kernel's hands: the program that picks the listener of a redirected connection
 * takes it from `listeners`, in which worker i of n holds every slot s with s % n === i. The slots of a
 * worker that dies empty themselves, and connections go on to the next one's.
 *
 *     IPv4  0 1 2 … 31     IPv6  32 33 … 63
 *           a b a b …            a  b  …
 */
import { join } from 'node:path';
import type { SocketAddress } from '../model/address.ts';
import { sockmapFill, sockmapUpdate } from './kernel/pinned.ts';
import { LISTENER_SLOTS } from './layout.ts';

export interface Place {
  readonly workerIndex: number;
  readonly workerCount: number;
}

/** From now on connections come to `fd`. Who held the slots before keeps what it has accepted. */
export function registerListener(
  mapsFolder: string,
  fd: number,
  listener: Place & { readonly address: SocketAddress },
): void {
  const path = join(mapsFolder, 'listeners');
  for (const slot of slotsOf(listener)) sockmapUpdate(path, slot, fd);
}

/**
 * Takes those of our slots that are empty: a proxy that came up beside us, took them and died again must
 * not leave the node without one. True when there was any.
 */
export function fillSlots(
  mapsFolder: string,
  fd: number,
  listener: Place & { readonly address: SocketAddress },
): boolean {
  return sockmapFill(join(mapsFolder, 'listeners'), slotsOf(listener), fd);
}

/** With more workers than slots the last ones would serve nothing: the configuration refuses that. */
export function slotsOf({
  workerIndex,
  workerCount,
  address,
}: Place & { readonly address: Pick<SocketAddress, 'family'> }): readonly number[] {
  const first = address.family === 6 ? LISTENER_SLOTS : 0;
  const slots: number[] = [];
  for (let slot = workerIndex; slot < LISTENER_SLOTS; slot += workerCount) slots.push(first + slot);
  return slots;
}
