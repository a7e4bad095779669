/**
 * Peers → selections: which identities each selector of a rule picks. A selection of nobody stays
 * an empty set; only a true "any remote" is null. What is not known is not selected.
 */
import type { IpAddress, IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';
import { coveredWorlds, fqdnNamesOf, normaliseName, selects } from '../identity/selects.ts';
import { CLUSTER_KEY } from '../labels.ts';
import type {
  CidrMode,
  PrefixQuestion,
  RemoteQuestion,
  RemoteSelector,
} from '../remote_selector.ts';
import type { CidrGroup, Entity, LabelSelector, Peer } from '../rule.ts';
import { LabelSet, selectorKey, selectorMatches } from '../selector.ts';
import type { KnownIdentities } from './identity_table.ts';
import type { InventoryService } from './inventory.ts';
import { PrefixIndex } from './prefix_index.ts';
import { fullPrefix } from './prefixes.ts';
import { type ServicePeer, serviceMatches } from './service_peers.ts';

export interface Selection {
  /** One text for one selector: rules of one selector merge, those of others stay apart. */
  readonly key: string;
  /** Null: any remote, also an unknown one. */
  readonly remotes: ReadonlySet<Identity> | null;
  /** What selects them, now and later; null when `remotes` is. */
  readonly selector: RemoteSelector | null;
}

export interface SelectionContext {
  readonly table: KnownIdentities;
  readonly cluster: string;
  readonly cidrGroups: readonly CidrGroup[];
  readonly services: readonly InventoryService[];
}

export const ANY_REMOTE: Selection = Object.freeze({ key: 'any', remotes: null, selector: null });

/** Evaluates each selector once for all endpoints. */
export class Selections {
  readonly #context: SelectionContext;
  readonly #groups: ReadonlyMap<string, CidrGroup>;
  readonly #prefixes: PrefixIndex;
  /** Identities with an "fqdn:" label, and by each name of theirs. */
  readonly #named: readonly IdentityEntry[];
  readonly #byName: ReadonlyMap<string, readonly IdentityEntry[]>;
  /** By "namespace/name". */
  readonly #services: ReadonlyMap<string, readonly InventoryService[]>;
  readonly #cache = new Map<string, Selection>();

  constructor(context: SelectionContext) {
    this.#context = context;
    this.#prefixes = new PrefixIndex(context.table.entries);
    this.#named = context.table.entries.filter((entry) => fqdnNamesOf(entry).length > 0);
    this.#byName = grouped(this.#named, fqdnNamesOf);
    this.#services = grouped(context.services, (one) => [`${one.namespace}/${one.name}`]);
    this.#groups = new Map(context.cidrGroups.map((group) => [group.name, group]));
  }

  /** One or more selections; none for what selects nobody by its nature (groups, `none`). */
  ofPeer(peer: Peer, mode: CidrMode): readonly Selection[] {
    switch (peer.kind) {
      case 'selector':
        return [this.#bySelector(inItsCluster(peer, this.#context.cluster))];
      case 'entity':
        return this.#ofEntity(peer.entity);
      case 'cidr':
        return [
          this.#byPrefixes(`cidr ${peer.prefix.text}`, { ...peer, prefixes: [peer.prefix], mode }),
        ];
      case 'cidr-group': {
        const prefixes = this.#groups.get(peer.name)?.prefixes ?? [];
        return [this.#byPrefixes(`cidrgroup ${peer.name}`, { ...peer, prefixes, mode })];
      }
      case 'cidr-group-selector': {
        const prefixes = this.#prefixesOfGroups(peer.selector);
        const key = `cidrgroup ${selectorKey(peer.selector)}`;
        return [this.#byPrefixes(key, { ...peer, prefixes, mode })];
      }
      case 'fqdn':
        return this.#ofFqdn(peer.matchName, peer.matchPattern);
      case 'nodes':
        return (peer.hasHost ? [true, false] : [false]).map((isHost) =>
          this.#bySelector(nodeSelector(peer.selector, isHost)),
        );
      case 'service':
        return this.#ofService(peer, mode);
      case 'group':
        return [];
    }
  }

  #bySelector(selector: LabelSelector): Selection {
    if (selector.requirements.length === 0) return ANY_REMOTE;
    const question = { kind: 'labels', selector } as const;
    return this.#cached(`labels ${selectorKey(selector)}`, question, () =>
      selected(question, this.#candidates(selector)),
    );
  }

  /** Entries with the rarest label that the selector demands; all when it demands none. */
  #candidates(selector: LabelSelector): Iterable<IdentityEntry> {
    let best: Iterable<IdentityEntry> = this.#context.table.entries;
    let count = this.#context.table.entries.length;
    for (const { operator, key, values } of selector.requirements) {
      if (operator !== 'in' || values.length !== 1) continue;
      const found = this.#context.table.entriesWith(key, values[0] as string);
      if (found.size >= count) continue;
      best = found;
      count = found.size;
    }
    return best;
  }

  #ofEntity(entity: Entity): readonly Selection[] {
    if (entity === 'all') return [ANY_REMOTE];
    return entitySelectors(entity, this.#context.cluster).map((selector) =>
      this.#bySelector(selector),
    );
  }

  #byPrefixes(name: string, { prefixes, except, mode }: PrefixQuestion): Selection {
    const question = { kind: 'prefixes', prefixes, except, mode } as const;
    const texts = except.map(({ text }) => text).sort();
    return this.#cached(`${name} except ${texts.join(',')} ${mode}`, question, () => {
      const candidates = new Set(prefixes.flatMap((outer) => [...this.#prefixes.within(outer)]));
      const remotes = selected(question, candidates);
      for (const world of coveredWorlds(question)) remotes.add(world);
      return remotes;
    });
  }

  #prefixesOfGroups(selector: LabelSelector): readonly IpPrefix[] {
    return this.#context.cidrGroups
      .filter((group) => selectorMatches(selector, new LabelSet(group.labels)))
      .flatMap((group) => group.prefixes);
  }

  #ofFqdn(matchName: string | null, matchPattern: string | null): readonly Selection[] {
    const selections: Selection[] = [];
    for (const [text, isPattern] of [
      [matchName, false],
      [matchPattern, true],
    ] as const) {
      if (text === null) continue;
      const question = { kind: 'fqdn', text: normaliseName(text), isPattern } as const;
      const candidates = isPattern ? this.#named : (this.#byName.get(question.text) ?? []);
      const key = `fqdn ${isPattern ? 'pattern' : 'name'} ${question.text}`;
      selections.push(this.#cached(key, question, () => selected(question, candidates)));
    }
    return selections;
  }

  /**
   * A Service with a selector stands for the endpoints that it selects, one without for its addresses as CIDRs
   * (service.go processRule), which select neither endpoints nor nodes.
   */
  #ofService(peer: ServicePeer, mode: CidrMode): readonly Selection[] {
    return this.servicesOf(peer).flatMap((service) =>
      service.selector !== null
        ? [this.#bySelector(service.selector)]
        : service.ips.map((ip) => this.#byAddress(ip, mode)),
    );
  }

  #byAddress(ip: IpAddress, mode: CidrMode): Selection {
    const prefix = fullPrefix(ip);
    return this.#byPrefixes(`cidr ${prefix.text}`, { prefixes: [prefix], except: [], mode });
  }

  servicesOf(peer: ServicePeer): readonly InventoryService[] {
    const { namespace, name } = peer;
    const candidates =
      namespace === null || name === null
        ? this.#context.services
        : (this.#services.get(`${namespace}/${name}`) ?? []);
    return candidates.filter((service) => serviceMatches(service, peer));
  }

  #cached(key: string, question: RemoteQuestion, select: () => Set<Identity>): Selection {
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const selection = { key, remotes: select(), selector: { key, ...question } };
    this.#cache.set(key, selection);
    return selection;
  }
}

