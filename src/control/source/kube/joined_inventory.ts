/**
 * What the cluster has and what files add to it, as one inventory. What is called alike in both is the files': who runs
 * the node wrote them, and nobody with rights in a namespace of the cluster may put something else in their place.
 */
import type { Inventory } from '../../../policy/resolve/inventory.ts';
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
    endpoints: both(files.endpoints, cluster.endpoints, ({ name }) => `endpoint ${name}`),
    identities: both(files.identities, cluster.identities, (one) => `identity ${one.identity}`),
    cidrs: both(files.cidrs, cluster.cidrs, ({ prefix }) => `CIDR ${prefix.text}`),
    services: both(
      files.services,
      cluster.services,
      ({ namespace, name }) => `service ${namespace}/${name}`,
    ),
    listeners,
  };
  return { inventory, warnings: left.map(warningOf) };
}

function hasAny({ endpoints, identities, cidrs, services }: Inventory): boolean {
  return [endpoints, identities, cidrs, services].some((list) => list.length > 0);
}

function warningOf(about: string): Problem {
  const message = `${about}: the endpoints file has one, too, which is in force in place of the cluster’s`;
  return { place: WHOLE_SET, field: '', message };
}
