/**
 * What a packet costs in each program, with the tables of a large node: printed, never asserted, as the
 * machine is shared. The goal is 1500 ns. `npm run bench:programs`, as root.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProgramStatus } from '../src/redirect/kernel/api.ts';
import {
  BEHIND_MAX,
  IP_PROTOCOLS,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_REDIRECT,
} from '../src/redirect/layout.ts';
import type { Behind, Rule, Tables } from '../test/redirect/kernel/lab.ts';
import { ask, SERVER, Street } from '../test/redirect/kernel/street.ts';

const STATS = '/proc/sys/kernel/bpf_stats_enabled';
const [REDIRECTED, DIRECT] = [80, 81];
const ADDRESSES = 20_000;
const ENDPOINTS = 1000;
const CONNECTIONS = 1000;
const MESSAGES = 5000;
const MESSAGE = 'x'.repeat(200);
const SERVICES = 5000;
const NOBODY = 9999;
const { TCP } = IP_PROTOCOLS;

const EGRESS: readonly Rule[] = [
  { protocol: 0, verdict: VERDICT_ALLOW },
  { protocol: TCP, verdict: VERDICT_ALLOW },
  { protocol: TCP, port: NOBODY, verdict: VERDICT_DENY },
];
const INGRESS: readonly Rule[] = [
  { protocol: TCP, port: REDIRECTED, verdict: VERDICT_REDIRECT },
  { protocol: TCP, port: DIRECT, verdict: VERDICT_ALLOW },
];

let street: Street;

beforeAll(async () => {
  street = new Street('cost');
  const echo = (socket: Socket): void => {
    socket.setNoDelay();
    socket.on('data', (data) => socket.write(data));
    socket.on('end', () => socket.end());
  };
  for (const port of [REDIRECTED, DIRECT]) await street.serve(port, echo);
  street.lab.apply(large(street.tables(EGRESS, INGRESS)));
  street.attach();
  for (const family of [4, 6] as const)
    street.register(await street.listen(family, 15_080, echo), family);
  writeFileSync(STATS, '1');
});
afterAll(() => {
  writeFileSync(STATS, '0');
  street.dispose();
});

/** Two Services that are refused by the last one behind them, and as many others as a large cluster has. */
function services(): readonly Behind[] {
  const pairs = (count: number): Behind['pairs'] =>
    Array.from({ length: count }, (_, i) => [7000 + i, i === count - 1 ? NOBODY : DIRECT] as const);
  const behind = (ip: string, count: number): Behind => ({
    ...{ ip, port: 80, protocol: TCP, pairs: pairs(count) },
  });
  return [
    ...Array.from({ length: SERVICES }, (_, i) => behind(`10.97.${i >> 8}.${i & 255}`, 1)),
    ...[behind('10.96.0.1', 1), behind('10.96.0.2', BEHIND_MAX)],
    ...[behind('fd96::1', 1), behind('fd96::2', BEHIND_MAX)],
  ];
}

/** Other endpoints, and addresses of other nodes, as they lie in the maps of a large cluster. */
function large(tables: Tables): Tables {
  const policies = { egress: INGRESS, ingress: INGRESS };
  const others = Array.from({ length: ENDPOINTS }, (_, i) => 1000 + i);
  const address = (i: number): string => `10.${80 + (i >> 12)}.${(i >> 4) & 255}.${i & 15}`;
  const address6 = (i: number): string =>
    `fd80::${(i >> 8).toString(16)}:${(i & 255).toString(16)}`;
  return {
    ...tables,
    services: services(),
    endpoints: new Map([
      ...tables.endpoints,
      ...others.map((i) => [i, { identity: i, ...policies }] as const),
    ]),
    addresses: [
      ...tables.addresses,
      ['0.0.0.0/0', 2, 0],
      ['::/0', 2, 0],
      ...Array.from({ length: ADDRESSES }, (_, i) => [address(i), 7000 + i, 0] as const),
      ...Array.from({ length: ADDRESSES }, (_, i) => [address6(i), 7000 + i, 0] as const),
    ],
  };
}

async function cost(what: string, work: () => Promise<void>): Promise<void> {
  const before = street.lab.datapath.programs();
  await work();
  const after = street.lab.datapath.programs();
  const told = after.map((status, index) => describeCost(before[index] as ProgramStatus, status));
  console.log(`${what}: ${told.filter((text) => text !== '').join(', ')}`);
  expect(after[0]?.runCount).toBeGreaterThan(before[0]?.runCount ?? 0n);
}

function describeCost(before: ProgramStatus, after: ProgramStatus): string {
  const runs = after.runCount - before.runCount;
  if (runs === 0n) return '';
  return `${after.name} ${(after.runTimeNs - before.runTimeNs) / runs} ns (${runs} runs)`;
}

async function messages(ip: string, port: number): Promise<void> {
  const socket = street.client.client(ip.includes(':') ? 6 : 4);
  socket.connect({ host: ip, port });
  await once(socket, 'connect');
  socket.setNoDelay();
  for (let i = 0; i < MESSAGES; i++) {
    socket.write(MESSAGE);
    await once(socket, 'data');
  }
  socket.destroy();
}

async function connections(ip: string, port: number): Promise<void> {
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = street.client.client(ip.includes(':') ? 6 : 4);
    socket.connect({ host: ip, port });
    await once(socket, 'connect');
    socket.resetAndDestroy();
  }
}

async function refused(ip: string, port: number): Promise<void> {
  for (let i = 0; i < CONNECTIONS; i++)
    await expect(ask(street.client, { ip, port })).rejects.toThrow('ECONNREFUSED');
}

describe.each([
  ['IPv4', SERVER.ip4, '10.96.0'],
  ['IPv6', SERVER.ip6, 'fd96:'],
])('%s', (family, ip, network) => {
  it('a kept connection past the proxy', () =>
    cost(`${family}, direct, kept`, () => messages(ip, DIRECT)));
  it('a kept connection to the proxy', () =>
    cost(`${family}, redirected, kept`, () => messages(ip, REDIRECTED)));
  it('new connections past the proxy', () =>
    cost(`${family}, direct, new`, () => connections(ip, DIRECT)));
  it('new connections to the proxy', () =>
    cost(`${family}, redirected, new`, () => connections(ip, REDIRECTED)));
  it('refused connections', () => cost(`${family}, refused`, () => refused(ip, 82)));
  it.each([
    [1, 1],
    [2, BEHIND_MAX],
  ])('refused connections to Service %i', (host, count) =>
    cost(`${family}, refused, a Service with ${count} behind it`, () =>
      refused(family === 'IPv4' ? `${network}.${host}` : `${network}:${host}`, 80),
    ),
  );
});
