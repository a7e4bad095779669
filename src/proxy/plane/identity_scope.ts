/** Whom batches of identities and of Services are about, so that of many connections only those are judged again. */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { IdentityBatch } from '../../policy/identity/delta.ts';
import type { ServiceBatch } from '../../policy/identity/service_table.ts';

export class IdentityScope {
  /** An identity that comes or goes may change what other remotes' ports are; a prefix has many addresses. */
  #isEverybody = false;
  readonly #ips = new Set<string>();
  readonly #nodePorts = new Set<number>();

  add({ deltas }: IdentityBatch): void {
    for (const delta of deltas) {
      switch (delta.kind) {
        case 'add-identity':
        case 'remove-identity':
          this.#isEverybody = true;
          break;
        case 'upsert-address':
        case 'remove-address': {
          const { address, length } = delta.prefix;
          if (length === address.bytes.length * 8) this.#ips.add(address.text);
          else this.#isEverybody = true;
          break;
        }
        case 'upsert-endpoint':
          for (const ip of delta.endpoint.ips) this.#ips.add(ip);
          break;
        case 'remove-endpoint':
          for (const ip of delta.ips) this.#ips.add(ip);
          break;
      }
    }
  }

  addServices({ isWhole, gone, come }: ServiceBatch): void {
    this.#isEverybody ||= isWhole;
    for (const { ip, port } of [...gone, ...come]) {
      if (ip === null) this.#nodePorts.add(port);
      else this.#ips.add(ip);
    }
  }

  concerns({ source, destination, dialled }: ConnectionMeta): boolean {
    return (
      this.#isEverybody ||
      this.#ips.has(source.ip) ||
      this.#ips.has(destination.ip) ||
      this.#nodePorts.has(destination.port) ||
      dialled?.frontend.backends.some(({ ip }) => this.#ips.has(ip)) === true
    );
  }
}
