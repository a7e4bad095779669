/**
 * The addresses at which this process accepts connections: a connection whose original destination is
 * one of them would be proxied to the proxy, and by that again, until no socket is left. Knows nothing
 * of other processes.
 */
import { networkInterfaces } from 'node:os';
import { parseIp, type SocketAddress } from '../../model/address.ts';

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export class OwnAddresses {
  readonly #bound: SocketAddress[] = [];

  add(address: SocketAddress): void {
    this.#bound.push(address);
  }

  /** True when a connection to `target` would be accepted by one of our listeners. */
  has(target: SocketAddress): boolean {
    return this.#bound.some(
      ({ ip, family, port }) =>
        port === target.port &&
        (ip === target.ip ||
          // To connect to the unspecified address is to connect to this machine.
          UNSPECIFIED.has(target.ip) ||
          (UNSPECIFIED.has(ip) && family === target.family && isOfThisMachine(target.ip))),
    );
  }
}

/** Asked anew each time: interfaces come and go, and hardly any destination has one of our ports. */
function isOfThisMachine(ip: string): boolean {
  if (ip.startsWith('127.') || ip === '::1') return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => parseIp(address.replace(/%.*$/, ''))?.text === ip),
  );
}
