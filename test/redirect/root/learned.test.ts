/**
 * What a pod may send by the names that its DNS answers have taught (`toFQDNs`), under the kernel's redirect: the kernel shows
 * the proxy what goes to addresses of the world at ports of such rules, and the proxy knows who has the name.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, seeingOrigin } from './exchange.ts';
import { NameServer } from './name_server.ts';
import { RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const DNS = '10.8.0.53';
const NAMED = '203.0.113.80';
const UNNAMED = '203.0.113.81';

const run = promisify(execFile);

const policy = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { app: 'dns' } }],
        toPorts: [
          {
            ports: [{ port: '53', protocol: 'ANY' }],
            rules: { dns: [{ matchPattern: '*.example.com' }] },
          },
        ],
      },
      {
        toFQDNs: [{ matchName: 'api.example.com' }],
        toPorts: [
          {
            ports: [{ port: '80', protocol: 'TCP' }],
            rules: { http: [{ path: '/allowed' }] },
          },
          { ports: [{ port: '81', protocol: 'TCP' }] },
        ],
      },
    ],
  },
};

let rig: RedirectRig;
const server = new NameServer(NAMED);

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/web', ips: ['10.8.0.2'], labels: { app: 'web' } },
      { name: 'shop/job', ips: ['10.8.0.3'], labels: { app: 'web' } },
      { name: 'shop/dns', ips: [DNS], labels: { app: 'dns' } },
    ],
    outside: [NAMED, UNNAMED],
    policies: [JSON.stringify(policy)],
    workers: 2,
  });
  await server.listen(rig.pod('shop/dns').netns, DNS);
  for (const ip of [NAMED, UNNAMED]) {
    await rig.outside.listen(seeingOrigin('world'), { ip, port: 80 });
    await rig.outside.listen(seeingOrigin('world'), { ip, port: 81 });
  }
  await rig.follow();
  await rig.proxy();
}, TIMEOUT_MS);

afterAll(async () => {
  server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

const get = async (
  to: string,
  path: string,
  { from = 'shop/web', port = 80 } = {},
): Promise<number | string> => {
  const outcome = await ask({ from: rig.pod(from).netns, to, port, path });
  return outcome.kind === 'answered' ? outcome.status : outcome.kind;
};

async function dig(name: string, from = 'shop/web'): Promise<string> {
  const asked = ['dig', '+short', '+tries=5', '+time=10', `@${DNS}`, name, 'A'];
  const [program = '', ...args] = rig.pod(from).netns.command(asked);
  return (await run(program, args)).stdout.trim();
}

it('is nothing before the answer', async () => {
  expect(await get(NAMED, '/allowed')).toBe('reset');
  expect(await get(NAMED, '/', { port: 81 })).toBe('reset');
});

it('is not what another name says', async () => {
  expect(await dig('other.example.com')).toBe(NAMED);
  expect(await get(NAMED, '/allowed')).toBe('reset');
});

it('is what the rules of the name allow, from the first connection after the answer', async () => {
  expect(await dig('api.example.com')).toBe(NAMED);
  expect(await get(NAMED, '/allowed')).toBe(200);
  expect(await get(NAMED, '/denied')).toBe(403);
  expect(await get(NAMED, '/any', { port: 81 })).toBe(200);
});

it('holds for all that have the rule, and for that address alone', async () => {
  expect(await get(NAMED, '/allowed', { from: 'shop/job' })).toBe(200);
  expect(await get(UNNAMED, '/allowed')).toBe('reset');
  expect(await get(UNNAMED, '/', { port: 81 })).toBe('reset');
});
