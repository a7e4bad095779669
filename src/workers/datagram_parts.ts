/** How a worker's DNS listeners get their datagrams: natively where that works, and else by Node's own sockets. */
import type { SocketAddress } from '../model/address.ts';
import type { Datagrams } from '../platform/datagrams.ts';
import { PLAIN_DATAGRAMS } from '../platform/datagrams.ts';
import type { Platform } from '../platform/platform.ts';
import { MARK_PROXY_INGRESS } from '../redirect/layout.ts';
import type { WorkerSettings } from './messages.ts';

export interface DatagramEvents {
  readonly platform: Platform;
  /** Of each transparent socket, before the first datagram comes. */
  readonly onBound: (fd: number, address: SocketAddress) => void;
  /** Fixed destinations are served, only slower; what is redirected is not, and the kernel refuses it. */
  readonly onPlain: (problem: string) => void;
}

/** A proxy without DNS loads nothing that calls the kernel by itself. */
export async function makeDatagrams(
  { listeners }: WorkerSettings,
  { platform, onBound, onPlain }: DatagramEvents,
): Promise<Datagrams> {
  const areServed = listeners.some(
    ({ protocol, areDatagramsTaken }) => protocol === 'dns' || areDatagramsTaken === true,
  );
  if (!areServed) return PLAIN_DATAGRAMS;
  try {
    const { nativeDatagrams } = await import('../platform/native/native_datagrams.ts');
    return nativeDatagrams({ platform, answerMark: MARK_PROXY_INGRESS, onBound });
  } catch (error) {
    onPlain(error instanceof Error ? error.message : String(error));
    return PLAIN_DATAGRAMS;
  }
}
