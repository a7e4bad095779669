/**
 * The resolve stage: who is calling whom, and whose policy applies. Everything comes from the redirect
 * (socket addresses, PROXY header) and the listener's options; nothing that a client writes into a
 * request changes it.
 */
import { parseIp, type SocketAddress } from '../../model/address.ts';
import type {
  ConnectionMeta,
  Half,
  IdentitySource,
  Sender,
  Transport,
} from '../../model/connection_meta.ts';
import {
  ALLOCATED_IDENTITY_MIN,
  type Direction,
  effectiveIdentity,
  IDENTITY_WORLD,
  type Identity,
  LOCAL_IDENTITY_FLAG,
  parsePort,
  RESERVED_IDENTITIES,
} from '../../model/identity.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { CiliumIdentities } from '../../redirect/cilium_maps.ts';
import {
  identityMark,
  MARK_PROXY_EGRESS,
  MARK_PROXY_INGRESS,
  type RedirectRecord,
} from '../../redirect/layout.ts';
import type { IdentityOption, IdentitySourceName, ListenerOptions } from '../plane/options.ts';

/** The two ends as the redirect tells them. */
export interface Ends {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** What the kernel wrote down at the SYN; null for a listener that does not ask. */
  readonly record: RedirectRecord | null;
}

/** Addresses of an accepted socket. Null when it is already gone. */
export function socketEnds(
  socket: {
    readonly remoteAddress?: string | undefined;
    readonly remotePort?: number | undefined;
    readonly localAddress?: string | undefined;
    readonly localPort?: number | undefined;
  },
  options: ListenerOptions,
): Ends | null {
  const source = socketAddress(socket.remoteAddress, socket.remotePort);
  const local = socketAddress(socket.localAddress, socket.localPort);
  if (source === null || local === null) return null;
  const { destination } = options;
  return {
    source,
    destination: destination.kind === 'fixed' ? destination.address : local,
    record: null,
  };
}

export function resolveMeta(
  connectionId: number,
  ends: Ends,
  context: { readonly options: ListenerOptions } & Known,
  transport: Transport = 'TCP',
): ConnectionMeta {
  const { options } = context;
  const { source, destination } = ends;
  const sides = options.direction === 'by-record' ? recordedSides(ends) : askedSides(ends, context);
  return Object.freeze({
    connectionId,
    listener: options.name,
    proxyId: options.proxyId,
    transport,
    source,
    destination,
    upstream: options.upstream.kind === 'fixed' ? options.upstream.address : destination,
    port: destination.port,
    ...sides,
    // Looked up with the policy that it is for: dialled.ts.
    dialled: null,
    sender: options.isTransparent ? senderOf(source, sides, options) : null,
  });
}

/** What identities are asked of; see `IDENTITY_SOURCE_NAMES`. */
export interface Known {
  readonly snapshot: PolicySnapshot;
  readonly cilium: CiliumIdentities | null;
}

type Sides = Half & Pick<ConnectionMeta, 'identitySource' | 'second' | 'recorded'>;

/** The remote by the listener's own sources. */
function askedSides(
  { source, destination }: Ends,
  context: { readonly options: ListenerOptions } & Known,
): Sides {
  const isIngress = context.options.direction === 'ingress';
  const direction = isIngress ? 'ingress' : 'egress';
  const { identity, identitySource } = remoteIdentity(
    context.options.identity,
    { source, destination, direction },
    context,
  );
  return {
    direction,
    endpointIp: isIngress ? destination.ip : source.ip,
    remoteIdentity: identity,
    identitySource,
    second: null,
    recorded: null,
  };
}

/**
 * Both sides by the record of the SYN. Egress is asked before ingress, as it would be on two nodes.
 * Without a record nothing is known, and the connection is refused before anything is asked.
 */
function recordedSides({ source, destination, record }: Ends): Sides {
  const halfOf = (direction: Direction): Half =>
    direction === 'egress'
      ? { direction, endpointIp: source.ip, remoteIdentity: identityOf(record?.destination) }
      : { direction, endpointIp: destination.ip, remoteIdentity: identityOf(record?.source) };
  const first = halfOf(record?.isEgressJudged === true ? 'egress' : 'ingress');
  const isBoth = record?.isEgressJudged === true && record.isIngressJudged;
  return {
    ...first,
    identitySource: record === null ? 'none' : 'redirect-record',
    second: isBoth ? halfOf('ingress') : null,
    recorded: record === null ? null : { source: record.source, destination: record.destination },
  };
}

