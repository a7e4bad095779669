/**
 * Connections that pass without the proxy and are kept while their endpoints change: who gets other labels,
 * on either side, keeps no connection that it would not be given anew, whichever side speaks first; and the
 * next owner of an address inherits none.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { greet } from './exchange.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const API = ['10.14.0.1', 'fd14::1'] as const;
const WEB = ['10.14.0.2', 'fd14::2'] as const;
const PORT = 7070;

const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }],
  },
});
/** Of an endpoint that may not be reached by anybody. */
const CLOSED = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'closed', namespace: 'shop' },
  spec: { endpointSelector: { matchLabels: { app: 'closed' } }, ingress: [{}] },
});

let rig: RedirectRig;
let loader: Command;
const servers: Server[] = [];
/** The server's ends of connections, the last one last. */
const accepted: Socket[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
    ],
    policies: [POLICY, CLOSED],
    // What was open before the programs came is taken over for a while, known or not: not here.
    limits: { redirectAdoptMs: 0 },
  });
  for (const ip of API) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => socket.write(bytes));
      accepted.push(socket);
    });
    await rig.pod('shop/api').netns.listen(server, { ip, port: PORT });
    servers.push(server);
  }
  loader = await rig.follow();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const socket of accepted) socket.destroy();
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

/** Both ends of a connection that has spoken. */
async function connected(
  to: string,
): Promise<{ readonly client: Socket; readonly server: Socket }> {
  const client = rig.pod('shop/web').netns.client(to.includes(':') ? 6 : 4);
  client.on('error', () => {});
  client.connect({ host: to, port: PORT });
  client.write('hello');
  await once(client, 'data');
  return { client, server: accepted.at(-1) as Socket };
}

/** However it ends: an error is one of the ways. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** Until the kernel has it. */
async function relabel(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
  const inForce = (): number => loader.output.split('in force').length;
  const before = inForce();
  rig.pods.set(name, { ...rig.pod(name), labels });
  rig.writeEndpoints();
  await until(async () => inForce() > before);
}

describe.each([
  ['IPv4', 0],
  ['IPv6', 1],
] as const)('%s', (_family, i) => {
  it.each([
    ['who began it', 'shop/web', { app: 'other' }, 'client'],
    ['who began it', 'shop/web', { app: 'other' }, 'server'],
    ['who answers', 'shop/api', { app: 'closed' }, 'client'],
    ['who answers', 'shop/api', { app: 'closed' }, 'server'],
  ] as const)(
    '%s gets other labels (%s, %j): over when the %s speaks',
    async (_about, name, labels, first) => {
      const ends = await connected(API[i]);
      const before = rig.pod(name).labels as Readonly<Record<string, string>>;
      await relabel(name, labels);
      const closed = closing(ends[first]);
      let heard = '';
      for (const end of [ends.client, ends.server])
        end.on('data', (bytes) => (heard += String(bytes)));
      ends[first].write('still there?');
      await closed;
      expect(heard).toBe('');
      for (const end of [ends.client, ends.server]) end.destroy();
      expect(await greet({ from: rig.pod('shop/web').netns, to: API[i], port: PORT })).toBe(
        'reset',
      );
      await relabel(name, before);
      (await connected(API[i])).client.destroy();
    },
  );

  it('labels that change nothing about it leave it open', async () => {
    const { client } = await connected(API[i]);
    await relabel('shop/web', { app: 'web', team: 'blue' });
    client.write('still there?');
    expect(String((await once(client, 'data'))[0])).toBe('still there?');
    client.destroy();
    await relabel('shop/web', { app: 'web' });
  });
});

it('a pod that comes or goes ends no connection of others', { timeout: TIMEOUT_MS }, async () => {
  const ends = await connected(API[0]);
  const inForce = (): number => loader.output.split('in force').length;
  let before = inForce();
  // Its name comes before theirs in every order that somebody may think of.
  rig.addPod('a/first', ['10.14.0.9', 'fd14::9'], { app: 'other' });
  rig.writeEndpoints();
  await until(async () => inForce() > before);
  ends.client.write('still there?');
  expect(String((await once(ends.client, 'data'))[0])).toBe('still there?');
  before = inForce();
  rig.removePod('a/first');
  rig.writeEndpoints();
  await until(async () => inForce() > before);
  ends.server.write('and now?');
  expect(String((await once(ends.client, 'data'))[0])).toBe('and now?');
  ends.client.destroy();
});

it('the next owner of an address inherits no connection', { timeout: TIMEOUT_MS }, async () => {
  const ends = await connected(API[0]);
  const { labels } = rig.pod('shop/web');
  const inForce = (): number => loader.output.split('in force').length;
  let before = inForce();
  rig.removePod('shop/web');
  rig.writeEndpoints();
  await until(async () => inForce() > before);
  before = inForce();
  rig.addPod('shop/web-2', WEB, labels);
  rig.writeEndpoints();
  await until(async () => inForce() > before);
  const closed = closing(ends.server);
  ends.server.write('who are you?');
  await closed;
  ends.client.destroy();
  expect(await greet({ from: rig.pod('shop/web-2').netns, to: API[0], port: PORT })).toBe('open');
});
