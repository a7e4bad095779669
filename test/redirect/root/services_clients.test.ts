/** Services by the programs that people run: each sees the address that it dialled, and a backend answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendIp, frontend } from '../../support/service_frontends.ts';
import { CLIENTS, type ServiceClient } from './service_client.ts';
import { ServiceScene, VIP } from './service_scene.ts';

const TIMEOUT_MS = 150_000;
const PORT = 80;
const EMPTY = 81;
const REFUSALS = {
  tcp: /^111$|refused/,
  udpc: /^111$|refused/,
  udp: /^1$|not permitted/,
} as const;

let scene: ServiceScene;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-clients-'));
  scene = new ServiceScene();
  await scene.start();
  scene.put(
    ([4, 6] as const).flatMap((family) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) => [
        frontend({ protocol, family, address: VIP[family], port: PORT, backends: [1, 2] }),
        frontend({ protocol, family, address: VIP[family], port: EMPTY }),
      ]),
    ),
  );
}, TIMEOUT_MS);

afterAll(async () => {
  await scene.dispose();
  rmSync(folder, { recursive: true });
}, TIMEOUT_MS);

const ADDRESSES = [VIP[4], VIP[6], `::ffff:${VIP[4]}`];
const plain = (address: string): string => address.replace('::ffff:', '');

describe.each(Object.entries(CLIENTS))('%s', (_, commandOf) => {
  let client: ServiceClient;

  beforeAll(() => {
    client = scene.client(scene.pod, commandOf(folder));
  }, TIMEOUT_MS);

  afterAll(() => client.end());

  it.each(ADDRESSES)('dials %s', { timeout: TIMEOUT_MS }, async (address) => {
    const dialled = `${plain(address)} ${PORT}`;
    const family = plain(address).includes(':') ? 6 : 4;
    const backends = [1, 2].map((index) => backendIp(index, family));
    const tcp = await client.ask('tcp', address, PORT);
    expect(tcp).toMatchObject({ peer: dialled, error: null });
    expect(backends).toContain(tcp.said);
    const udp = await client.ask('udp', address, PORT);
    expect(udp).toMatchObject({ from: dialled, error: null });
    expect(backends).toContain(udp.said);
    const connected = await client.ask('udpc', address, PORT);
    expect(connected).toMatchObject({ from: dialled, peer: dialled, error: null });
    expect(backends).toContain(connected.said);
  });

  it.each(ADDRESSES)('is refused at once by %s without backends', async (address) => {
    for (const order of ['tcp', 'udp', 'udpc'] as const) {
      const { error } = await client.ask(order, address, EMPTY);
      expect(error, order).toMatch(REFUSALS[order]);
    }
  });
});
