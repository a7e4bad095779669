/**
 * The resolve stage: who is calling whom, and whose policy applies. Everything comes from the redirect
 * (socket addresses, PROXY header) and the listener's options; nothing that a client writes into a
 * request changes it.
 */
import { parseIp, type SocketAddress } from '../model/address.ts';
import type { ConnectionMeta, IdentitySource } from '../model/connection_meta.ts';
import { effectiveIdentity, IDENTITY_WORLD, type Identity, parsePort } from '../model/identity.ts';
import type { PolicySnapshot } from '../policy/snapshot.ts';
import type { IdentityOption, ListenerOptions } from './options.ts';

/** The two ends as the redirect tells them. */
export interface Ends {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
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
  return { source, destination: destination.kind === 'fixed' ? destination.address : local };
}

export function resolveMeta(
  connectionId: number,
  ends: Ends,
  context: { readonly options: ListenerOptions; readonly snapshot: PolicySnapshot },
): ConnectionMeta {
  const { options, snapshot } = context;
  const { source, destination } = ends;
  const isIngress = options.direction === 'ingress';
  const remoteIp = isIngress ? source.ip : destination.ip;
  const { identity, identitySource } = remoteIdentity(options.identity, remoteIp, snapshot);
  return Object.freeze({
    connectionId,
    listener: options.name,
    proxyId: options.proxyId,
    direction: options.direction,
    source,
    destination,
    upstream: options.upstream.kind === 'fixed' ? options.upstream.address : destination,
    endpointIp: isIngress ? destination.ip : source.ip,
    port: destination.port,
    remoteIdentity: identity,
    identitySource,
  });
}

/** `meta` with the identity that its remote has in `snapshot`; the same object when it has not changed. */
export function withCurrentIdentity(
  meta: ConnectionMeta,
  option: IdentityOption,
  snapshot: PolicySnapshot,
): ConnectionMeta {
  if (option.kind === 'fixed') return meta;
  const remoteIp = meta.direction === 'ingress' ? meta.source.ip : meta.destination.ip;
  const { identity, identitySource } = remoteIdentity(option, remoteIp, snapshot);
  if (identity === meta.remoteIdentity && identitySource === meta.identitySource) return meta;
  return Object.freeze({ ...meta, remoteIdentity: identity, identitySource });
}

/** 0 (unknown) is judged as world; so is an address that no source knows. */
function remoteIdentity(
  option: IdentityOption,
  remoteIp: string,
  snapshot: PolicySnapshot,
): { readonly identity: Identity; readonly identitySource: IdentitySource } {
  if (option.kind === 'fixed') {
    return { identity: effectiveIdentity(option.identity), identitySource: 'fixed' };
  }
  for (const source of option.sources) {
    const found = source === 'endpoints' ? snapshot.ipcache.lookup(remoteIp) : null;
    if (found !== null) return { identity: effectiveIdentity(found), identitySource: source };
  }
  return { identity: IDENTITY_WORLD, identitySource: 'none' };
}

function socketAddress(text: string | undefined, port: number | undefined): SocketAddress | null {
  const ip = text === undefined ? null : parseIp(text.replace(/%.*$/, ''));
  const parsed = parsePort(port);
  return ip === null || parsed === null ? null : { ip: ip.text, family: ip.family, port: parsed };
}
