/** What the hooks make of dialled addresses, beside what programs see of it (services_clients.test.ts). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readCounters } from '../../../src/redirect/kernel/counters.ts';
import { SERVICE_COUNTERS } from '../../../src/redirect/services/layout.ts';
import { removeSocketHooks } from '../../../src/redirect/services/socket_hooks.ts';
import { BACKEND_PORT, backendIp, frontend } from '../../support/service_frontends.ts';
import { until } from '../../support/until.ts';
import type { Netns } from './netns.ts';
import { CLIENTS, ServiceClient } from './service_client.ts';
import { NODE, ServiceScene, VIP } from './service_scene.ts';

const TIMEOUT_MS = 150_000;
const [PORT, NODE_PORT] = [80, 30_080];
const EPERM = '1';
const ECONNREFUSED = '111';
const ENETUNREACH = '101';
const ALL = [1, 2, 3, 4];

let scene: ServiceScene;
let folder = '';
let command: readonly string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-socket-'));
  command = CLIENTS.glibc(folder);
  scene = new ServiceScene();
  await scene.start();
}, TIMEOUT_MS);

afterAll(async () => {
  await scene.dispose();
  rmSync(folder, { recursive: true });
}, TIMEOUT_MS);

const clientIn = (netns: Netns): ServiceClient => scene.client(netns, command);

/** Backend → how often it answered. */
async function many(client: ServiceClient, address: string, port: number, times: number) {
  const line = await client.order(`many ${address} ${port} ${times}`);
  expect(line).toMatch(new RegExp(`^ok ${times}\\b`));
  return new Map([...line.matchAll(/(\S+)=(\d+)/g)].map(([, said, n]) => [said, Number(n)]));
}

