/** Services in a running proxy: addresses that nobody has are judged by who is behind them, in all workers. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AT } from '../../src/codec/dns/header.ts';
import { ANSWER_FLAGS, message, question } from '../support/dns_messages.ts';
import { askAdmin, get, Scratch } from './running.ts';

/** A remote that no rule is about has its connection reset. */
const RESET = 0;
const PATIENT = { timeout: 60_000, interval: 20 };
const REFUSED = 5;

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: client, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: web } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: /ok }] } }]
    - toEndpoints: [{ matchLabels: { app: dns } }]
      toPorts: [{ ports: [{ port: "5353", protocol: UDP }], rules: { dns: [{ matchName: a.test }] } }]
`;

/** The ports that clients dial are no rule's. */
function endpoints(selected: { readonly web: string; readonly dns: string }): string {
  return `
endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: default/web, ip: 10.0.0.7, labels: { app: web, tier: front } }
  - { name: default/other, ip: 10.0.0.8, labels: { app: other, tier: front } }
  - { name: default/dns, ip: 10.0.0.9, labels: { app: dns } }
services:
  - name: default/web
    endpoints: { matchLabels: ${selected.web} }
    clusterIPs: [10.96.0.1]
    ports: [{ port: 80, targetPort: 8080 }]
  - name: default/dns
    endpoints: { matchLabels: ${selected.dns} }
    clusterIPs: [10.96.0.10]
    ports: [{ port: 53, protocol: UDP, targetPort: 5353 }]
`;
}

const ALLOWED = { web: '{ app: web }', dns: '{ app: dns }' };

let scratch: Scratch;
let server: Socket;
let client: Socket;

beforeEach(async () => {
  scratch = new Scratch();
  scratch.write('policies/api.yaml', POLICY);
  scratch.write('endpoints.yaml', endpoints(ALLOWED));
  [server, client] = [createSocket('udp4'), createSocket('udp4')];
  for (const socket of [server, client]) {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
  }
  server.on('message', (bytes, from) => {
    server.send(answerTo(bytes), from.port, from.address);
  });
});

afterEach(async () => {
  server.close();
  client.close();
  await scratch.dispose();
});

describe('the ClusterIP of a Service as the destination of a listener', () => {
  it('is judged by the backends of the moment, in all workers, those that start again included', async () => {
    const { ports, proxy, status } = await running();
    const statuses = async (): Promise<readonly number[]> => {
      const replies = await Promise.all(Array.from({ length: 12 }, () => get(ports.web, '/ok')));
      return [...new Set(replies.map((reply) => reply.status))];
    };
    expect(await statuses()).toEqual([200]);
    expect((await get(ports.web, '/no')).status).toBe(403);
    await expect
      .poll(status, PATIENT)
      .toMatchObject({ count: 2, addresses: 2, backends: 2, inForce: true });

    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ended = new Promise((resolve) =>
      agent.once('free', (one: Socket) => one.once('close', resolve)),
    );
    expect((await get(ports.web, '/ok', agent)).status).toBe(200);
    scratch.write('endpoints.yaml', endpoints({ ...ALLOWED, web: '{ tier: front }' }));
    await ended;
    agent.destroy();
    await expect.poll(statuses, PATIENT).toEqual([RESET]);
    expect(await status()).toMatchObject({ backends: 3 });

    const ready = await proxy.message('ready');
    process.kill(Number((ready['worker_pids'] as readonly number[])[0]), 'SIGKILL');
    await proxy.message('worker restarted');
    expect(await statuses()).toEqual([RESET]);
    scratch.write('endpoints.yaml', endpoints({ ...ALLOWED, web: '{ app: nobody }' }));
    await expect.poll(status, PATIENT).toMatchObject({ backends: 1, inForce: true });
    expect(await statuses()).toEqual([RESET]);
    scratch.write('endpoints.yaml', endpoints(ALLOWED));
    await expect.poll(statuses, PATIENT).toEqual([200]);

    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    const reasons = new Set(proxy.lines().flatMap((line) => line['reason'] ?? []));
    expect([...reasons].sort()).toEqual([
      'no-http-rule-matched',
      'remote-not-allowed',
      'service-without-backend',
    ]);
    // Nothing of it was another set.
    const sets = proxy.lines().filter((line) => line['msg'] === 'policy in force');
    expect(sets.map((line) => line['revision'])).toEqual([1]);
  });

  it('is that of kube-dns, too: questions are judged by the rules for its pods', async () => {
    const { ports } = await running();
    expect(await codeOf('a.test', ports.dns)).toBe(0);
    expect(await codeOf('b.test', ports.dns)).toBe(REFUSED);
    scratch.write('endpoints.yaml', endpoints({ ...ALLOWED, dns: '{ app: nobody }' }));
    await expect.poll(() => codeOf('a.test', ports.dns), PATIENT).toBe(REFUSED);
    scratch.write('endpoints.yaml', endpoints(ALLOWED));
    await expect.poll(() => codeOf('a.test', ports.dns), PATIENT).toBe(0);
  });
});

async function running() {
  const admin = join(scratch.dir, 'admin.sock');
  const origin = await scratch.origin();
  const config = scratch.write(
    'config.yaml',
    `policies: [policies/]
endpoints: endpoints.yaml
admin: unix:${admin}
limits: { reloadDelayMs: 10, drainTimeoutMs: 2000 }
workers: 2
listeners:
  - { name: web, address: 127.0.0.1:0, direction: egress, destination: 10.96.0.1:80,
      upstream: 127.0.0.1:${origin}, identity: [endpoints] }
  - { name: dns, protocol: dns, address: 127.0.0.1:0, direction: egress, destination: 10.96.0.10:53,
      upstream: 127.0.0.1:${server.address().port}, identity: [endpoints] }
`,
  );
  const proxy = scratch.run(['run', '-c', config]);
  const ready = await proxy.message('ready');
  const [web = 0, dns = 0] = (ready['listeners'] as readonly { readonly address: string }[]).map(
    ({ address }) => Number(address.split(':').at(-1)),
  );
  const status = async () => {
    const { text } = await askAdmin(admin, '/status');
    return (JSON.parse(text) as { readonly services: object }).services;
  };
  return { proxy, status, ports: { web, dns } };
}

let id = 1;

/** Asked again until it is answered: a datagram may be lost. */
async function codeOf(name: string, port: number): Promise<number> {
  id += 1;
  const bytes = message({ id, questions: [question(name)] });
  const ask = (): void => client.send(bytes, port, '127.0.0.1');
  const timer = setInterval(ask, 1000);
  ask();
  try {
    for (;;) {
      const [answer] = (await once(client, 'message')) as [Buffer];
      if (answer.readUInt16BE(AT.id) === id) return answer.readUInt16BE(AT.flags) & 0xf;
    }
  } finally {
    clearInterval(timer);
  }
}

function answerTo(asked: Buffer): Buffer {
  const answer = Buffer.from(asked);
  answer.writeUInt16BE(ANSWER_FLAGS, AT.flags);
  return answer;
}
