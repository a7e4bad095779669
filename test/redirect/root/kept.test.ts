/**
 * Connections that are kept while what they were judged by changes: the pins, the labels of a pod, the
 * CIDRs that policies name. Nobody keeps what he would not be given anew.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { ask, seeingOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

const SET_UP_TIMEOUT_MS = 300_000;
const API = ['10.5.0.1', 'fd05::1'] as const;
const WEB = ['10.5.0.2', 'fd05::2'] as const;
const OUTSIDE = ['203.0.113.20', '2001:db8:0:20::1'] as const;
const OPEN = policyOf({});
const GET = 'GET /ok HTTP/1.1\r\nhost: a\r\n\r\n';

let rig: RedirectRig;
let loader: Command;
let proxy: Command;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
    ],
    outside: OUTSIDE,
    policies: [OPEN],
  });
  for (const ip of API) {
    const server = seeingOrigin('api');
    await rig.pod('shop/api').netns.listen(server, { ip, port: 8080 });
    servers.push(server);
  }
  loader = await rig.follow();
  proxy = await rig.proxy();
}, SET_UP_TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, SET_UP_TIMEOUT_MS);

describe.each([
  { family: 'IPv4', i: 0 },
  { family: 'IPv6', i: 1 },
] as const)('$family', ({ i }) => {
  it('from outside: a rule for a CIDR that is new ends it, at once', async () => {
    const kept = await Kept.open(rig.outside, API[i], OUTSIDE[i]);
    expect(await kept.ask()).toBe(200);
    const cidr = i === 0 ? '203.0.113.0/24' : '2001:db8:0:20::/64';
    const before = lastRevision();
    rig.writePolicies([policyOf({ denied: cidr })]);
    await kept.ended();
    // And so for new ones, also in the moment in which the kernel still knows them as the world.
    expect(await ask({ ...toApi(rig.outside, i), fromIp: OUTSIDE[i] })).toEqual({ kind: 'reset' });
    // The kernel may have it before the proxy, which would see no change in what follows.
    await until(() => lastRevision() > before);
    await inForce(OPEN);
    await until(async () => isOk(await ask({ ...toApi(rig.outside, i), fromIp: OUTSIDE[i] })));
  });

  it('from outside: a CIDR that is named without a rule that concerns it changes nothing', async () => {
    const kept = await Kept.open(rig.outside, API[i], OUTSIDE[i]);
    expect(await kept.ask()).toBe(200);
    const beside = i === 0 ? '203.0.113.20/32' : '2001:db8:0:20::1/128';
    await inForce(policyOf({ deniedElsewhere: beside }));
    expect(await kept.ask()).toBe(200);
    await inForce(OPEN);
    expect(await kept.ask()).toBe(200);
    kept.close();
  });

  it('of a pod that gets other labels is ended', async () => {
    const kept = await Kept.open(rig.pod('shop/web').netns, API[i]);
    expect(await kept.ask()).toBe(200);
    const again = async () => isOk(await ask(toApi(rig.pod('shop/web').netns, i)));
    await relabel('shop/web', { app: 'web', team: 'blue' });
    await kept.ended();
    // Refused until the kernel knows it, too.
    await until(again);
    await relabel('shop/web', { app: 'web' });
    await until(again);
  });
});

it('pins that are made anew are attached to by the proxy that runs', async () => {
  const { netns } = rig.pod('shop/web');
  expect(isOk(await ask(toApi(netns, 0)))).toBe(true);
  loader.kill('SIGTERM');
  await loader.ended;
  expect((await rig.redirect('down')).code).toBe(0);
  loader = await rig.follow();
  await proxy.until((line) => String(line['msg']).includes('taken again'));
  for (const i of [0, 1] as const) expect(isOk(await ask(toApi(netns, i)))).toBe(true);
  // Judged, not merely let through.
  expect(await ask({ ...toApi(netns, 0), path: '/no' })).toMatchObject({ status: 403 });
});

/** A connection that asks again and again. */
class Kept {
  readonly #socket: Socket;

  static async open(from: Netns, ip: string, fromIp?: string): Promise<Kept> {
    const family = ip.includes(':') ? 6 : 4;
    const local = fromIp === undefined ? null : { ip: fromIp, port: 0 };
    const socket = from.client(family, local);
    socket.on('error', () => {});
    socket.connect({ host: ip, port: 8080 });
    await once(socket, 'connect');
    return new Kept(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** The status of the answer. */
  async ask(): Promise<number> {
    this.#socket.write(GET);
    const [chunk] = (await once(this.#socket, 'data')) as [Buffer];
    return Number(chunk.toString().split(' ')[1]);
  }

  ended(): Promise<void> {
    if (this.#socket.closed) return Promise.resolve();
    this.#socket.resume();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it is open still')), 30_000);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Whoever it is may GET /ok of the API, but for the CIDR. */
function policyOf(options: {
  readonly denied?: string;
  readonly deniedElsewhere?: string;
}): string {
  const deny = (cidr: string, port: string) => [
    { fromCIDR: [cidr], toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] },
  ];
  const { denied, deniedElsewhere } = options;
  return JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'api', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEntities: ['all'],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: { http: [{ method: 'GET', path: '/ok' }] },
            },
          ],
        },
      ],
      ...(denied === undefined ? {} : { ingressDeny: deny(denied, '8080') }),
      ...(deniedElsewhere === undefined ? {} : { ingressDeny: deny(deniedElsewhere, '9999') }),
    },
  });
}

function toApi(from: Netns, i: 0 | 1) {
  return { from, to: API[i], port: 8080, path: '/ok' };
}

/** Until the proxy knows it. */
async function relabel(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
  const before = lastRevision();
  rig.pods.set(name, { ...rig.pod(name), labels });
  rig.writeEndpoints();
  await until(async () => lastRevision() > before);
}

/** Writes the policy and waits until the proxy has taken it. */
async function inForce(policy: string): Promise<void> {
  const before = lastRevision();
  rig.writePolicies([policy]);
  await until(async () => lastRevision() > before);
}

function lastRevision(): number {
  const lines = proxy.lines().filter((line) => line['msg'] === 'policy in force');
  return Math.max(0, ...lines.map((line) => Number(line['revision'])));
}

function isOk(outcome: Awaited<ReturnType<typeof ask>>): boolean {
  return outcome.kind === 'answered' && outcome.status === 200;
}
