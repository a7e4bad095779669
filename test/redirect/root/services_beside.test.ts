/**
 * Beside kube-proxy: its real rules (kube_proxy/record.ts), of iptables and of nftables. Who is not translated at the
 * socket goes by them, who is does not meet them, and one takes over from the other while clients dial.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readCounters } from '../../../src/redirect/kernel/counters.ts';
import { SERVICE_COUNTERS } from '../../../src/redirect/services/layout.ts';
import { removeSocketHooks } from '../../../src/redirect/services/socket_hooks.ts';
import { backendIp, frontend } from '../../support/service_frontends.ts';
import { CLIENTS, ServiceClient } from './service_client.ts';
import { NODE, ServiceScene } from './service_scene.ts';

const TIMEOUT_MS = 150_000;
const [PORT, NODE_PORT] = [80, 30_080];
const WEB = { 4: '10.96.0.11', 6: 'fd96::11' } as const;
const EMPTY = { 4: '10.96.0.12', 6: 'fd96::12' } as const;
/** Counters of netlink, which have to be made before a rule may name them. */
const ACCOUNTING = /-m nfacct --nfacct-name +\S+ /g;

const rulesOf = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'kube_proxy', name), 'utf8').replace(ACCOUNTING, '');

const MODES: Readonly<Record<string, readonly (readonly [command: string, rules: string])[]>> = {
  iptables: [
    ['iptables-restore', 'iptables.rules'],
    ['ip6tables-restore', 'ip6tables.rules'],
  ],
  nftables: [['nft', 'nftables.rules']],
};

let folder = '';
let command: readonly string[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-beside-'));
  command = CLIENTS.glibc(folder);
}, TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true }));

describe.each(Object.entries(MODES))('kube-proxy with %s', (_, parts) => {
  let scene: ServiceScene;
  let inside: ServiceClient;
  let outside: ServiceClient;

  beforeEach(async () => {
    scene = new ServiceScene();
    for (const [restore, rules] of parts)
      scene.node.feed(restore === 'nft' ? ['nft', '-f', '-'] : [restore], rulesOf(rules));
    // Somewhere to go: what has no route never meets the rules of forwarding, which refuse.
    scene.node.ip('route add default via 10.8.2.253', 'route add default via fd08:2::fe');
    await scene.start();
    scene.put(
      ([4, 6] as const).flatMap((family) =>
        (['TCP', 'UDP'] as const).flatMap((protocol) => [
          frontend({ protocol, family, address: WEB[family], port: PORT, backends: [1, 2] }),
          frontend({ protocol, family, address: null, port: NODE_PORT, backends: [1, 2] }),
          frontend({ protocol, family, address: EMPTY[family], port: PORT }),
        ]),
      ),
      [NODE[4], NODE[6]],
    );
    inside = scene.client(scene.pod, command);
    outside = new ServiceClient(scene.pod.command(command));
  }, TIMEOUT_MS);

  afterEach(async () => {
    await outside.end();
    await scene.dispose();
  }, TIMEOUT_MS);

  it.each([4, 6] as const)(
    'both serve IPv%d, and only who is outside meets its rules',
    {
      timeout: TIMEOUT_MS,
    },
    async (family) => {
      const backends = [1, 2].map((index) => backendIp(index, family));
      for (const [address, port] of [
        [WEB[family], PORT],
        [NODE[family], NODE_PORT],
      ] as const) {
        for (const order of ['tcp', 'udp', 'udpc'] as const) {
          for (const client of [inside, outside]) {
            const { said, error, from, peer } = await client.ask(order, address, port);
            expect(error).toBeNull();
            expect(backends).toContain(said);
            expect([from, peer].filter((one) => one !== null)).toContain(`${address} ${port}`);
          }
        }
      }
      for (const client of [inside, outside])
        expect(await client.ask('tcp', EMPTY[family], PORT)).toMatchObject({ error: '111' });
      const counters = readCounters(scene.hooks.maps.counters, SERVICE_COUNTERS);
      expect(counters).toMatchObject({ connected: 4n, sent: 2n, refused: 1n });
    },
  );

  it('one takes over from the other while a client dials', { timeout: TIMEOUT_MS }, async () => {
    const load = inside.order(`many ${WEB[4]} ${PORT} 1500`);
    let isOver = false;
    void load.finally(() => {
      isOver = true;
    });
    for (let turn = 0; !isOver && turn < 12; turn++) {
      if (turn % 2 === 0) removeSocketHooks(scene.root);
      else scene.restart();
      if (turn % 2 === 1) scene.put([frontend({ address: WEB[4], port: PORT, backends: [1, 2] })]);
      await new Promise(setImmediate);
    }
    expect(await load).toMatch(/^ok 1500\b/);
  });
});
