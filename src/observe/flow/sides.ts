/**
 * hot path
 *
 * Who the two sides of a connection are: addresses with identity, labels and names, worked out once for each
 * connection and policy in force.
 */
import type { ConnectionMeta, Half } from '../../model/connection_meta.ts';
import type { FlowConnection, FlowService, FlowSide } from '../../model/flow.ts';
import type { Identity } from '../../model/identity.ts';
import type { ObservedPolicy } from '../observed_policy.ts';

/** Labels of Cilium: see policy/labels.ts. */
const NAMESPACE_LABEL = 'k8s:io.kubernetes.pod.namespace=';
const NAME_LABEL = 'fqdn:';

export class Connections {
  #policy: ObservedPolicy | null = null;
  /** Of connections that live. A connection that two policies judge has one entry for each. */
  #resolved = new WeakMap<Half, FlowConnection>();
  #lastHalf: Half | null = null;
  #last: FlowConnection | null = null;
  /** Of datagrams: each has a connection of its own here, but most are of few addresses. */
  readonly #sides = new Map<string, FlowSide>();

  policyChanged(policy: ObservedPolicy): void {
    this.#policy = policy;
    this.#resolved = new WeakMap();
    this.#sides.clear();
    this.#lastHalf = null;
    this.#last = null;
  }

  /** `half`: whose policy it is about: `meta` itself, or its `second`. */
  of(meta: ConnectionMeta, half: Half): FlowConnection {
    if (half === this.#lastHalf && this.#last !== null) return this.#last;
    const connection =
      meta.transport === 'UDP'
        ? connectionOf(meta, half, this.#policy, this.#sideOfDatagram)
        : this.#ofStream(meta, half);
    this.#lastHalf = half;
    this.#last = connection;
    return connection;
  }

  #ofStream(meta: ConnectionMeta, half: Half): FlowConnection {
    let connection = this.#resolved.get(half);
    if (connection === undefined) {
      connection = connectionOf(meta, half, this.#policy, sideOf);
      this.#resolved.set(half, connection);
    }
    return connection;
  }

  /** What a datagram was is told once; a weak entry for each of them would keep the collector busy. */
  readonly #sideOfDatagram: typeof sideOf = (address, identity, policy) => {
    const known = this.#sides.get(address.ip);
    if (known === undefined || known.identity !== identity) {
      const side = sideOf(address, identity, policy);
      if (this.#sides.size >= SIDE_COUNT_MAX) this.#sides.clear();
      this.#sides.set(address.ip, side);
      return side;
    }
    if (known.port === address.port) return known;
    return { ...known, port: address.port, service: serviceAt(address, known.labels, policy) };
  };
}

/** About 500 bytes each. */
const SIDE_COUNT_MAX = 1024;

/** Ingress: the remote is the source; egress: the destination. The other side is the endpoint. */
function connectionOf(
  meta: ConnectionMeta,
  half: Half,
  policy: ObservedPolicy | null,
  side: typeof sideOf,
): FlowConnection {
  const { source, destination, recorded, dialled } = meta;
  const { direction, remoteIdentity, endpointIp } = half;
  const isIngress = direction === 'ingress';
  const noted = isIngress ? recorded?.destination : recorded?.source;
  const own = noted?.identity ?? policy?.ipcache.lookup(endpointIp) ?? null;
  const name = policy?.endpoint(endpointIp).name ?? '';
  return {
    id: meta.connectionId,
    listener: meta.listener,
    proxyId: meta.proxyId,
    direction,
    source: side(source, isIngress ? remoteIdentity : own, policy),
    destination: side(destination, isIngress ? own : soleBehind(dialled, remoteIdentity), policy),
    endpoint: name === '' ? endpointIp : name,
    identitySource: meta.identitySource,
  };
}

/** Behind a Service most often everybody is the same one. */
function soleBehind(dialled: ConnectionMeta['dialled'], identity: Identity): Identity {
  const [first, ...others] = dialled?.behind ?? [];
  if (first === undefined || others.some((one) => one.identity !== first.identity)) return identity;
  return first.identity;
}

export function sideOf(
  { ip, port }: Pick<FlowSide, 'ip' | 'port'>,
  identity: Identity | null,
  policy: ObservedPolicy | null,
): FlowSide {
  const labels = identity === null ? NO_TEXTS : (policy?.labels.labelsOf(identity) ?? NO_TEXTS);
  const name = policy?.endpoint(ip).name ?? '';
  const slash = name.indexOf('/');
  const namespace = slash === -1 ? valueAfter(labels, NAMESPACE_LABEL) : name.slice(0, slash);
  const names = labels.filter((label) => label.startsWith(NAME_LABEL) && !label.includes('*'));
  return {
    ip,
    port,
    identity,
    labels,
    namespace,
    pod: name.slice(slash + 1),
    workload: null,
    names: names.length === 0 ? NO_TEXTS : names.map((label) => label.slice(NAME_LABEL.length)),
    service: serviceAt({ ip, port }, labels, policy),
  };
}

function serviceAt(
  { ip, port }: Pick<FlowSide, 'ip' | 'port'>,
  labels: readonly string[],
  policy: ObservedPolicy | null,
): FlowService | null {
  if (policy === null) return null;
  const isNode = labels.includes('reserved:host') || labels.includes('reserved:remote-node');
  const name = policy.services.named({ ip, port, family: ip.includes(':') ? 6 : 4 }, isNode);
  if (name === null) return null;
  const slash = name.indexOf('/');
  return { namespace: name.slice(0, slash), name: name.slice(slash + 1) };
}

const NO_TEXTS: readonly string[] = Object.freeze([]);

function valueAfter(labels: readonly string[], prefix: string): string {
  return labels.find((label) => label.startsWith(prefix))?.slice(prefix.length) ?? '';
}
