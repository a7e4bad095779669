/**
 * Who and what is in the cluster, from the objects of its API in whatever order they come. Gives an Inventory as a
 * value, in which everything that did not change is the very same object. Pure: no clock, no I/O.
 */
import {
  nameKeyOf,
  type ObjectName,
  type ObjectNameKey,
  type SeenObject,
} from '../../../kube/seen_object.ts';
import { type IpPrefix, type IpText, parseIp } from '../../../model/address.ts';
import type { LabelFilter } from '../../../policy/label_filter.ts';
import { compareText, reservedLabel } from '../../../policy/labels.ts';
import {
  EMPTY_INVENTORY,
  type Inventory,
  type InventoryCidr,
  type InventoryEndpoint,
  type InventoryNode,
} from '../../../policy/resolve/inventory.ts';
import { fullPrefix } from '../../../policy/resolve/prefixes.ts';
import {
  type CiliumEndpointFacts,
  type CiliumIdentityFacts,
  decodeCiliumEndpoint,
  decodeCiliumEndpointSlice,
  decodeCiliumIdentity,
} from '../../decode/kube/cilium_objects.ts';
import { decodeEndpointSlice } from '../../decode/kube/endpoint_slice.ts';
import type { Decoded } from '../../decode/kube/fact_reader.ts';
import { decodeNamespace } from '../../decode/kube/namespace.ts';
import { decodeCiliumNode, decodeNode } from '../../decode/kube/node.ts';
import { decodePod, readablePodIps } from '../../decode/kube/pod.ts';
import { decodeService } from '../../decode/kube/service.ts';
import type { Place } from '../../decode/place.ts';
import type { Problem } from '../../decode/problem.ts';
import { KeyedValues } from '../../set/keyed_values.ts';
import { AddressClaims } from './address_claims.ts';
import { CiliumIdentities } from './cilium_identities.ts';
import { CLUSTER_KINDS, type ClusterKind, type IdentitySource } from './cluster_kinds.ts';
import { type InterfaceNames, LocalInterfaces } from './local_interfaces.ts';
import { Nodes } from './nodes.ts';
import { PodPrefixes } from './pod_prefixes.ts';
import { isSameEndpoint, isSameList } from './same.ts';
import { Services } from './services.ts';
import { type WorkloadEndpoint, Workloads } from './workloads.ts';

export interface ClusterStateOptions {
  /** Cilium's name of the cluster. */
  readonly cluster: string;
  /** The node that this is; null: none is ours, and policy is made for every pod. */
  readonly nodeName: string | null;
  readonly identities: IdentitySource;
  /** Identities of other nodes have their labels (Cilium's enable-node-selector-labels). */
  readonly hasNodeLabels: boolean;
  readonly labelFilter: LabelFilter;
  readonly nodeLabelFilter: LabelFilter;
}

export class ClusterState {
  readonly #options: ClusterStateOptions;
  readonly #podPrefixes = new PodPrefixes();
  /** As Cilium gives them out, which need not be those of the node. */
  readonly #ciliumPodPrefixes = new PodPrefixes();
  readonly #claims = new AddressClaims(this.#podPrefixes);
  readonly #identities = new CiliumIdentities();
  readonly #workloads: Workloads;
  readonly #nodes: Nodes;
  readonly #services = new Services();
  readonly #parts: Readonly<Record<ClusterKind, KindPart>>;
  readonly #interfaces = new LocalInterfaces();
  readonly #endpoints = new KeyedValues<InventoryEndpoint>(isSameEndpoint);
  /** Of which pods each CiliumEndpoint and each slice of them says something. */
  readonly #cilium = new Map<string, readonly PodName[]>();
  /** By "KIND NAME". */
  readonly #refused = new Map<string, readonly Problem[]>();
  #inventory: Inventory;

