/** Ports of 127.0.0.1 for programs that cannot be asked which one they took. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** Others may take them meanwhile: these are asked of the system, and used at once. */
export async function freePorts(wanted: number): Promise<readonly number[]> {
  const servers = Array.from({ length: wanted }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
