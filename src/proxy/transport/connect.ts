/**
 * The one place that opens a connection to an upstream. It asks for a permit, which only an admission makes, and
 * holds it against what is about to happen: the same connection, the same destination, the policy in force.
 */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Permit } from '../../model/permit.ts';
import type { ConnectedOptions, DatagramLink, Datagrams } from '../../platform/datagrams.ts';
import type { ConnectOptions, Sockets } from '../../platform/sockets.ts';
import type { ConnectingStream } from '../../platform/stream.ts';

export interface PermittedConnect extends ConnectOptions {
  readonly sockets: Sockets;
  /** The policy in force. */
  readonly currentSnapshot: () => object;
}

/** As `Sockets.connect`. Throws when the permit is another's: that is a fault of ours, and nothing is connected. */
export function connect(
  permit: Permit,
  meta: ConnectionMeta,
  options: PermittedConnect,
): ConnectingStream {
  const wrong = mismatch(permit, meta, options.currentSnapshot());
  if (wrong !== null) throw new Error(`the permit is for another ${wrong}`);
  return options.sockets.connect(meta.upstream, options);
}

export interface PermittedLink extends ConnectedOptions {
  readonly datagrams: Datagrams;
  /** The policy in force. */
  readonly currentSnapshot: () => object;
}

/** The same for datagrams: a socket for this one exchange. */
export function connectDatagrams(
  permit: Permit,
  meta: ConnectionMeta,
  options: PermittedLink,
): DatagramLink {
  const wrong = mismatch(permit, meta, options.currentSnapshot());
  if (wrong !== null) throw new Error(`the permit is for another ${wrong}`);
  return options.datagrams.connect(meta.upstream, options);
}

function mismatch(permit: Permit, meta: ConnectionMeta, inForce: object): string | null {
  if (permit.connectionId !== meta.connectionId) return 'connection';
  const { ip, port } = permit.upstream;
  if (ip !== meta.upstream.ip || port !== meta.upstream.port) return 'destination';
  return permit.judgedBy === inForce ? null : 'policy';
}
