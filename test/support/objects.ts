/** Policies as an API sends them, and a source of them for tests. */
import type { ObjectRef } from '../../src/control/decode/policy_object.ts';
import { ObjectOffers } from '../../src/control/source/objects/object_offers.ts';
import type {
  ApiObject,
  ObjectSet,
  Surroundings,
} from '../../src/control/source/objects/object_set.ts';
import type { PolicySink, PolicySource } from '../../src/control/source/source.ts';
import type { Inventory } from '../../src/policy/resolve/inventory.ts';

/** Objects in memory: what a watch would send is said by the test. */
export class MemorySource implements PolicySource {
  readonly name = 'memory';
  readonly #offers: ObjectOffers;
  readonly #refs = new Map<string, ObjectRef>();

  constructor(set: ObjectSet, surroundings: Pick<Surroundings, 'inventory' | 'secrets'>) {
    this.#offers = new ObjectOffers(set, { ...surroundings, documents: [], warnings: [] });
  }

  start(sink: PolicySink): void {
    this.#offers.start(sink);
  }

  refresh(sink: PolicySink, done: () => void): void {
    this.#offers.offer(sink);
    done();
  }

  stop(): void {
    this.#offers.stop();
  }

  put(object: ApiObject): void {
    this.#refs.set(JSON.stringify(object.ref), object.ref);
    this.#offers.put(object);
  }

  remove(ref: ObjectRef): void {
    this.#refs.delete(JSON.stringify(ref));
    this.#offers.remove(ref);
  }

  setInventory(inventory: Inventory): void {
    this.#offers.surround({ inventory });
  }

  synced(): void {
    this.#offers.synced([...this.#refs.values()]);
  }
}

export function refOf(namespace: string | null, name: string, apiKind: string): ObjectRef {
  return { apiKind, namespace, name, uid: `uid of ${name}` };
}

/** A CiliumNetworkPolicy with this spec. */
export function cnpObject(namespace: string, name: string, spec: unknown): ApiObject {
  const apiKind = 'CiliumNetworkPolicy';
  const object = { apiVersion: 'cilium.io/v2', kind: apiKind, metadata: { namespace, name }, spec };
  return { ref: refOf(namespace, name, apiKind), version: null, object };
}

/** Endpoints `app` may be reached by everybody on that port of TCP, and on no other. */
export function opens(app: string, port: number): object {
  return {
    endpointSelector: { matchLabels: { app } },
    ingress: [
      {
        fromEntities: ['all'],
        toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }],
      },
    ],
  };
}