  constructor(options: ClusterStateOptions) {
    const { cluster, nodeName, identities, hasNodeLabels, labelFilter, nodeLabelFilter } = options;
    this.#options = options;
    this.#workloads = new Workloads({
      cluster,
      nodeName,
      filter: labelFilter,
      claims: this.#claims,
      identities: identities === 'cilium' ? this.#identities : null,
    });
    this.#nodes = new Nodes({
      cluster,
      nodeName,
      hasNodeLabels,
      hostFilter: labelFilter,
      nodeFilter: nodeLabelFilter,
      claims: this.#claims,
    });
    this.#parts = this.#partsOfKinds();
    this.#inventory = { ...EMPTY_INVENTORY, cluster, podPrefixes: [] };
  }

  /** New, or another form of one that is known. */
  put(kind: ClusterKind, seen: SeenObject): void {
    const decoded = this.#parts[kind].put(seen);
    const key = `${kind} ${nameKeyOf(seen)}`;
    if (decoded.kind === 'refused') this.#refused.set(key, decoded.problems);
    else this.#refused.delete(key);
  }

  removed(kind: ClusterKind, name: ObjectName): void {
    this.#refused.delete(`${kind} ${nameKeyOf(name)}`);
    this.#parts[kind].remove(name);
  }

  /** All of the kind that there are have been put; those that are not named are gone. */
  listed(kind: ClusterKind, keys: ReadonlySet<ObjectNameKey>): void {
    for (const key of [...this.#parts[kind].keys(), ...keysWith(kind, this.#refused.keys())]) {
      if (!keys.has(key)) this.removed(kind, nameOfKey(kind, key));
    }
  }

  /** Which host-side interface the packets of an address come from, for the pods of this node. Replaces what was set. */
  setInterfaces(names: InterfaceNames): void {
    this.#interfaces.setNames(names);
  }

  /** The very same value, when nothing changed. */
  inventory(): Inventory {
    const apiServerIps = this.#services.apiServerIps();
    this.#nodes.setApiServerIps(apiServerIps);
    for (const claim of this.#claims.takeMoved()) {
      if (claim.kind === 'node') this.#nodes.touch(claim);
      else this.#workloads.touch(claim.key);
    }
    for (const [key, endpoint] of this.#nodes.takeChanged()) this.#endpoints.set(key, endpoint);
    for (const key of this.#workloads.takeDirty()) {
      const endpoint = this.#workloads.endpointOf(key);
      this.#interfaces.setEndpoint(key, endpoint?.isLocal === true ? endpoint : null);
      this.#endpoints.set(key, endpoint === null ? null : withInterface(endpoint, null));
    }
    for (const [endpoint, name] of this.#interfaces.takeChanged()) {
      this.#endpoints.set(endpoint.name, withInterface(endpoint, name));
    }
    const { endpoints, identities, cidrs, services, podPrefixes, here, ...rest } = this.#inventory;
    const next = {
      ...rest,
      endpoints: this.#endpoints.list(),
      identities: this.#options.identities === 'cilium' ? this.#identities.list() : identities,
      cidrs: this.#apiServerCidrs(apiServerIps),
      services: this.#services.list(),
      podPrefixes: this.#podPrefixesNow(podPrefixes ?? []),
      here: this.#here(here),
    };
    const isSame =
      next.endpoints === endpoints &&
      next.identities === identities &&
      next.cidrs === cidrs &&
      next.services === services &&
      next.podPrefixes === podPrefixes &&
      next.here === here;
    if (!isSame) this.#inventory = next;
    return this.#inventory;
  }

  /** Objects that were refused, and addresses that several claim; each with whose it is. */
  problems(): readonly Problem[] {
    const refused = [...this.#refused].sort(([a], [b]) => compareText(a, b));
    return [...refused.flatMap(([, problems]) => problems), ...this.#contested()];
  }

  /** Each once, sorted. */
  #podPrefixesNow(before: readonly IpPrefix[]): readonly IpPrefix[] {
    const all = [...this.#podPrefixes.list(), ...this.#ciliumPodPrefixes.list()];
    const byText = new Map(all.map((prefix) => [prefix.text, prefix]));
    const next = [...byText.values()].sort((a, b) => compareText(a.text, b.text));
    return isSameList(before, next, (a, b) => a.text === b.text) ? before : next;
  }

  #here(before: InventoryNode | null): InventoryNode | null {
    const { nodeName: name } = this.#options;
    if (name === null) return null;
    const zone = this.#nodes.zoneOf(name);
    return before?.zone === zone ? before : { name, zone };
  }

  #partsOfKinds(): Readonly<Record<ClusterKind, KindPart>> {
    const nodes = this.#nodes;
    const workloads = this.#workloads;
    const services = this.#services;
    return {
      Pod: {
        // A pod whose object cannot be read is still somebody, and nobody else has its addresses.
        put: (seen) => {
          const decoded = decodePod(seen.object, seen);
          workloads.setPod(
            placeOf(seen),
            factsOf(decoded) ?? { ips: readablePodIps(seen.object, seen) },
          );
          return decoded;
        },
        remove: (of) => workloads.setPod({ ...placeOf(of), uid: null }, null),
        keys: () => workloads.podKeys(),
      },
      Namespace: kindPart(decodeNamespace, {
        set: ({ name }, facts) => workloads.setNamespace(name, facts?.labels ?? null),
        keys: () => workloads.namespaceNames(),
      }),
      Node: kindPart(decodeNode, {
        set: ({ name }, facts) => {
          nodes.setNode(name, facts);
          if (this.#podPrefixes.set(name, facts?.podPrefixes ?? [])) this.#claims.recontest();
        },
        keys: () => nodes.names('node'),
      }),
      CiliumNode: kindPart(decodeCiliumNode, {
        set: ({ name }, facts) => {
          nodes.setCiliumNode(name, facts);
          this.#ciliumPodPrefixes.set(name, facts?.podPrefixes ?? []);
        },
        keys: () => nodes.names('cilium'),
      }),
      Service: kindPart(decodeService, {
        set: (of, facts) => services.setService(nameKeyOf(of), facts),
        keys: () => services.serviceKeys(),
      }),
      EndpointSlice: kindPart(decodeEndpointSlice, {
        set: (of, facts) => services.setSlice(nameKeyOf(of), of.namespace ?? '', facts),
        keys: () => services.sliceKeys(),
      }),
      CiliumIdentity: kindPart(decodeCiliumIdentity, {
        set: ({ name }, facts) => this.#setIdentity(name, facts),
        keys: () => this.#identities.names(),
      }),
      CiliumEndpoint: kindPart(decodeCiliumEndpoint, {
        set: (of, facts) =>
          this.#setCilium(`CiliumEndpoint ${nameKeyOf(of)}`, facts === null ? [] : [facts]),
        keys: () => keysWith('CiliumEndpoint', this.#cilium.keys()),
      }),
      CiliumEndpointSlice: kindPart(decodeCiliumEndpointSlice, {
        set: (of, facts) => this.#setCilium(`CiliumEndpointSlice ${nameKeyOf(of)}`, facts ?? []),
        keys: () => keysWith('CiliumEndpointSlice', this.#cilium.keys()),
      }),
    };
  }

  #setIdentity(name: string, facts: CiliumIdentityFacts | null): void {
    const changed = this.#identities.set(name, facts);
    if (changed !== null) this.#workloads.touchNumber(changed);
  }

  /** What `source` said before and says no more is forgotten. */
  #setCilium(source: string, endpoints: readonly CiliumEndpointFacts[]): void {
    const next = new Map(endpoints.map((facts) => [podKey(facts), facts]));
    for (const place of this.#cilium.get(source) ?? []) {
      if (!next.has(podKey(place))) this.#workloads.setCilium(place, source, null);
    }
    for (const facts of next.values()) this.#workloads.setCilium(facts, source, facts);
    const places = [...next.values()].map(({ namespace, name }) => ({ namespace, name }));
    if (places.length === 0) this.#cilium.delete(source);
    else this.#cilium.set(source, places);
  }

  /** Where the API server is, when that is neither a node nor a pod. */
  #apiServerCidrs(apiServerIps: ReadonlySet<IpText>): readonly InventoryCidr[] {
    const ips = [...apiServerIps].filter((ip) => this.#claims.ownerOf(ip) === null);
    const { cidrs } = this.#inventory;
    const known = new Map(cidrs.map((cidr) => [cidr.prefix.address.text, cidr]));
    const next = ips.sort(compareText).flatMap((text): readonly InventoryCidr[] => {
      const cidr = known.get(text);
      if (cidr !== undefined) return [cidr];
      const ip = parseIp(text);
      return ip === null ? [] : [{ prefix: fullPrefix(ip), identity: null, labels: API_SERVER }];
    });
    return isSameList(next, cidrs, (a, b) => a === b) ? cidrs : next;
  }

  #contested(): readonly Problem[] {
    return this.#claims.contested().map(({ ip, owner, others }) => {
      const [namespace = '', name = ''] = owner.key.split('/');
      const apiKind = owner.kind === 'node' ? 'Node' : 'Pod';
      const place: Place = {
        kind: 'object',
        apiKind,
        namespace: owner.kind === 'node' ? null : namespace,
        name,
        uid: null,
        field: 'status',
      };
      const rest = others.map(({ key }) => key).join(', ');
      return {
        place,
        field: 'status',
        message: `has the address ${ip}, which ${rest} claims, too`,
      };
    });
  }
}

