/** Whose PROXY header is believed: it says who the client is, so whoever may send one may be anybody. */
import {
  type IpPrefix,
  parsePrefix,
  prefixContains,
  type SocketAddress,
} from '../../model/address.ts';

export class TrustedProxies {
  readonly #prefixes: readonly IpPrefix[];

  /** None: everybody's is. Throws when one is no prefix. */
  constructor(prefixes: readonly string[]) {
    this.#prefixes = prefixes.map((text) => {
      const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
      if (prefix === null) throw new Error(`${text} is no address or CIDR`);
      return prefix;
    });
  }

  has({ ip }: SocketAddress): boolean {
    if (this.#prefixes.length === 0) return true;
    const address = parsePrefix(ip, { allowBare: true, allowHostBits: false });
    return address !== null && this.#prefixes.some((prefix) => prefixContains(prefix, address));
  }
}
