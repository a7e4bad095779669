/**
 * All Services of an inventory as their frontends. What did not change stays the very same object: a Service whose
 * object and slices are those of the last time costs one comparison, and one that changed gives new frontends only where
 * they say something else. Pure.
 */
import type { ServiceBackend, ServiceFrontend } from '../../model/service_frontend.ts';
import { compareText } from '../../policy/labels.ts';
import type { Inventory, InventoryService } from '../../policy/resolve/inventory.ts';
import { changedItems, editsBetween } from '../set/edits.ts';
import { frontendsOfService } from './frontends_of_service.ts';
import { selectedSlices } from './selected_slices.ts';

export interface FrontendSet {
  /** By Service, in the order of the inventory. No two have one address, port and protocol. */
  readonly frontends: readonly ServiceFrontend[];
  /** Addresses that several claim, one line each. */
  readonly problems: readonly string[];
}

export const NO_FRONTENDS: FrontendSet = Object.freeze({ frontends: [], problems: [] });

type Known = Pick<Inventory, 'services' | 'endpoints' | 'here'>;

const NOTHING: Known = { services: [], endpoints: [], here: null };

export class ServiceFrontends {
  #known = NOTHING;
  /** As they would be if nobody else claimed their addresses. */
  readonly #own = new Map<InventoryService, readonly ServiceFrontend[]>();
  /** By what is dialled: those that are sent there, by Service. */
  readonly #claims = new Map<string, readonly ServiceFrontend[]>();
  /** What of `#claims` several claim. */
  readonly #contested = new Set<string>();
  /** When the Services of contested frontends were made, among others. */
  readonly #createdS = new Map<string, number>();
  #set: FrontendSet = NO_FRONTENDS;

  /** The very same set, when nothing of it changed. */
  update({ services, endpoints, here }: Known): FrontendSet {
    const before = this.#known;
    if (before.services === services && before.endpoints === endpoints && before.here === here) {
      return this.#set;
    }
    this.#known = { services, endpoints, here };
    const isHereSame = before.here?.name === here?.name && before.here?.zone === here?.zone;
    const { gone, come } = changedItems(editsBetween(before.services, services));
    const former = new Map(gone.map((one) => [nameOf(one), this.#take(one)]));
    const isSelectionSame = isHereSame && before.endpoints === endpoints;
    const isStale = ({ slices }: InventoryService): boolean => !isHereSame || slices === null;
    const again = isSelectionSame ? [] : services.filter(isStale);
    let isChanged = false;
    for (const service of new Set([...come, ...again])) {
      const slices = service.slices ?? selectedSlices(service, endpoints);
      const name = nameOf(service);
      const known = former.get(name) ?? this.#own.get(service) ?? NONE;
      const frontends = kept(known, frontendsOfService(service, { here, slices }));
      former.delete(name);
      this.#own.set(service, frontends);
      // Made anew under its name, it may have come after another.
      const createdS = service.spec?.createdS ?? 0;
      if (this.#createdS.get(name) !== createdS) isChanged = true;
      this.#createdS.set(name, createdS);
      if (this.#replace(known, frontends)) isChanged = true;
    }
    for (const [name, frontends] of former) {
      this.#createdS.delete(name);
      if (this.#replace(frontends, NONE)) isChanged = true;
    }
    if (isChanged) this.#set = this.#setOf(services);
    return this.#set;
  }

  #take(service: InventoryService): readonly ServiceFrontend[] {
    const frontends = this.#own.get(service) ?? NONE;
    this.#own.delete(service);
    return frontends;
  }

  /** False: it is what there was. */
  #replace(before: readonly ServiceFrontend[], after: readonly ServiceFrontend[]): boolean {
    if (before === after) return false;
    for (const one of before) {
      const claim = claimOf(one);
      this.#claim(
        claim,
        (this.#claims.get(claim) ?? NONE).filter((other) => other !== one),
      );
    }
    for (const one of after) {
      const claim = claimOf(one);
      this.#claim(claim, [...(this.#claims.get(claim) ?? NONE), one]);
    }
    return true;
  }

  #claim(claim: string, claimants: readonly ServiceFrontend[]): void {
    if (claimants.length === 0) this.#claims.delete(claim);
    else this.#claims.set(claim, claimants);
    if (claimants.length > 1) this.#contested.add(claim);
    else this.#contested.delete(claim);
  }

  #setOf(services: readonly InventoryService[]): FrontendSet {
    const left = new Set<ServiceFrontend>();
    const problems: string[] = [];
    for (const claim of [...this.#contested].sort(compareText)) {
      const [owner, ...others] = [...(this.#claims.get(claim) ?? NONE)].sort((a, b) =>
        this.#byAge(a, b),
      );
      for (const other of others) left.add(other);
      const names = [...new Set(others.map(({ service }) => service))].join(', ');
      problems.push(
        `${claim}: Service ${owner?.service ?? ''} has it, and ${names} claims it, too`,
      );
    }
    const all = services.flatMap((one) => this.#own.get(one) ?? NONE);
    const frontends = left.size === 0 ? all : all.filter((one) => !left.has(one));
    return { frontends, problems };
  }

  /** Who came first has an address; of one age, by their names. */
  #byAge(a: ServiceFrontend, b: ServiceFrontend): number {
    const ageOf = ({ service }: ServiceFrontend): number => this.#createdS.get(service) ?? 0;
    return ageOf(a) - ageOf(b) || compareText(a.service, b.service);
  }
}

const NONE: readonly ServiceFrontend[] = Object.freeze([]);

function nameOf({ namespace, name }: InventoryService): string {
  return `${namespace}/${name}`;
}

/** "TCP 10.96.0.10:53"; of a NodePort "TCP nodePort 30080 (IPv4)". */
function claimOf({ protocol, family, address, port }: ServiceFrontend): string {
  if (address === null) return `${protocol} nodePort ${port} (IPv${family})`;
  return `${protocol} ${family === 6 ? `[${address.text}]` : address.text}:${port}`;
}

/** `after`, with those of `before` that say the same; `before` itself, when all of it does. */
function kept(
  before: readonly ServiceFrontend[],
  after: readonly ServiceFrontend[],
): readonly ServiceFrontend[] {
  const known = new Map(before.map((one) => [`${one.portName} ${claimOf(one)}`, one]));
  const next = after.map((one) => {
    const former = known.get(`${one.portName} ${claimOf(one)}`);
    return former !== undefined && isSameFrontend(former, one) ? former : one;
  });
  const isSame = next.length === before.length && next.every((one, index) => one === before[index]);
  return isSame ? before : next;
}

/** Of one Service, port, address and protocol. */
function isSameFrontend(a: ServiceFrontend, b: ServiceFrontend): boolean {
  return (
    a.service === b.service &&
    a.kind === b.kind &&
    a.affinityMs === b.affinityMs &&
    a.isConsistentlyHashed === b.isConsistentlyHashed &&
    areSameBackends(a.backends, b.backends) &&
    areSameBackends(a.allBackends, b.allBackends) &&
    areSameBackends(a.servingBackends, b.servingBackends)
  );
}

function areSameBackends(a: readonly ServiceBackend[], b: readonly ServiceBackend[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, index) => {
      const other = b[index] as ServiceBackend;
      return (
        one.address.text === other.address.text &&
        one.port === other.port &&
        one.nodeName === other.nodeName
      );
    })
  );
}