/** What is done with the objects of one kind. */
interface KindPart {
  put(seen: SeenObject): Decoded<unknown>;
  remove(of: ObjectName): void;
  keys(): Iterable<ObjectNameKey>;
}

/** Of an object that is refused there is nothing. */
function kindPart<Facts>(
  decode: (object: unknown, seen: SeenObject) => Decoded<Facts>,
  held: {
    readonly set: (of: ObjectName, facts: Facts | null) => void;
    readonly keys: () => Iterable<ObjectNameKey>;
  },
): KindPart {
  return {
    put: (seen) => {
      const decoded = decode(seen.object, seen);
      held.set(seen, factsOf(decoded));
      return decoded;
    },
    remove: (of) => held.set(of, null),
    keys: held.keys,
  };
}

function placeOf<Name extends ObjectName>(of: Name): Name & { readonly namespace: string } {
  return { ...of, namespace: of.namespace ?? '' };
}

const API_SERVER: readonly string[] = Object.freeze([reservedLabel('kube-apiserver')]);

function factsOf<Facts>(decoded: Decoded<Facts>): Facts | null {
  return decoded.kind === 'facts' ? decoded.facts : null;
}

function withInterface(endpoint: WorkloadEndpoint, name: string | null): InventoryEndpoint {
  return { ...endpoint, interface: name };
}

interface PodName {
  readonly namespace: string;
  readonly name: string;
}

function podKey({ namespace, name }: PodName): string {
  return `${namespace}/${name}`;
}

function nameOfKey(kind: ClusterKind, key: ObjectNameKey): ObjectName {
  const slash = key.indexOf('/');
  if (slash === -1 || !CLUSTER_KINDS[kind].every(({ isNamespaced }) => isNamespaced)) {
    return { namespace: null, name: key };
  }
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Names of one kind among keys of the form "KIND NAME". */
function keysWith(kind: ClusterKind, keys: Iterable<string>): readonly ObjectNameKey[] {
  const start = `${kind} `;
  return [...keys].flatMap((key) => (key.startsWith(start) ? [key.slice(start.length)] : []));
}