describe.each([4, 6] as const)('IPv%d', (family) => {
  const web = { address: VIP[family], port: PORT, family } as const;
  const ipOf = (index: number): string => backendIp(index, family);

  it('new connections are spread evenly', { timeout: TIMEOUT_MS }, async () => {
    scene.put([frontend({ ...web, backends: ALL })]);
    const counts = await many(clientIn(scene.pod), VIP[family], PORT, 400);
    expect([...counts.keys()].sort()).toEqual(ALL.map(ipOf));
    // One in 10^8 runs is further away from 100 than that.
    for (const count of counts.values()) expect(Math.abs(count - 100)).toBeLessThan(52);
  });

  it('a NodePort is at every address of the node, for pods and for the node', async () => {
    scene.put(
      [frontend({ ...web, address: null, port: NODE_PORT, backends: [1] })],
      [NODE[family]],
    );
    for (const netns of [scene.pod, scene.node]) {
      const answer = await clientIn(netns).ask('tcp', NODE[family], NODE_PORT);
      expect(answer).toMatchObject({ said: ipOf(1), peer: `${NODE[family]} ${NODE_PORT}` });
    }
    const other = family === 4 ? '10.8.1.254' : 'fd08:1::ff';
    expect(await clientIn(scene.pod).ask('tcp', other, NODE_PORT)).toMatchObject({
      error: ECONNREFUSED,
    });
  });

  it('affinity is of a client and a port of a Service, whichever of its addresses is dialled', async () => {
    const sticky = { ...web, backends: ALL, affinityMs: 3_600_000 };
    scene.put(
      [frontend(sticky), frontend({ ...sticky, address: null, port: NODE_PORT })],
      [NODE[family]],
    );
    const client = clientIn(scene.pod);
    const had = [...(await many(client, VIP[family], PORT, 20)).keys()];
    expect(had).toHaveLength(1);
    expect([...(await many(client, NODE[family], NODE_PORT, 20)).keys()]).toEqual(had);
    // Also when others come and go, and for another process of the pod.
    scene.put([frontend({ ...sticky, backends: ALL.toReversed() })]);
    expect([...(await many(clientIn(scene.pod), VIP[family], PORT, 20)).keys()]).toEqual(had);
    const rest = ALL.filter((index) => ipOf(index) !== had[0]);
    scene.put([frontend({ ...sticky, backends: rest })]);
    const then = [...(await many(client, VIP[family], PORT, 20)).keys()];
    expect(then).toHaveLength(1);
    expect(then).not.toEqual(had);
  });

  it('affinity ends after its time', { timeout: TIMEOUT_MS }, async () => {
    scene.put([frontend({ ...web, backends: ALL, affinityMs: 1 })]);
    const client = clientIn(scene.pod);
    const said = new Set<string | null>();
    await until(async () => {
      said.add((await client.ask('tcp', VIP[family], PORT)).said);
      return said.size > 1;
    });
  });

  it('a hash gives a client one backend as long as that is there', async () => {
    const hashed = { ...web, backends: ALL, isConsistentlyHashed: true };
    scene.put([frontend(hashed)]);
    const client = clientIn(scene.pod);
    const [had] = [...(await many(client, VIP[family], PORT, 20)).keys()];
    const others = ALL.filter((index) => ipOf(index) !== had);
    const rest = [...others.slice(1), ...ALL.filter((index) => ipOf(index) === had)];
    scene.put([frontend({ ...hashed, backends: rest })]);
    const kept = await many(client, VIP[family], PORT, 20);
    expect(kept.size).toBe(1);
    scene.put([frontend({ ...hashed, backends: others })]);
    const moved = await many(client, VIP[family], PORT, 20);
    expect(moved.size).toBe(1);
    expect(moved.has(had)).toBe(false);
  });

  it('a UDP socket keeps its backend until that is gone', async () => {
    const dns = { ...web, protocol: 'UDP', port: 53 } as const;
    const talkTo = async (client: ServiceClient) => {
      const answer = await client.ask('talk', VIP[family], 53);
      expect(answer.from).toBe(`${VIP[family]} 53`);
      return answer.said;
    };
    scene.put([frontend({ ...dns, backends: ALL })]);
    const client = clientIn(scene.pod);
    const had = await talkTo(client);
    const own = ALL.filter((index) => ipOf(index) === had);
    const others = ALL.filter((index) => ipOf(index) !== had);
    for (const backends of [ALL, [...others.slice(0, 1), ...own], ALL, own]) {
      scene.put([frontend({ ...dns, backends })]);
      expect(await talkTo(client)).toBe(had);
    }
    scene.put([frontend({ ...dns, backends: others })]);
    const then = await talkTo(client);
    expect(others.map(ipOf)).toContain(then);
    scene.put([frontend({ ...dns, backends: ALL })]);
    expect(await talkTo(client)).toBe(then);
    scene.put([frontend(dns)]);
    expect(await client.ask('talk', VIP[family], 53)).toMatchObject({ error: EPERM });
  });

  it('a backend that is asked by its own address answers by that', async () => {
    scene.put([frontend({ ...web, protocol: 'UDP', backends: [1] })]);
    const client = clientIn(scene.pod);
    const dialled = `${VIP[family]} ${PORT}`;
    expect(await client.ask('talk', VIP[family], PORT)).toMatchObject({ from: dialled });
    const direct = await client.ask('talk', ipOf(1), BACKEND_PORT);
    expect(direct.from).toBe(`${ipOf(1)} ${BACKEND_PORT}`);
    expect(await client.ask('talk', VIP[family], PORT)).toMatchObject({ from: dialled });
  });

  it('a socket that is connected sends to its peer by name, and hears the answer', async () => {
    scene.put([frontend({ ...web, protocol: 'UDP', backends: ALL })]);
    const client = clientIn(scene.pod);
    for (let time = 0; time < 8; time++) {
      const answer = await client.ask('peer', VIP[family], PORT);
      expect(answer.from).toBe(`${VIP[family]} ${PORT}`);
    }
  });

  it('a socket that has no peer any more is not told of the one that it had', async () => {
    scene.put([frontend({ ...web, protocol: 'UDP', backends: [1] })]);
    const client = clientIn(scene.pod);
    expect(await client.order(`tie ${VIP[family]} ${PORT}`)).toBe('tied');
    const direct = await client.ask('talk', ipOf(1), BACKEND_PORT);
    expect(direct).toMatchObject({ said: ipOf(1), from: `${ipOf(1)} ${BACKEND_PORT}` });
  });

  it('more Services than a socket remembers are answered all the same', async () => {
    const ports = Array.from({ length: 12 }, (_, index) => 5300 + index);
    scene.put(ports.map((port) => frontend({ ...web, protocol: 'UDP', port, backends: [1] })));
    const client = clientIn(scene.pod);
    for (const port of [...ports, ...ports]) {
      const answer = await client.ask('talk', VIP[family], port);
      expect(answer).toMatchObject({ said: ipOf(1), from: `${VIP[family]} ${port}` });
    }
  });
});

describe('the loopback of IPv4', () => {
  it.each(['127.0.0.1', '0.0.0.0', '::ffff:127.0.0.1'])(
    '%s has NodePorts on the node, not in a pod',
    async (address) => {
      scene.put([frontend({ address: null, port: NODE_PORT, backends: [1] })], [NODE[4]]);
      const answer = await clientIn(scene.node).ask('tcp', address, NODE_PORT);
      expect(answer).toMatchObject({ said: backendIp(1, 4), peer: `127.0.0.1 ${NODE_PORT}` });
      expect(await clientIn(scene.pod).ask('tcp', address, NODE_PORT)).toMatchObject({
        error: ECONNREFUSED,
      });
    },
  );
});

