/** What was seen of the node at one time: its interfaces, and whose they are. */
import type { Config } from '../../config/config.ts';
import { RESERVED_IDENTITIES } from '../../model/identity.ts';
import type { KernelEndpoint } from '../../policy/kernel/kernel_table.ts';
import type { NodeLinks } from '../../redirect/host/links.ts';
import { readUplinks, type UplinksResult } from '../../redirect/host/uplinks.ts';
import type { FoundInterfaces } from '../../redirect/interfaces/pod_interfaces.ts';
import type { AskedPod } from '../../redirect/interfaces/witness.ts';
import { isClaimed, type PlannedEndpoint } from '../../redirect/plan.ts';
import type { RedirectNode } from './node.ts';

export interface NodeSight {
  readonly links: NodeLinks;
  /** Those of the configuration, and those that were found. */
  readonly uplinks: readonly string[];
  /** Null: interfaces are not looked for. */
  readonly found: FoundInterfaces | null;
}

/** One that may be a pod's is none: it would be trusted with every address. */
export async function findUplinks(
  { redirect }: Config,
  { run }: Pick<RedirectNode, 'run'>,
  { links, taken }: { readonly links: NodeLinks; readonly taken: ReadonlySet<string> },
): Promise<UplinksResult> {
  if (!redirect.areUplinksFound) return { kind: 'uplinks', names: redirect.uplinks };
  const read = await readUplinks(run);
  if (read.kind === 'error') return read;
  const isNamed = (name: string): boolean => redirect.uplinks.includes(name);
  const found = read.names.filter(
    (name) =>
      links.interfaces.has(name) && !taken.has(name) && !isClaimed(redirect.interfaces, name),
  );
  return {
    kind: 'uplinks',
    names: [...redirect.uplinks, ...found.filter((name) => !isNamed(name))],
  };
}

/** Endpoints whose interface is to be found. */
export function askedOf(endpoints: readonly KernelEndpoint[]): readonly AskedPod[] {
  return endpoints.filter((one) => one.interface === null && !isNode(one));
}

/** Interfaces that are no pod's to be found. */
export function takenBy(endpoints: readonly KernelEndpoint[], config: Config): ReadonlySet<string> {
  const named = endpoints.flatMap((one) => (one.interface === null ? [] : [one.interface]));
  return new Set([...named, ...config.redirect.uplinks]);
}

/**
 * Endpoints with the interfaces that were found. One of a cluster is of this node whether or not its interface is known;
 * one of a file that names none, and has none here, is on another node.
 */
export function placedEndpoints(
  endpoints: readonly KernelEndpoint[],
  { links, found }: Pick<NodeSight, 'links' | 'found'>,
  config: Config,
): readonly PlannedEndpoint[] {
  return endpoints.flatMap((endpoint) => {
    if (endpoint.interface !== null) return endpoint;
    const own = found?.interfaces.get(endpoint.name);
    const isThere = own !== undefined && links.interfaces.get(own.name) === own.ifindex;
    if (isThere) return { ...endpoint, interface: own.name };
    return config.kubernetes === null || isNode(endpoint) ? [] : endpoint;
  });
}

/** Pod → why it has no interface, of those that must have one. */
export function interfaceless(
  { found }: Pick<NodeSight, 'links' | 'found'>,
  config: Config,
): ReadonlyMap<string, string> {
  const all = [...(found?.unfound ?? [])];
  const told = all.filter(([, { isDisputed }]) => isDisputed || config.kubernetes !== null);
  return new Map(told.map(([name, { because }]) => [name, because]));
}

export function interfacelessTexts(
  sight: Pick<NodeSight, 'links' | 'found'>,
  config: Config,
): readonly string[] {
  return [...interfaceless(sight, config)].map(
    ([pod, because]) => `${pod} has no interface here: ${because}`,
  );
}

/** What keeps interfaces from being found, or open ones from being closed in time; one line each. */
export function findingProblems(
  { found }: Pick<NodeSight, 'found'>,
  config: Config,
): readonly string[] {
  if (found === null) return [];
  const { interfaces: claims } = config.redirect;
  const names = [...found.interfaces].flatMap(([pod, { name }]) =>
    isClaimed(claims, name) ? [] : [`${name} of ${pod}`],
  );
  const [first, ...others] = names.sort();
  if (first === undefined) return found.problems;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return [
    ...found.problems,
    `redirect.interfaces does not claim ${first}${more}: the next one like it is open until it is found`,
  ];
}

/** Nodes are no pods, whatever else they are. */
function isNode({ identity }: KernelEndpoint): boolean {
  return NODES.has(identity);
}

const NODES: ReadonlySet<number> = new Set([
  RESERVED_IDENTITIES.host,
  RESERVED_IDENTITIES['remote-node'],
  RESERVED_IDENTITIES['kube-apiserver'],
]);
