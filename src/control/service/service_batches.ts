/**
 * The Services of an inventory as batches for those who judge by them. What did not change is the very same object in
 * the next inventory, so a batch costs what differs.
 */
import type { IpText, SocketAddress } from '../../model/address.ts';
import type {
  JudgedFrontend,
  ServiceBackend,
  ServiceFrontend,
} from '../../model/service_frontend.ts';
import {
  frontendKey,
  type ServiceBatch,
  ServiceTable,
} from '../../policy/identity/service_table.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
import { changedItems, editsBetween } from '../set/edits.ts';
import { NO_FRONTENDS, ServiceFrontends } from './service_frontends.ts';

export class ServiceBatches {
  readonly #frontends = new ServiceFrontends();
  #set = NO_FRONTENDS;
  #table = ServiceTable.EMPTY;
  /** Frontends of one port share the list of their backends. */
  #lists = new WeakMap<readonly ServiceBackend[], readonly SocketAddress[]>();

  /** With all batches in it that were made. */
  get table(): ServiceTable {
    return this.#table;
  }

  /** Addresses that several Services claim, one line each. */
  get problems(): readonly string[] {
    return this.#set.problems;
  }

  /** In order; none: nothing is new. All of one Service that changes is in one of them. */
  next({ services, endpoints }: Inventory): readonly ServiceBatch[] {
    const before = this.#set;
    // A packet may be translated on any node, for a client of any: all backends count.
    const set = this.#frontends.update({ services, endpoints, here: null });
    if (set === before) return [];
    this.#set = set;
    const { gone, come } = changedItems(editsBetween(before.frontends, set.frontends));
    const judged = come.map((one) => this.#judged(one));
    const still = new Set(judged.map(frontendKey));
    const left = gone.map(addressOf).filter((one) => !still.has(frontendKey(one)));
    const parts = partsOf(judged);
    if (parts.length === 0 && left.length > 0) parts.push([]);
    return parts.map((part, at) => {
      const sequence = this.#table.sequence + 1;
      const batch = { sequence, isWhole: false, gone: at === 0 ? left : [], come: part };
      this.#table = this.#table.after(batch);
      return batch;
    });
  }

  /** All that the batches so far have told. */
  whole(): ServiceBatch {
    const { sequence } = this.#table;
    return { sequence, isWhole: true, gone: [], come: [...this.#table.frontends()] };
  }

  #judged(frontend: ServiceFrontend): JudgedFrontend {
    const { service, kind, protocol, family, port, address, allBackends } = frontend;
    const backends = this.#lists.get(allBackends) ?? allBackends.map(socketAddressOf);
    this.#lists.set(allBackends, backends);
    return { service, kind, protocol, family, port, ip: textOf(address), backends };
  }
}

/** What a worker, which serves traffic meanwhile, reads in a few milliseconds. */
const PART_WEIGHT_MAX = 2000;

function partsOf(frontends: readonly JudgedFrontend[]): JudgedFrontend[][] {
  const parts: JudgedFrontend[][] = [];
  let weight = Number.POSITIVE_INFINITY;
  let last = '';
  for (const one of frontends) {
    if (weight >= PART_WEIGHT_MAX && one.service !== last) {
      parts.push([]);
      weight = 0;
    }
    parts.at(-1)?.push(one);
    weight += 1 + one.backends.length;
    last = one.service;
  }
  return parts;
}

function addressOf({
  protocol,
  family,
  port,
  address,
}: ServiceFrontend): Pick<JudgedFrontend, 'protocol' | 'family' | 'ip' | 'port'> {
  return { protocol, family, port, ip: textOf(address) };
}

function textOf(address: ServiceFrontend['address']): IpText | null {
  return address?.text ?? null;
}

function socketAddressOf({ address, port }: ServiceBackend): SocketAddress {
  return { ip: address.text, family: address.family, port };
}