/** Each under its keys, in the order in which they were given. */
function grouped<Value>(
  values: readonly Value[],
  keysOf: (value: Value) => readonly string[],
): ReadonlyMap<string, readonly Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) {
    for (const key of new Set(keysOf(value))) {
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [value]);
      else group.push(value);
    }
  }
  return groups;
}

function selected(question: RemoteQuestion, candidates: Iterable<IdentityEntry>): Set<Identity> {
  const remotes = new Set<Identity>();
  for (const entry of candidates) if (selects(question, entry)) remotes.add(entry.identity);
  return remotes;
}

/** Reserved labels of an entity (api/entity.go). */
export function entitySelectors(entity: Entity, cluster: string): readonly LabelSelector[] {
  switch (entity) {
    case 'all':
      return [{ requirements: [] }];
    case 'none':
      return [];
    case 'world':
      return [reserved('world'), reserved('world-ipv4'), reserved('world-ipv6')];
    case 'cluster':
      return [...CLUSTER_NODES.map((name) => reserved(name)), clusterSelector([cluster])];
    case 'cluster-mesh':
      return [...CLUSTER_NODES.map((name) => reserved(name)), clusterSelector(null)];
    default:
      return [reserved(entity)];
  }
}

const CLUSTER_NODES = [
  'host',
  'remote-node',
  'init',
  'ingress',
  'health',
  'unmanaged',
  'kube-apiserver',
] as const;

function reserved(name: string): LabelSelector {
  return { requirements: [{ key: `reserved:${name}`, operator: 'in', values: [''] }] };
}

/** With what a peer that names no cluster means: the local one. */
export function inItsCluster(
  { selector, isLocalCluster }: Extract<Peer, { kind: 'selector' }>,
  cluster: string,
): LabelSelector {
  if (!isLocalCluster) return selector;
  return { requirements: [...selector.requirements, ...clusterSelector([cluster]).requirements] };
}

/** Null: of any cluster of the mesh. */
function clusterSelector(names: readonly string[] | null): LabelSelector {
  const key = `k8s:${CLUSTER_KEY}`;
  return {
    requirements: [
      names === null
        ? { key, operator: 'exists', values: [] }
        : { key, operator: 'in', values: names },
    ],
  };
}

/** Peers that are nodes select nodes only, whatever else their labels say. `isHost`: the node itself. */
export function nodeSelector(selector: LabelSelector, isHost: boolean): LabelSelector {
  const key = isHost ? 'reserved:host' : 'reserved:remote-node';
  return {
    requirements: [...selector.requirements, { key, operator: 'exists', values: [] }],
  };
}