function identityOf(side: { readonly identity: Identity } | undefined): Identity {
  return side === undefined ? IDENTITY_WORLD : effectiveIdentity(side.identity);
}

/** Who calls, for what is shared between clients: never for a verdict. */
export function sourceIdentity(meta: ConnectionMeta, snapshot: PolicySnapshot): Identity {
  if (meta.recorded !== null) return meta.recorded.source.identity;
  if (meta.direction === 'ingress') return meta.remoteIdentity;
  return snapshot.ipcache.lookup(meta.source.ip) ?? IDENTITY_WORLD;
}

/** The client's identity as Cilium's proxies show it (cilium-proxy 2.12), and most often its address. */
function senderOf(source: SocketAddress, sides: Sides, options: ListenerOptions): Sender {
  // The kernel asks receivers itself unless their half has been asked here.
  const isIngressAsked = sides.direction === 'ingress' || sides.second !== null;
  const magic = isIngressAsked ? MARK_PROXY_INGRESS : MARK_PROXY_EGRESS;
  const known = sides.recorded?.source.identity;
  const identity = known ?? (sides.direction === 'ingress' ? sides.remoteIdentity : IDENTITY_WORLD);
  // The bare magic is how the kernel's programs know what we have accepted.
  const shown = (identity & MARK_IDENTITY_MASK) === 0 ? IDENTITY_WORLD : identity;
  const isOurs = isAnsweredElsewhere(sides, options);
  return { address: isOurs ? null : source, mark: identityMark(magic, shown) };
}

/**
 * Where an answer to the client's address would not come to us: what the node itself answers goes to the
 * client over its interface, and what a node masquerades comes back to the node.
 */
function isAnsweredElsewhere({ recorded }: Sides, options: ListenerOptions): boolean {
  if (recorded === null) return false;
  const { identity } = recorded.destination;
  if (identity === RESERVED_IDENTITIES.host) return true;
  if (options.clientAddress === 'always') return false;
  return identity < ALLOCATED_IDENTITY_MIN || identity >= LOCAL_IDENTITY_FLAG;
}

/** The scope byte has no place in a mark. */
const MARK_IDENTITY_MASK = 0xff_ffff;

/** `meta` with the identity that its remote has in `snapshot`; the same object when it has not changed. */
export function withCurrentIdentity(
  meta: ConnectionMeta,
  option: IdentityOption,
  known: Known,
): ConnectionMeta {
  // What was recorded is only confirmed or not: proxy/resolve/recorded.ts.
  if (option.kind === 'fixed' || meta.recorded !== null) return meta;
  if (meta.identitySource === 'bpf-conntrack') return meta;
  const { identity, identitySource } = remoteIdentity(option, meta, known);
  if (identity === meta.remoteIdentity && identitySource === meta.identitySource) return meta;
  return Object.freeze({ ...meta, remoteIdentity: identity, identitySource });
}

/** 0 (unknown) is judged as world; so is an address that no source knows. */
export function remoteIdentity(
  option: IdentityOption,
  connection: Asked,
  known: Known,
): { readonly identity: Identity; readonly identitySource: IdentitySource } {
  if (option.kind === 'fixed') {
    return { identity: effectiveIdentity(option.identity), identitySource: 'fixed' };
  }
  for (const source of option.sources) {
    const found = identityBy(source, connection, known);
    if (found !== null) return { identity: effectiveIdentity(found), identitySource: source };
  }
  return { identity: IDENTITY_WORLD, identitySource: 'none' };
}

type Asked = Pick<ConnectionMeta, 'source' | 'destination' | 'direction'>;

function identityBy(
  name: IdentitySourceName,
  { source, destination, direction }: Asked,
  { snapshot, cilium }: Known,
): Identity | null {
  const remoteIp = direction === 'ingress' ? source.ip : destination.ip;
  switch (name) {
    case 'endpoints':
      return snapshot.ipcache.lookup(remoteIp);
    case 'bpf-ipcache':
      return cilium?.identityOf(remoteIp) ?? null;
    case 'bpf-conntrack':
      // It knows who began the connection: at egress that is the endpoint itself, not the remote.
      return direction === 'ingress'
        ? (cilium?.sourceOf({ source, destination }, direction) ?? null)
        : null;
    case 'redirect-record':
      return null;
  }
}

function socketAddress(text: string | undefined, port: number | undefined): SocketAddress | null {
  const ip = text === undefined ? null : parseIp(text.replace(/%.*$/, ''));
  const parsed = parsePort(port);
  return ip === null || parsed === null ? null : { ip: ip.text, family: ip.family, port: parsed };
}
