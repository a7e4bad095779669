/** Pods, and what Cilium says of them: who is where, by which labels. */
import type { IpAddress } from '../../../model/address.ts';
import type { Identity } from '../../../model/identity.ts';
import { reservedLabel } from '../../../policy/labels.ts';
import type { InventoryEndpoint } from '../../../policy/resolve/inventory.ts';
import type { CiliumEndpointFacts } from '../../decode/kube/cilium_objects.ts';
import { uniqueIps } from '../../decode/kube/fact_reader.ts';
import type { PodFacts } from '../../decode/kube/pod.ts';
import { type AddressClaims, CLAIM_RANKS, type Claim, type ClaimRank } from './address_claims.ts';
import type { CiliumIdentities } from './cilium_identities.ts';
import { type LabelOptions, NamespaceTemplates, type PodTemplate } from './pod_templates.ts';
import { isSameList } from './same.ts';

export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | null;
}

/** Its object cannot be read, but somebody is there. */
export interface UnknownPod {
  readonly ips: readonly IpAddress[];
}

export interface WorkloadOptions extends LabelOptions {
  readonly claims: AddressClaims;
  /** Null: identities are numbered by us. */
  readonly identities: CiliumIdentities | null;
  /** Null: no node is ours, so policy is made for all pods. */
  readonly nodeName: string | null;
}

/** What is known of one pod, or of the place where Cilium says that there is one. Never changed, only replaced. */
interface Workload extends Claim {
  readonly kind: 'workload';
  readonly namespace: NamespaceTemplates;
  readonly pod: PodRecord | null;
  readonly cilium: CiliumEndpointFacts | null;
}

interface CiliumSaying {
  /** The object that says it. */
  readonly source: string;
  readonly facts: CiliumEndpointFacts;
}

interface PodRecord {
  /** Kept where Cilium's objects are compared with it. */
  readonly uid: string | null;
  /** Kept of a pod of this node. */
  readonly processUid: string | null;
  readonly ips: readonly IpAddress[];
  /** The very same text for all pods of a node; null: its object cannot be read. */
  readonly nodeName: string | null;
  /** Null: its object cannot be read. */
  readonly template: PodTemplate | null;
  readonly isLocal: boolean;
  readonly isTerminating: boolean;
  /** The node that this is has it; never where none is ours. */
  readonly isOwn: boolean;
  /** It has no endpoint: it is finished, or it is the host. */
  readonly isNobody: boolean;
  readonly createdS: number;
}

/** Without `interface`, which is another's to find. */
export type WorkloadEndpoint = Omit<InventoryEndpoint, 'interface'>;

export class Workloads {
  readonly #options: WorkloadOptions;
  readonly #namespaces = new Map<string, NamespaceTemplates>();
  readonly #workloads = new Map<string, Workload>();
  readonly #nodeNames = new Map<string, string>();
  /** By workload: hardly ever more than one. */
  readonly #cilium = new Map<string, readonly CiliumSaying[]>();
  /** Who refers to a number. */
  readonly #byNumber = new Map<Identity, Set<string>>();
  /** Who has no number of Cilium's but that of its labels. */
  readonly #byLabels = new Set<string>();
  readonly #dirty = new Set<string>();

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  setNamespace(name: string, labels: PodFacts['labels'] | null): void {
    const namespace = this.#namespaceOf(name);
    if (namespace.setLabels(labels)) for (const key of namespace.members) this.#dirty.add(key);
    this.#forgetUnused(namespace);
  }

