/**
 * The one place that opens a connection to an upstream. It asks for a permit, which only the engine
 * makes: forwarding without a decision does not compile.
 */
import type { Socket } from 'node:net';
import type { SocketAddress } from '../../model/address.ts';
import type { Permit } from '../../model/decision.ts';
import type { ConnectOptions, Sockets } from '../../platform/sockets.ts';

/** As `Sockets.connect`. */
export function connect(
  _permit: Permit,
  target: SocketAddress,
  options: ConnectOptions & { readonly sockets: Sockets },
): Socket {
  return options.sockets.connect(target, options);
}
