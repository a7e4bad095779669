/** `redirect.host`: what programs of the node itself may send to its endpoints. */
import type { Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, echoOrigin, greet, seeingOrigin } from './exchange.ts';
import { RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const API = ['10.11.0.1', 'fd11::1'] as const;
const [HTTP, FOR_HOST, FOR_WEB] = [8080, 7070, 7071];

const rule = (peer: object, port: number, more: object = {}): object => ({
  ...peer,
  toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }], ...more }],
});

const WEB = { fromEndpoints: [{ matchLabels: { app: 'web' } }] };
const HOST = { fromEntities: ['host'] };
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      rule(WEB, FOR_WEB),
      rule(HOST, FOR_HOST),
      rule(HOST, HTTP, { rules: { http: [{ path: '/ok' }] } }),
    ],
  },
});

let rig: RedirectRig | null = null;
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rig?.dispose();
  rig = null;
}, TIMEOUT_MS);

describe.each([
  ['always', 'open', { status: 200 }],
  ['policy', 'reset', { kind: 'reset' }],
] as const)('redirect.host: %s', (host, unselected, http) => {
  it('is what the kernel does', { timeout: TIMEOUT_MS }, async () => {
    rig = new RedirectRig({
      pods: [{ name: 'shop/api', ips: API, labels: { app: 'api' } }],
      policies: [POLICY],
      host,
    });
    const { netns } = rig.pod('shop/api');
    for (const ip of API) {
      for (const port of [FOR_HOST, FOR_WEB]) {
        const server = echoOrigin();
        await netns.listen(server, { ip, port });
        servers.push(server);
      }
      const server = seeingOrigin('api');
      await netns.listen(server, { ip, port: HTTP });
      servers.push(server);
    }
    await rig.follow();
    await rig.proxy();
    for (const to of API) {
      const request = { from: rig.node, to };
      expect([to, await greet({ ...request, port: FOR_HOST })]).toEqual([to, 'open']);
      expect([to, await greet({ ...request, port: FOR_WEB })]).toEqual([to, unselected]);
      // L7 rules for the host cannot be asked: nothing of it is redirected.
      expect(await ask({ ...request, port: HTTP, path: '/ok' })).toMatchObject(http);
    }
  });
});
