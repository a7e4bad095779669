/**
 * Lets libraries that only know ports of this machine talk between namespaces: a port on loopback whose
 * connections go on from inside a pod, and a port of a pod whose connections go on to loopback.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { LocalAddress, Netns } from './netns.ts';

/** A loopback port; what connects to it is connected from inside `from` to `to`. */
export async function bridgeOut(
  from: Netns,
  to: LocalAddress,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = from.client(to.ip.includes(':') ? 6 : 4);
    far.connect({ host: to.ip, port: to.port });
    join(near, far);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, server };
}

/** A port of a namespace; what connects to it is connected to `port` on loopback. */
export async function bridgeIn(at: Netns, local: LocalAddress, port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (near) =>
    join(near, connect({ host: '127.0.0.1', port, allowHalfOpen: true })),
  );
  await at.listen(server, local);
  return server;
}

/** Bytes and ends both ways; a reset on one side is one on the other. */
function join(near: Socket, far: Socket): void {
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.on('error', () => other.resetAndDestroy());
    one.pipe(other);
  }
}
