/** Whether a connected UDP socket keeps what it got: by what the hooks remember of it. */
import { describe, expect, it } from 'vitest';
import type { Port } from '../../../src/model/identity.ts';
import { encodeBackend, encodeFrontendKey } from '../../../src/redirect/services/layout.ts';
import { ServedPlaces } from '../../../src/redirect/services/served_places.ts';
import {
  BACKEND_PORT,
  backendIp,
  type Family,
  frontend,
  ip,
} from '../../support/service_frontends.ts';

const NODE = { 4: '10.8.0.1', 6: 'fd08::1' } as const;
const VIP = { 4: '10.96.0.1', 6: 'fd96::1' } as const;

/** struct connection */
function connection(dialled: string, port: number, backend: number): Buffer {
  const { family } = ip(dialled);
  const key = encodeFrontendKey(frontend({ address: dialled, port, family, protocol: 'UDP' }));
  const got = encodeBackend(ip(backendIp(backend, family)), BACKEND_PORT as Port);
  return Buffer.concat([key?.subarray(0, got.length) ?? Buffer.alloc(0), got]);
}

describe.each([4, 6] as const)('IPv%d', (family: Family) => {
  const udp = { family, protocol: 'UDP' } as const;
  const dns = frontend({ ...udp, address: VIP[family], port: 53, backends: [1, 2] });
  const nodePort = frontend({ ...udp, address: null, port: 30_053, backends: [1] });
  const nodeAddresses = [ip(NODE[family])];
  const places = new ServedPlaces({ frontends: [dns, nodePort], nodeAddresses });
  const cases: readonly (readonly [string, Buffer, boolean])[] = [
    ['a backend of what was dialled', connection(VIP[family], 53, 2), true],
    ['none of it', connection(VIP[family], 53, 3), false],
    ['another port of the address', connection(VIP[family], 54, 1), false],
    ['a NodePort at an address of the node', connection(NODE[family], 30_053, 1), true],
    ['none of the NodePort', connection(NODE[family], 30_053, 2), false],
    ['a number of a NodePort at another address', connection(VIP[family], 30_053, 1), false],
  ];
  it.each(cases)('%s', (_, bytes, isServed) => expect(places.isServed(bytes)).toBe(isServed));

  it('who ends and serves still is served', () => {
    const ending = { ...dns, backends: [], servingBackends: dns.backends };
    const of = (frontends: readonly (typeof dns)[]) =>
      new ServedPlaces({ frontends, nodeAddresses });
    expect(of([ending]).isServed(connection(VIP[family], 53, 1))).toBe(true);
    expect(of([{ ...dns, servingBackends: [] }]).isServed(connection(VIP[family], 53, 1))).toBe(
      false,
    );
    expect(of([{ ...dns, protocol: 'TCP' }]).isServed(connection(VIP[family], 53, 1))).toBe(false);
  });
});

it('IPv4’s loopback is the node', () => {
  const nodePort = frontend({ address: null, port: 30_053, protocol: 'UDP', backends: [1] });
  const places = new ServedPlaces({ frontends: [nodePort], nodeAddresses: [] });
  expect(places.isServed(connection('127.0.0.1', 30_053, 1))).toBe(true);
  expect(places.isServed(connection('10.8.0.1', 30_053, 1))).toBe(false);
});
