/** Which services peers of rules name. Rules hang on these; all others may change as they like. */
import type { Peer, PolicySpec } from '../rule.ts';
import { LabelSet, selectorMatches } from '../selector.ts';
import type { InventoryService } from './inventory.ts';

export type ServicePeer = Peer & { readonly kind: 'service' };

export class ServicePeers {
  /** Peers that name one service, by "namespace/name". */
  readonly #named = new Map<string, ServicePeer[]>();
  readonly #others: ServicePeer[] = [];

  constructor(specs: readonly PolicySpec[]) {
    for (const { rules } of specs) {
      for (const { peers } of rules) {
        for (const peer of peers ?? []) if (peer.kind === 'service') this.#file(peer);
      }
    }
  }

  select(service: InventoryService): boolean {
    const named = this.#named.get(`${service.namespace}/${service.name}`) ?? [];
    const matches = (peer: ServicePeer): boolean => serviceMatches(service, peer);
    return named.some(matches) || this.#others.some(matches);
  }

  #file(peer: ServicePeer): void {
    const { namespace, name } = peer;
    if (namespace === null || name === null) {
      this.#others.push(peer);
      return;
    }
    const key = `${namespace}/${name}`;
    const known = this.#named.get(key);
    if (known === undefined) this.#named.set(key, [peer]);
    else known.push(peer);
  }
}

export function serviceMatches(service: InventoryService, peer: ServicePeer): boolean {
  if (peer.namespace !== null && peer.namespace !== service.namespace) return false;
  if (peer.name !== null && peer.name !== service.name) return false;
  if (peer.selector === null) return peer.name !== null;
  return selectorMatches(peer.selector, new LabelSet(service.labels));
}