describe('what is left as it is', () => {
  const web = frontend({ address: VIP[4], port: PORT, backends: [1] });

  it('a process outside of the cgroup, another port, a marked socket of the host', async () => {
    scene.put([web]);
    const outside = new ServiceClient(scene.node.command(command));
    expect(await outside.ask('tcp', VIP[4], PORT)).toMatchObject({ error: ENETUNREACH });
    await outside.end();
    const client = clientIn(scene.node);
    expect(await client.ask('tcp', VIP[4], PORT + 1)).toMatchObject({ error: ENETUNREACH });
    expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ said: backendIp(1, 4) });
    for (const mark of ['0x12340a01', '0x12340b01']) {
      await client.order(`mark ${mark}`);
      expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ error: ENETUNREACH });
    }
    await client.order('mark 0x4000');
    expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ said: backendIp(1, 4) });
  });

  it('in a pod a mark changes nothing', async () => {
    scene.put([web]);
    const client = clientIn(scene.pod);
    await client.order('mark 0x12340b01');
    expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ said: backendIp(1, 4) });
  });
});

describe('under load', () => {
  it('backends come and go, loaders start again, and no new connection fails', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const some = [[1, 2], [2, 3, 4], [4], [1, 2, 3, 4], [3, 1]];
    scene.put([frontend({ address: VIP[4], port: PORT, backends: ALL })]);
    const clients = [clientIn(scene.pod), clientIn(scene.node)];
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    const load = Promise.all(clients.map((client) => many(client, VIP[4], PORT, 300)));
    load.then(end, end);
    let changes = 0;
    while (!isOver) {
      const backends = some[changes % some.length] ?? ALL;
      // Others beside it, whose entries come and go in the same memory.
      const others = Array.from({ length: changes % 50 }, (_, index) =>
        frontend({ address: '10.96.9.9', port: index + 1, backends: [1 + (changes % 4)] }),
      );
      scene.put([frontend({ address: VIP[4], port: PORT, backends }), ...others]);
      changes += 1;
      if (changes === 20 || changes === 60) scene.restart();
      await new Promise(setImmediate);
    }
    await load;
    expect(changes).toBeGreaterThan(10);
    const counters = readCounters(scene.hooks.maps.counters, SERVICE_COUNTERS);
    expect(counters).toMatchObject({ unsettled: 0n, forgotten: 0n });
  });
});

describe('a loader', () => {
  const web = frontend({ address: VIP[4], port: PORT, backends: [1] });

  it('takes up what is in force, and writes nothing again', async () => {
    scene.put([web]);
    scene.restart();
    const client = clientIn(scene.pod);
    expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ said: backendIp(1, 4) });
    expect(scene.put([{ ...web }])).toMatchObject({ written: 0, removed: 0 });
  });

  it('that was killed when the maps were nearly full leaves what the next one goes on with', {
    timeout: TIMEOUT_MS,
  }, async () => {
    // Half of all slots: the table of each has 16,381.
    const hashed = (shift: number) =>
      Array.from({ length: 16 }, (_, index) =>
        frontend({
          ...{ address: '10.96.9.9', port: index + 1, isConsistentlyHashed: true },
          backends: Array.from({ length: 33 }, (_, backend) => shift + backend),
        }),
      );
    scene.put(hashed(1));
    const write = vi.spyOn(scene.hooks.maps.frontends, 'updateMany');
    write.mockImplementationOnce(() => {
      throw new Error('killed');
    });
    expect(() => scene.put(hashed(50))).toThrow('killed');
    write.mockRestore();
    scene.restart();
    expect(scene.put([...hashed(100).slice(1), web])).toMatchObject({
      left: [],
      frontendCount: 16,
    });
    expect(await clientIn(scene.pod).ask('tcp', VIP[4], PORT)).toMatchObject({
      said: backendIp(1, 4),
    });
  });

  it('takes the hooks away, and puts them back', async () => {
    scene.put([web]);
    const client = clientIn(scene.node);
    removeSocketHooks(scene.root);
    // The kernel takes a link away after its last pin, not at once.
    await until(async () => (await client.ask('tcp', VIP[4], PORT)).error === ENETUNREACH);
    scene.restart();
    scene.put([web]);
    expect(await client.ask('tcp', VIP[4], PORT)).toMatchObject({ said: backendIp(1, 4) });
  });
});
