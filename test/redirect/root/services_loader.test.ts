/**
 * `redirect.services: socket`, by the loader's commands: a policy about a pod holds for the Service that leads to it,
 * hooks and tables outlive the loader, and `down` takes them away.
 */
import { execFileSync } from 'node:child_process';
import type { Socket as UdpSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cgroupRoot } from '../../../src/redirect/host/cgroup_root.ts';
import { until } from '../../support/until.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { CLIENTS, ServiceClient } from './service_client.ts';

const TIMEOUT_MS = 150_000;
const API = ['10.12.0.1', 'fd12::1'] as const;
const WEB = ['10.12.0.2', 'fd12::2'] as const;
const JOB = ['10.12.0.3', 'fd12::3'] as const;
const DNS = { 'shop/dns-1': '10.12.0.4', 'shop/dns-2': '10.12.0.5' } as const;
const VIP = '10.96.0.1';
const DNS_VIP = '10.96.0.2';
const [PORT, DNS_PORT, BACKEND_PORT] = [80, 53, 7070];
const PROXY_GID = 1337;
const INSPECT = new URL('../../../src/redirect/services/inspect_services.ts', import.meta.url);
const ECONNRESET = '104';
const ECONNREFUSED = '111';

/** web may reach the pod at the port of the pod. Of the Service no policy says anything. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app: 'web' } }],
        toPorts: [{ ports: [{ port: String(BACKEND_PORT), protocol: 'TCP' }] }],
      },
    ],
  },
});

let rig: RedirectRig;
let cgroup = '';
/** The cgroup as a container has it: mounted elsewhere, and read-only. */
let mounted = '';
let folder = '';
let command: readonly string[] = [];
const servers: (Server | UdpSocket)[] = [];
const clients: ServiceClient[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-loader-'));
  command = CLIENTS.glibc(folder);
  cgroup = join(cgroupRoot() ?? '', `sallyport-loader-${process.pid}`);
  mkdirSync(cgroup);
  mounted = join(folder, 'cgroup');
  mkdirSync(mounted);
  execFileSync('mount', ['--bind', cgroup, mounted]);
  execFileSync('mount', ['-o', 'remount,bind,ro', mounted]);
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
      { name: 'shop/job', ips: JOB, labels: { app: 'job' } },
      ...Object.entries(DNS).map(([name, ip]) => ({ name, ips: [ip], labels: { app: 'dns' } })),
    ],
    policies: [POLICY],
    inventory: {
      services: [
        {
          ...{ name: 'shop/api', clusterIPs: [VIP] },
          endpoints: { matchLabels: { app: 'api' } },
          ports: [{ port: PORT, targetPort: BACKEND_PORT }],
        },
        {
          ...{ name: 'shop/dns', clusterIPs: [DNS_VIP] },
          endpoints: { matchLabels: { app: 'dns' } },
          ports: [{ port: DNS_PORT, protocol: 'UDP', targetPort: BACKEND_PORT }],
        },
      ],
    },
    redirect: { services: 'socket', cgroupRoot: mounted },
  });
  // Who is not translated is told so at once.
  rig.node.ip(`route add unreachable ${VIP}/32`);
  for (const ip of API) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('api');
    });
    await rig.pod('shop/api').netns.listen(server, { ip, port: BACKEND_PORT });
    servers.push(server);
  }
  for (const [name, ip] of Object.entries(DNS)) {
    const udp = await rig.pod(name).netns.udp({ ip, port: BACKEND_PORT });
    udp.on('message', (_, from) => udp.send(ip, from.port, from.address));
    servers.push(udp);
  }
}, TIMEOUT_MS);

afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()));
  for (const server of servers) server.close();
  await rig?.dispose();
  execFileSync('umount', [mounted]);
  rmdirSync(cgroup);
  rmSync(folder, { recursive: true });
}, TIMEOUT_MS);

function clientIn(netns: Netns): ServiceClient {
  const join_ = ['sh', '-c', `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`, 'sh'];
  const client = new ServiceClient(netns.command([...join_, ...command]));
  clients.push(client);
  return client;
}

/** As the proxy's user, with that group and no capability; null: it may not read them. */
function countersAs(gid: number): Record<string, number> | null {
  const script = `import { serviceCounters } from ${JSON.stringify(INSPECT.href)};
    const counters = serviceCounters(${JSON.stringify(rig.pinRoot)});
    console.log(JSON.stringify(counters, (_, value) => typeof value === 'bigint' ? Number(value) : value));`;
  const user = ['--reuid', String(PROXY_GID), '--regid', String(gid), '--clear-groups'];
  const caps = ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs'];
  const node = [process.execPath, '--input-type=module', '-e', script];
  return JSON.parse(execFileSync('setpriv', [...user, ...caps, ...node], { encoding: 'utf8' }));
}

describe('a Service at the socket', () => {
  it('is judged by the pod behind it, with and without a loader', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const loader = await rig.follow();
    const web = clientIn(rig.pod('shop/web').netns);
    const job = clientIn(rig.pod('shop/job').netns);
    const host = clientIn(rig.node);
    const isServed = async (client: ServiceClient): Promise<boolean> =>
      (await client.ask('tcp', VIP, PORT)).said === 'api';
    const all = async (): Promise<void> => {
      expect(await isServed(web)).toBe(true);
      expect(await isServed(host)).toBe(true);
      const { error } = await job.ask('tcp', VIP, PORT);
      expect([ECONNREFUSED, ECONNRESET]).toContain(error);
    };
    await all();
    const status = await rig.redirect('status');
    expect(status.output).toContain('services    2 addresses, 3 backends');
    expect(status.output).not.toContain('Services are not translated');
    expect(countersAs(PROXY_GID)?.['connected']).toBeGreaterThan(0);
    expect(countersAs(PROXY_GID + 1)).toBeNull();
    loader.kill('SIGKILL');
    await loader.ended;
    await all();
    const next = await rig.follow();
    await all();
    next.kill('SIGTERM');
    await next.ended;
    await all();
    expect((await rig.redirect('down')).output).toContain('removed the hooks of Services');
    await until(async () => !(await isServed(host)));
  });

  it('closes a connected UDP socket whose backend is one no more, in a pod and on the host', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const loader = await rig.follow();
    const clients = [clientIn(rig.pod('shop/web').netns), clientIn(rig.node)];
    const saidTo = async (client: ServiceClient): Promise<string | null> =>
      (await client.ask('held', DNS_VIP, DNS_PORT)).said;
    for (const client of clients) {
      const had = await saidTo(client);
      const [name = ''] = Object.entries(DNS).find(([, ip]) => ip === had) ?? [];
      const [other] = Object.values(DNS).filter((ip) => ip !== had);
      // It is there and answers, as another Service's.
      const pod = rig.pod(name);
      rig.pods.set(name, { ...pod, labels: { app: 'other' } });
      rig.writeEndpoints();
      await until(async () => (await saidTo(client)) === other);
      rig.pods.set(name, pod);
      rig.writeEndpoints();
      await loader.until(({ msg }) => /^closed 1 UDP sockets/.test(String(msg)));
    }
    loader.kill('SIGTERM');
    await loader.ended;
    await rig.redirect('down');
  });
});