  *namespaceNames(): Iterable<string> {
    for (const [name, { isKnown }] of this.#namespaces) if (isKnown) yield name;
  }

  /** Null: it is gone. */
  setPod(place: PodPlace, facts: PodFacts | UnknownPod | null): void {
    const namespace = this.#namespaceOf(place.namespace);
    const before = this.#workloads.get(keyOf(place))?.pod ?? null;
    const pod = facts === null ? null : this.#recordOf(place, facts, namespace);
    if (before !== null && pod !== null && isSamePod(before, pod)) {
      if (pod.template !== null) namespace.release(pod.template);
      return;
    }
    if (before !== null && before.template !== null) namespace.release(before.template);
    this.#replace(place, pod, namespace);
  }

  *podKeys(): Iterable<string> {
    for (const [key, { pod }] of this.#workloads) if (pod !== null) yield key;
  }

  /** `source`: the object that says it, a CiliumEndpoint or a slice of them. */
  setCilium(place: Omit<PodPlace, 'uid'>, source: string, facts: CiliumEndpointFacts | null): void {
    const key = keyOf(place);
    const others = (this.#cilium.get(key) ?? []).filter((one) => one.source !== source);
    const said =
      facts === null
        ? others
        : [...others, { source, facts: { ...facts, ips: this.#shared(facts.ips) } }];
    if (said.length === 0) this.#cilium.delete(key);
    else this.#cilium.set(key, said);
    this.#replace(place, this.#workloads.get(key)?.pod ?? null, this.#namespaceOf(place.namespace));
  }

  /** The number may mean something else now. */
  touchNumber(identity: Identity): void {
    for (const key of this.#byNumber.get(identity) ?? []) this.#dirty.add(key);
    for (const key of this.#byLabels) this.#dirty.add(key);
  }

  touch(key: string): void {
    this.#dirty.add(key);
  }

  takeDirty(): readonly string[] {
    const keys = [...this.#dirty];
    this.#dirty.clear();
    return keys;
  }

  /** Null: it has no address, so it is no endpoint. */
  endpointOf(key: string): WorkloadEndpoint | null {
    const workload = this.#workloads.get(key);
    if (workload === undefined) return null;
    const { claims } = this.#options;
    const ips = workload.claimedIps.every(({ text }) => claims.ownerOf(text) === workload)
      ? workload.claimedIps
      : workload.claimedIps.filter(({ text }) => claims.ownerOf(text) === workload);
    if (ips.length === 0) return null;
    const isLocal = this.#isLocal(workload);
    const { labels, identity } = this.#who(workload);
    return {
      name: key,
      ips,
      labels,
      identity,
      endpointId: 0,
      namedPorts: workload.pod?.template?.namedPorts ?? [],
      isLocal,
      podUid: workload.pod?.processUid ?? null,
    };
  }

  #namespaceOf(name: string): NamespaceTemplates {
    let namespace = this.#namespaces.get(name);
    if (namespace === undefined) {
      namespace = new NamespaceTemplates(name, this.#options);
      this.#namespaces.set(name, namespace);
    }
    return namespace;
  }

  #forgetUnused(namespace: NamespaceTemplates): void {
    if (!namespace.isKnown && namespace.members.size === 0) this.#namespaces.delete(namespace.name);
  }

  #nodeNameOf({ nodeName }: PodFacts): string {
    const known = this.#nodeNames.get(nodeName);
    if (known === undefined) this.#nodeNames.set(nodeName, nodeName);
    return known ?? nodeName;
  }

  #recordOf(
    { uid }: PodPlace,
    facts: PodFacts | UnknownPod,
    namespace: NamespaceTemplates,
  ): PodRecord {
    const { identities, nodeName } = this.#options;
    const keptUid = identities === null ? null : uid;
    if (!('labels' in facts)) {
      const ips = this.#shared(facts.ips);
      return { ...UNREADABLE, uid: keptUid, ips, isLocal: nodeName === null };
    }
    const isLocal = nodeName === null || facts.nodeName === nodeName;
    return {
      uid: keptUid,
      processUid: isLocal ? (facts.staticUid ?? uid) : null,
      ips: this.#shared(facts.ips),
      nodeName: this.#nodeNameOf(facts),
      template: namespace.acquire(facts),
      isLocal,
      isOwn: isLocal && nodeName !== null,
      isTerminating: facts.isTerminating,
      isNobody: facts.isFinished || facts.isHostNetwork,
      createdS: facts.createdS,
    };
  }

  #replace(
    place: Omit<PodPlace, 'uid'>,
    pod: PodRecord | null,
    namespace: NamespaceTemplates,
  ): void {
    const key = keyOf(place);
    const before = this.#workloads.get(key) ?? null;
    const cilium = this.#ciliumOf(key, pod);
    const after =
      pod === null && cilium === null ? null : workloadOf(key, { namespace, pod, cilium });
    this.#options.claims.replace(before, after);
    if (after === null) {
      this.#workloads.delete(key);
      namespace.members.delete(key);
      this.#forgetUnused(namespace);
    } else {
      this.#workloads.set(key, after);
      namespace.members.add(key);
    }
    this.#refer(key, before, after);
    this.#dirty.add(key);
  }

  /** What Cilium says of this very pod: an object that stays after its pod says nothing of the next one of that name. */
  #ciliumOf(key: string, pod: PodRecord | null): CiliumEndpointFacts | null {
    const said = this.#cilium.get(key);
    if (said === undefined) return null;
    const fitting = said.filter(
      ({ facts: { podUid } }) =>
        pod === null || pod.uid === null || podUid === null || podUid === pod.uid,
    );
    const [first] = fitting.sort(
      (a, b) => b.facts.createdS - a.facts.createdS || (a.source < b.source ? -1 : 1),
    );
    return first?.facts ?? null;
  }

  /** Two objects say the same addresses of nearly every pod, and an address weighs as much as all else of it. */
  #shared(ips: readonly IpAddress[]): readonly IpAddress[] {
    return ips.map((ip) => {
      const claimed = this.#options.claims.ownerOf(ip.text)?.claimedIps;
      return claimed?.find(({ text }) => text === ip.text) ?? ip;
    });
  }

  #refer(key: string, before: Workload | null, after: Workload | null): void {
    if (this.#options.identities === null) return;
    const [old, next] = [numberOf(before), numberOf(after)];
    if (old !== next) {
      if (old !== null) {
        const referring = this.#byNumber.get(old);
        referring?.delete(key);
        if (referring?.size === 0) this.#byNumber.delete(old);
      }
      if (next !== null) {
        const referring = this.#byNumber.get(next) ?? new Set();
        this.#byNumber.set(next, referring.add(key));
      }
    }
    if (after !== null && next === null) this.#byLabels.add(key);
    else this.#byLabels.delete(key);
  }

  #isLocal({ pod }: Workload): boolean {
    return pod === null ? this.#options.nodeName === null : pod.isLocal;
  }

  #who(workload: Workload): Pick<InventoryEndpoint, 'labels' | 'identity'> {
    const { namespace, pod } = workload;
    // What Cilium says of a pod that is gone may outlive it by minutes, and its address may be another pod's already.
    if (pod === null) return this.#nobody(workload);
    const { identities } = this.#options;
    const labels = pod.template === null ? null : namespace.labelsOf(pod.template);
    if (identities === null) {
      // What cannot be read of a pod is what its author wrote; he must not leave a denied namespace by that.
      const known = labels ?? (this.#isLocal(workload) ? null : namespace.labels);
      return known === null ? this.#nobody(workload) : { labels: known, identity: null };
    }
    const number = numberOf(workload);
    if (number !== null) return identities.meaning(number) ?? this.#nobody(workload);
    return (labels === null ? null : identities.ofLabels(labels)) ?? this.#nobody(workload);
  }

  /**
   * Somebody whose labels are not known yet. An endpoint here is in default deny meanwhile, as in Cilium; another one
   * is selected by nothing that asks for a label.
   */
  #nobody(workload: Workload): Pick<InventoryEndpoint, 'labels' | 'identity'> {
    return { labels: this.#isLocal(workload) ? INIT : NO_LABELS, identity: null };
  }
}

const UNREADABLE = {
  processUid: null,
  nodeName: null,
  template: null,
  isTerminating: false,
  isOwn: false,
  isNobody: false,
  createdS: 0,
} as const;

const INIT: readonly string[] = Object.freeze([reservedLabel('init')]);
const NO_LABELS: readonly string[] = Object.freeze([]);

function keyOf({ namespace, name }: Omit<PodPlace, 'uid'>): string {
  return `${namespace}/${name}`;
}

function workloadOf(key: string, parts: Pick<Workload, 'namespace' | 'pod' | 'cilium'>): Workload {
  const { namespace, pod, cilium } = parts;
  const claimedIps = ipsOf(pod, cilium);
  const rank = rankOf(pod, claimedIps);
  const createdS = pod?.createdS ?? cilium?.createdS ?? 0;
  return {
    kind: 'workload',
    key,
    rank,
    createdS,
    nodeName: pod?.nodeName ?? null,
    claimedIps,
    namespace,
    pod,
    cilium,
  };
}

function rankOf(pod: PodRecord | null, claimedIps: readonly IpAddress[]): ClaimRank {
  if (pod === null) return CLAIM_RANKS.withoutPod;
  if (pod.isTerminating) return CLAIM_RANKS.terminating;
  // What Cilium's object adds is not the word of our kubelet.
  return pod.isOwn && claimedIps === pod.ips ? CLAIM_RANKS.ownLive : CLAIM_RANKS.live;
}

/** Cilium may know an address before the pod's status says it. */
function ipsOf(pod: PodRecord | null, cilium: CiliumEndpointFacts | null): readonly IpAddress[] {
  if (pod?.isNobody === true) return [];
  if (cilium === null) return pod?.ips ?? [];
  const hasAll = cilium.ips.every(({ text }) => pod?.ips.some((own) => own.text === text));
  if (pod !== null && hasAll) return pod.ips;
  return uniqueIps([...(pod?.ips ?? []), ...cilium.ips]);
}

/** Null: Cilium has none for it. */
function numberOf(workload: Workload | null): Identity | null {
  const identity = workload?.cilium?.identity ?? 0;
  return identity === 0 ? null : (identity as Identity);
}

function isSamePod(a: PodRecord, b: PodRecord): boolean {
  return (
    a.template === b.template &&
    a.uid === b.uid &&
    a.nodeName === b.nodeName &&
    a.processUid === b.processUid &&
    a.isLocal === b.isLocal &&
    a.isOwn === b.isOwn &&
    a.isTerminating === b.isTerminating &&
    a.isNobody === b.isNobody &&
    a.createdS === b.createdS &&
    isSameList(a.ips, b.ips, (one, other) => one.text === other.text)
  );
}
