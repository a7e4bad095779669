/**
 * An inventory as lines of JSON, and back: each line is small, so that fifty thousand pods are written in steps. Labels
 * that many endpoints have stand there once.
 */
import { type IpAddress, type IpPrefix, parseIp, parsePrefix } from '../../../model/address.ts';
import type {
  Inventory,
  InventoryCidr,
  InventoryEndpoint,
  InventoryIdentity,
  InventoryNode,
  InventoryService,
} from '../../../policy/resolve/inventory.ts';

/** What stands in one line. */
export type InventoryLine =
  | {
      readonly cluster: string;
      readonly here: InventoryNode | null;
      readonly listeners: readonly (readonly [string, number])[];
      /** Absent: a file of an earlier version, which says nothing of them. */
      readonly podPrefixes?: readonly string[];
    }
  /** They are counted from 0. */
  | { readonly labels: readonly string[] }
  | { readonly endpoint: EndpointForm }
  | { readonly identity: InventoryIdentity }
  | { readonly cidr: Omit<InventoryCidr, 'prefix'> & { readonly prefix: string } }
  | { readonly service: Omit<InventoryService, 'ips'> & { readonly ips: readonly string[] } };

type EndpointForm = Omit<InventoryEndpoint, 'ips' | 'labels'> & {
  readonly ips: readonly string[];
  /** Number of the line of labels. */
  readonly labels: number;
};

export function* inventoryLines(inventory: Inventory): Generator<InventoryLine> {
  const {
    cluster,
    endpoints,
    identities,
    cidrs,
    services,
    here,
    listeners,
    podPrefixes = [],
  } = inventory;
  yield {
    ...{ cluster, here, listeners: [...listeners] },
    podPrefixes: podPrefixes.map(({ text }) => text),
  };
  const numbers = new Map<string, number>();
  for (const endpoint of endpoints) {
    const key = endpoint.labels.join('\n');
    const known = numbers.get(key);
    if (known === undefined) {
      numbers.set(key, numbers.size);
      yield { labels: endpoint.labels };
    }
    const labels = known ?? numbers.size - 1;
    yield { endpoint: { ...endpoint, ips: textsOf(endpoint.ips), labels } };
  }
  for (const identity of identities) yield { identity };
  for (const cidr of cidrs) yield { cidr: { ...cidr, prefix: cidr.prefix.text } };
  for (const service of services) yield { service: { ...service, ips: textsOf(service.ips) } };
}

/** Takes what lines say, one after the other. Throws a TypeError on a line that is none. */
export class InventoryReader {
  readonly #labels: (readonly string[])[] = [];
  readonly #endpoints: InventoryEndpoint[] = [];
  readonly #identities: InventoryIdentity[] = [];
  readonly #cidrs: InventoryCidr[] = [];
  readonly #services: InventoryService[] = [];
  #cluster: string | null = null;
  #here: InventoryNode | null = null;
  #podPrefixes: readonly IpPrefix[] = [];
  #listeners: ReadonlyMap<string, number> = new Map();

  take(line: InventoryLine): void {
    if ('labels' in line) this.#labels.push(line.labels);
    else if ('endpoint' in line) this.#endpoints.push(this.#endpointOf(line.endpoint));
    else if ('identity' in line) this.#identities.push(line.identity);
    else if ('cidr' in line) this.#cidrs.push({ ...line.cidr, prefix: prefixOf(line.cidr.prefix) });
    else if ('service' in line)
      this.#services.push({ ...NOT_TRANSLATED, ...line.service, ips: ipsOf(line.service.ips) });
    else {
      this.#cluster = line.cluster;
      this.#here = line.here ?? null;
      this.#listeners = new Map(line.listeners);
      this.#podPrefixes = (line.podPrefixes ?? []).map(prefixOf);
    }
  }

  end(): Inventory {
    if (this.#cluster === null) throw new TypeError('no line names the cluster');
    return {
      cluster: this.#cluster,
      endpoints: this.#endpoints,
      identities: this.#identities,
      cidrs: this.#cidrs,
      services: this.#services,
      podPrefixes: this.#podPrefixes,
      here: this.#here,
      listeners: this.#listeners,
    };
  }

  #endpointOf({ labels: number, ips, ...rest }: EndpointForm): InventoryEndpoint {
    const labels = this.#labels[number];
    if (labels === undefined) throw new TypeError(`no line of labels has the number ${number}`);
    return { ...rest, labels, ips: ipsOf(ips) };
  }
}

/** A file of an earlier version says nothing of it. */
const NOT_TRANSLATED = { spec: null, slices: null };

function textsOf(ips: readonly IpAddress[]): readonly string[] {
  return ips.map(({ text }) => text);
}

function ipsOf(texts: readonly string[]): readonly IpAddress[] {
  return texts.map((text) => {
    const ip = parseIp(text);
    if (ip === null) throw new TypeError(`"${text}" is no address`);
    return ip;
  });
}

function prefixOf(text: string): IpPrefix {
  const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
  if (prefix === null) throw new TypeError(`"${text}" is no prefix`);
  return prefix;
}
