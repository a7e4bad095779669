/**
 * What the cluster has and what files add to it, as one inventory. What is called alike in both is the files', and so is
 * an address: who runs the node wrote them, and nobody with rights in a namespace of the cluster, or on another node of
 * it, may put something else in their place, or stop all policy by an address that two endpoints have.
 */
import type { IpText } from '../../../model/address.ts';
import type { Inventory, InventoryEndpoint } from '../../../policy/resolve/inventory.ts';
import { WHOLE_SET } from '../../decode/place.ts';
import type { Problem } from '../../decode/problem.ts';

export interface Joined {
  readonly inventory: Inventory;
  /** What of the cluster is not in force for it. */
  readonly warnings: readonly Problem[];
}

/** `files`: null when there are none. `listeners`: of both, and of the configuration. */
export function joined(
  cluster: Inventory,
  files: Inventory | null,
  listeners: ReadonlyMap<string, number>,
): Joined {
  if (files === null || !hasAny(files)) {
    return { inventory: { ...cluster, listeners }, warnings: [] };
  }
  const left: string[] = [];
  const both = <Item>(
    ofFiles: readonly Item[],
    ofCluster: readonly Item[],
    about: (item: Item) => string,
  ): readonly Item[] => {
    const taken = new Set(ofFiles.map(about));
    const rest = ofCluster.filter((item) => !taken.has(about(item)));
    if (rest.length < ofCluster.length) {
      left.push(...ofCluster.map(about).filter((text) => taken.has(text)));
    }
    return [...ofFiles, ...rest];
  };
  const inventory = {
    cluster: cluster.cluster,
    endpoints: both(
      files.endpoints,
      withoutAddresses(cluster.endpoints, addressesOf(files.endpoints), (text) => left.push(text)),
      ({ name }) => `endpoint ${name}`,
    ),
    identities: both(files.identities, cluster.identities, (one) => `identity ${one.identity}`),
    cidrs: both(files.cidrs, cluster.cidrs, ({ prefix }) => `CIDR ${prefix.text}`),
    services: both(
      files.services,
      cluster.services,
      ({ namespace, name }) => `service ${namespace}/${name}`,
    ),
    podPrefixes: cluster.podPrefixes ?? [],
    here: cluster.here,
    listeners,
  };
  return { inventory, warnings: left.map(warningOf) };
}

function addressesOf(endpoints: readonly InventoryEndpoint[]): ReadonlySet<IpText> {
  return new Set(endpoints.flatMap(({ ips }) => ips.map(({ text }) => text)));
}

/** One that has no other address is no endpoint. `tell`: what is left out. */
function withoutAddresses(
  endpoints: readonly InventoryEndpoint[],
  taken: ReadonlySet<IpText>,
  tell: (text: string) => void,
): readonly InventoryEndpoint[] {
  if (taken.size === 0) return endpoints;
  return endpoints.flatMap((endpoint) => {
    const { name, ips } = endpoint;
    if (!ips.some(({ text }) => taken.has(text))) return [endpoint];
    const rest = ips.filter(({ text }) => !taken.has(text));
    for (const { text } of ips) if (taken.has(text)) tell(`address ${text} of ${name}`);
    return rest.length === 0 ? [] : [{ ...endpoint, ips: rest }];
  });
}

function hasAny({ endpoints, identities, cidrs, services }: Inventory): boolean {
  return [endpoints, identities, cidrs, services].some((list) => list.length > 0);
}

function warningOf(about: string): Problem {
  const message = `${about}: the endpoints file has one, too, which is in force in place of the cluster’s`;
  return { place: WHOLE_SET, field: '', message };
}
