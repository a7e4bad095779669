/**
 * The one place that opens a connection to an upstream. It asks for a permit, which only the engine
 * makes: forwarding without a decision does not compile.
 */
import { connect as connectSocket, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { SocketAddress } from '../model/address.ts';
import type { Permit } from '../model/decision.ts';

/** TCP_KEEPIDLE as cilium-envoy sets it. */
const KEEP_ALIVE_DELAY_MS = 300_000;

/**
 * A socket that is connecting. Writes are queued until it is connected; half-open is allowed, so a
 * FIN from one side does not close the other. The caller handles 'error' and 'close'.
 */
export function connect(
  _permit: Permit,
  target: SocketAddress,
  options: { readonly bufferBytesMax: number },
): Socket {
  // Duplex's option, which net.connect passes on although its type does not name it.
  const buffered: TcpNetConnectOpts & { readonly highWaterMark: number } = {
    host: target.ip,
    port: target.port,
    family: target.family,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    highWaterMark: options.bufferBytesMax,
  };
  return connectSocket(buffered);
}
