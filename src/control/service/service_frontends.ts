/**
 * All Services of an inventory as their frontends. What did not change stays the very same object: a Service whose
 * object and slices are those of the last time costs one comparison, and one that changed gives new frontends only where
 * they say something else. Pure.
 */
import type { ServiceBackend, ServiceFrontend } from '../../model/service_frontend.ts';
import type { ServiceSlice } from '../../model/service_spec.ts';
import { compareText } from '../../policy/labels.ts';
import type {
  Inventory,
  InventoryEndpoint,
  InventoryService,
} from '../../policy/resolve/inventory.ts';
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

interface Entry {
  readonly service: InventoryService;
  /** As they would be if nobody else claimed their addresses. */
  readonly frontends: readonly ServiceFrontend[];
}

export class ServiceFrontends {
  #known: Known = { services: [], endpoints: [], here: null };
  #entries = new Map<string, Entry>();
  /** By what is dialled: those that are sent there, by Service. */
  readonly #claims = new Map<string, readonly ServiceFrontend[]>();
  /** What of `#claims` several claim. */
  readonly #contested = new Set<string>();
  #set: FrontendSet = NO_FRONTENDS;

  /** The very same set, when nothing of it changed. */
  update({ services, endpoints, here }: Known): FrontendSet {
    const before = this.#known;
    if (before.services === services && before.endpoints === endpoints && before.here === here) {
      return this.#set;
    }
    this.#known = { services, endpoints, here };
    const isHereSame = before.here?.name === here?.name && before.here?.zone === here?.zone;
    const isSelectionSame = isHereSame && before.endpoints === endpoints;
    const entries = new Map<string, Entry>();
    let isChanged = services.length !== this.#entries.size;
    for (const service of services) {
      const key = `${service.namespace}/${service.name}`;
      const known = this.#entries.get(key);
      const isKept = service.slices === null ? isSelectionSame : isHereSame;
      if (known !== undefined && known.service === service && isKept) {
        entries.set(key, known);
        continue;
      }
      const slices = service.slices ?? selectedSlicesOf(service, endpoints);
      const frontends = kept(
        known?.frontends ?? NONE,
        frontendsOfService(service, { here, slices }),
      );
      entries.set(key, { service, frontends });
      if (this.#replace(known?.frontends ?? NONE, frontends)) isChanged = true;
      // Made anew under its name, it may have come after another.
      else if (known?.service.spec?.createdS !== service.spec?.createdS) isChanged = true;
    }
    for (const [key, { frontends }] of this.#entries) {
      if (entries.has(key)) continue;
      isChanged = true;
      this.#replace(frontends, NONE);
    }
    this.#entries = entries;
    if (isChanged) this.#set = this.#setOf();
    return this.#set;
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

  #setOf(): FrontendSet {
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
    const all = [...this.#entries.values()].flatMap(({ frontends }) => frontends);
    const frontends = left.size === 0 ? all : all.filter((one) => !left.has(one));
    return { frontends, problems };
  }

  /** Who came first has an address; of one age, by their names. */
  #byAge(a: ServiceFrontend, b: ServiceFrontend): number {
    const ageOf = ({ service }: ServiceFrontend): number =>
      this.#entries.get(service)?.service.spec?.createdS ?? 0;
    return ageOf(a) - ageOf(b) || compareText(a.service, b.service);
  }
}

const NONE: readonly ServiceFrontend[] = Object.freeze([]);

function selectedSlicesOf(
  service: InventoryService,
  endpoints: readonly InventoryEndpoint[],
): readonly ServiceSlice[] {
  return service.spec === null ? [] : selectedSlices(service, endpoints);
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
    areSameBackends(a.allBackends, b.allBackends)
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
