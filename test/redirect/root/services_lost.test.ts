/** UDP sockets that are connected to a backend that has gone: they are closed, in whichever namespace, and no others. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BACKEND_PORT, backendIp, frontend } from '../../support/service_frontends.ts';
import { CLIENTS, ServiceClient } from './service_client.ts';
import { NODE, ServiceScene, VIP } from './service_scene.ts';

const TIMEOUT_MS = 150_000;
const [PORT, NODE_PORT] = [53, 30_053];
const ECONNABORTED = '103';
const EDESTADDRREQ = '89';

let scene: ServiceScene;
let folder = '';
let command: readonly string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-lost-'));
  command = CLIENTS.glibc(folder);
  scene = new ServiceScene();
  await scene.start();
}, TIMEOUT_MS);

afterAll(async () => {
  await scene.dispose();
  rmSync(folder, { recursive: true });
}, TIMEOUT_MS);

describe.each([
  { name: 'IPv4', family: 4, dialled: VIP[4], node: NODE[4] },
  { name: 'IPv6', family: 6, dialled: VIP[6], node: NODE[6] },
  { name: 'IPv4 by a socket of IPv6', family: 4, dialled: `::ffff:${VIP[4]}`, node: NODE[4] },
] as const)('$name', ({ family, dialled, node }) => {
  const said = (index: number) => ({ said: backendIp(index, family), error: null });
  const dns = { address: VIP[family], port: PORT, family, protocol: 'UDP' } as const;
  const nodePort = { ...dns, address: null, port: NODE_PORT };
  const both = (backends: readonly number[]) => [
    frontend({ ...dns, backends }),
    frontend({ ...nodePort, backends }),
  ];
  const put = (frontends: ReturnType<typeof both>) => scene.put(frontends, [node]);
  const close = (frontends: ReturnType<typeof both>) => scene.closeLost(frontends, [node]);

  it('who is connected to it hears so, and finds another one', {
    timeout: TIMEOUT_MS,
  }, async () => {
    put(both([1]));
    const places = [
      [scene.client(scene.pod, command), dialled, PORT],
      [scene.client(scene.node, command), dialled, PORT],
      [scene.client(scene.pod, command), node, NODE_PORT],
    ] as const;
    const ask = ([client, address, port]: (typeof places)[number]) =>
      client.ask('held', address, port);
    for (const place of places) expect(await ask(place)).toMatchObject(said(1));
    // Nobody's but ours: to the backend itself, in the cgroup and outside of it.
    const direct = scene.client(scene.pod, command);
    const outside = new ServiceClient(scene.pod.command(command));
    for (const client of [direct, outside])
      expect(await client.ask('held', backendIp(1, family), BACKEND_PORT)).toMatchObject(said(1));

    expect(await close(both([1]))).toEqual({ closed: 0, problems: [] });
    // It ends, and serves who is connected to it.
    const ending = both([2]).map((one, index) => ({
      ...one,
      servingBackends: both([1, 2])[index]?.backends ?? [],
    }));
    put(ending);
    expect(await close(ending)).toEqual({ closed: 0, problems: [] });
    for (const place of places) expect(await ask(place)).toMatchObject(said(1));

    put(both([2]));
    const hearing = places[0][0].ask('hear', dialled, PORT);
    expect(await close(both([2]))).toEqual({ closed: places.length, problems: [] });
    expect(await hearing).toMatchObject({ error: ECONNABORTED });
    for (const place of places) {
      // Who waited has closed its socket.
      if (place !== places[0]) expect(await ask(place)).toMatchObject({ error: EDESTADDRREQ });
      expect(await ask(place)).toMatchObject(said(2));
    }
    for (const client of [direct, outside])
      expect(await client.ask('held', backendIp(1, family), BACKEND_PORT)).toMatchObject(said(1));
    expect(await close(both([2]))).toEqual({ closed: 0, problems: [] });
    await outside.end();
    // The Service itself has gone.
    put([]);
    expect(await close([])).toEqual({ closed: places.length, problems: [] });
  });
});
