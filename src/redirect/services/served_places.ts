/** Whether what a socket dialled still leads to the backend that it got. Pure. */
import type { ServiceFrontend } from '../../model/service_frontend.ts';
import { decodeConnection, encodeBackend, encodeFrontendKey, encodeNodeAddress } from './layout.ts';
import type { ServicesInForce } from './service_tables.ts';

export class ServedPlaces {
  readonly #frontends = new Map<string, ServiceFrontend>();
  readonly #backends = new Map<ServiceFrontend, ReadonlySet<string>>();
  readonly #nodeAddresses: ReadonlySet<string>;

  constructor({ frontends, nodeAddresses }: ServicesInForce) {
    for (const one of frontends) {
      if (one.protocol !== 'UDP') continue;
      const key = encodeFrontendKey(one);
      if (key === null) continue;
      if (!this.#frontends.has(textOf(key))) this.#frontends.set(textOf(key), one);
    }
    this.#nodeAddresses = new Set(nodeAddresses.map((one) => textOf(encodeNodeAddress(one))));
  }

  /**
   * By what the hooks remember. Whoever serves still counts, as kube-proxy's cleaning of connections has it: neither a
   * policy of traffic nor the end that a pod has begun takes a connection away.
   */
  isServed(connection: Buffer): boolean {
    const { frontendKey, nodePortKey, nodeAddress, isLoopback, backend } =
      decodeConnection(connection);
    const isOfNode = isLoopback || this.#nodeAddresses.has(textOf(nodeAddress));
    const frontend =
      this.#frontends.get(textOf(frontendKey)) ??
      (isOfNode ? this.#frontends.get(textOf(nodePortKey)) : undefined);
    return frontend !== undefined && this.#backendsOf(frontend).has(textOf(backend));
  }

  #backendsOf(frontend: ServiceFrontend): ReadonlySet<string> {
    const known = this.#backends.get(frontend);
    if (known !== undefined) return known;
    const texts = frontend.servingBackends.map(({ address, port }) =>
      textOf(encodeBackend(address, port)),
    );
    const made = new Set(texts);
    this.#backends.set(frontend, made);
    return made;
  }
}

function textOf(bytes: Buffer): string {
  return bytes.toString('latin1');
}
