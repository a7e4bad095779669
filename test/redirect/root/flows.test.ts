/** Flows of the kernel and of the proxy together, of the real command without rights: `GET /flows`. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { JsonLinesReader } from '../../support/json_lines_reader.ts';
import { WEB_MAY_GET_OK } from './api_policy.ts';
import { ask, seeingOrigin } from './exchange.ts';
import { Command, RedirectRig } from './rig.ts';

const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const SET_UP_TIMEOUT_MS = 300_000;
const USER = 1337;
const API = ['10.4.0.1', 'fd04::1'] as const;
const WEB = ['10.4.0.2', 'fd04::2'] as const;
const STRANGER = ['10.4.0.3', 'fd04::3'] as const;

let rig: RedirectRig;
let proxy: Command | null = null;
let reader: JsonLinesReader;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
      { name: 'shop/stranger', ips: STRANGER, labels: { app: 'stranger' } },
    ],
    policies: [WEB_MAY_GET_OK],
    workers: 2,
  });
  for (const ip of API) {
    const server = seeingOrigin('api');
    await rig.pod('shop/api').netns.listen(server, { ip, port: 8080 });
    servers.push(server);
  }
  await rig.follow();
  const folder = join(rig.dir, 'admin');
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const socketPath = join(folder, 'admin.sock');
  const config = join(rig.dir, 'with_admin.yaml');
  const text = readFileSync(join(rig.dir, 'config.yaml'), 'utf8');
  writeFileSync(
    config,
    `admin: unix:${socketPath}\n${text.replace('limits: {', 'limits: { kernelFlowIntervalMs: 100,')}`,
  );
  proxy = start(config);
  await proxy.until((line) => line['msg'] === 'ready');
  reader = new JsonLinesReader({ socketPath, path: '/flows?follow=true' });
  await reader.response;
}, SET_UP_TIMEOUT_MS);

afterAll(async () => {
  reader?.close();
  proxy?.kill('SIGKILL');
  await proxy?.ended;
  for (const server of servers) server.close();
  await rig?.dispose();
}, SET_UP_TIMEOUT_MS);

it.each([0, 1])(
  'a connection that the kernel refuses is a flow with the reason (family %i)',
  async (i) => {
    const from = rig.pod('shop/stranger').netns;
    const [to, source] = [API[i] as string, STRANGER[i] as string];
    await untilFlow(
      () => ask({ from, to, port: 8080, path: '/ok' }),
      { origin: 'kernel', verdict: 'denied' },
      {
        dropReason: 'denied-ingress',
        direction: 'ingress',
        transport: 'TCP',
        source: { ip: source, namespace: 'shop', pod: 'stranger' },
        destination: { ip: to, port: 8080, namespace: 'shop', pod: 'api' },
      },
    );
  },
);

it.each([0, 1])(
  'one that is redirected is a flow of the kernel while it lasts, its requests are of the proxy (family %i)',
  async (i) => {
    const from = rig.pod('shop/web').netns;
    const [to, source] = [API[i] as string, WEB[i] as string];
    const sides = {
      source: { ip: source, namespace: 'shop', pod: 'web' },
      destination: { ip: to, port: 8080, namespace: 'shop', pod: 'api' },
    };
    const socket = from.client(to.includes(':') ? 6 : 4);
    try {
      socket.on('error', () => {});
      const open = async (): Promise<void> => {
        socket.connect({ host: to, port: 8080 });
        await once(socket, 'connect');
      };
      const asKernel = { origin: 'kernel', verdict: 'redirected' };
      await untilFlow(open, asKernel, { ...sides, isReply: false, count: 1 });
      const request = async () => socket.write('GET /ok HTTP/1.1\r\nhost: origin.test\r\n\r\n');
      const asProxy = { origin: 'proxy', verdict: 'forwarded' };
      await untilFlow(request, asProxy, { ...sides, direction: 'ingress' });
    } finally {
      socket.destroy();
    }
  },
);

it('nothing was lost, and nothing went wrong', () => {
  expect(reader.lines.filter(({ kind }) => kind !== 'Flow')).toEqual([]);
  expect(proxy?.output).not.toContain('flows of the kernel cannot be told');
});

/** The kernel is looked at now and then: asks again until it is told. */
async function untilFlow(
  request: () => Promise<unknown>,
  kind: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, unknown>>,
): Promise<void> {
  const destination = (expected['destination'] as { readonly ip: string }).ip;
  const isOfKind = (flow: Readonly<Record<string, unknown>>): boolean =>
    Object.entries(kind).every(([name, value]) => flow[name] === value) &&
    (flow['destination'] as { readonly ip: string }).ip === destination;
  await request();
  const [flow] = await reader.until(1, isOfKind);
  expect(flow).toMatchObject(expected);
}

/** With CAP_NET_RAW and the group of the pins. */
function start(config: string): Command {
  const kept = '-all,+net_raw';
  return new Command(
    rig.node.command([
      'setpriv',
      ...[`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--no-new-privs'],
      ...[`--inh-caps=${kept}`, `--ambient-caps=${kept}`, `--bounding-set=${kept}`],
      ...[join(ROOT, 'bin/sallyport'), 'run', '-c', config],
    ]),
  );
}
