/**
 * Whose address a server sees: the client's, but for what answers elsewhere than to us. A program of the
 * node answers a pod over the pod's own interface, and a node that masquerades gets the answers itself.
 */
import type { Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, seeingOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';

const SET_UP_TIMEOUT_MS = 300_000;
const WEB = ['10.3.0.2', 'fd03::2'] as const;
const OUTSIDE = ['203.0.113.10', '2001:db8::10'] as const;
const NODE = ['100.64.0.1', 'fd00:64::1'] as const;

/** What the pod may ask of anybody: GET /ok. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    egress: [
      {
        toEntities: ['all'],
        toPorts: [
          {
            ports: [{ port: '8080', protocol: 'TCP' }],
            rules: { http: [{ method: 'GET', path: '/ok' }] },
          },
        ],
      },
    ],
  },
});

let rig: RedirectRig | null = null;
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rig?.dispose();
  rig = null;
}, SET_UP_TIMEOUT_MS);

async function start(clientAddress: 'always' | 'endpoints'): Promise<RedirectRig> {
  rig = new RedirectRig({
    pods: [{ name: 'shop/web', ips: WEB, labels: { app: 'web' } }],
    outside: OUTSIDE,
    policies: [POLICY],
    clientAddress,
  });
  for (const ip of OUTSIDE) await serve(rig.outside, ip, 'outside');
  for (const ip of NODE) await serve(rig.node, ip, 'node');
  await rig.follow();
  await rig.proxy();
  return rig;
}

async function serve(at: Netns, ip: string, name: string): Promise<void> {
  const server = seeingOrigin(name);
  await at.listen(server, { ip, port: 8080 });
  servers.push(server);
}

describe.each([
  ['always', WEB],
  ['endpoints', NODE],
] as const)('clientAddress: %s', (clientAddress, seenOutside) => {
  it(
    'is seen outside as said, and by the node as its own; the policy holds for both',
    async () => {
      const { netns } = (await start(clientAddress)).pod('shop/web');
      for (const i of [0, 1] as const) {
        for (const [to, seen] of [
          [OUTSIDE[i], seenOutside[i]],
          [NODE[i], NODE[i]],
        ] as const) {
          const request = { from: netns, to, port: 8080 };
          const outcome = await ask({ ...request, path: '/ok' });
          expect([to, outcome]).toMatchObject([to, { status: 200 }]);
          const remote = outcome.kind === 'answered' ? outcome.seen?.remote.split(' ')[0] : '';
          expect([to, remote]).toEqual([to, seen]);
          expect([to, await ask({ ...request, path: '/other' })]).toMatchObject([
            to,
            { status: 403 },
          ]);
        }
      }
    },
    SET_UP_TIMEOUT_MS,
  );
});
