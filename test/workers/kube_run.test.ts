/** `sallyport run` with a cluster: the whole way from an API server to the answer of a request. */
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StatusReport } from '../../src/admin/status_report.ts';
import { CLUSTER_KINDS } from '../../src/control/source/kube/cluster_kinds.ts';
import { POLICY_KUBE_KINDS } from '../../src/control/source/kube/policy_queue.ts';
import type { KubeKind } from '../../src/kube/kind.ts';
import { FakeKubeApi } from '../support/fake_kube_api.ts';
import { podObject } from '../support/kube_source_rig.ts';
import { until } from '../support/until.ts';
import { askAdmin, portOf, type Sallyport, Scratch } from './running.ts';

/** Instead of a status. */
const RESET = 0;
const PATIENT = { timeout: 60_000 };
const [PODS] = CLUSTER_KINDS.Pod as readonly [KubeKind];
const [NAMESPACES] = CLUSTER_KINDS.Namespace as readonly [KubeKind];
const [CNPS] = POLICY_KUBE_KINDS.CiliumNetworkPolicy as readonly [KubeKind];
const [NETWORK_POLICIES] = POLICY_KUBE_KINDS.NetworkPolicy as readonly [KubeKind];
const OWN_KINDS = ['Pod', 'Namespace', 'Node', 'Service', 'EndpointSlice'] as const;

let scratch: Scratch;
let api: FakeKubeApi;
let proxy: Sallyport;
let port = 0;
let agents: Agent[] = [];
let isGone = false;

beforeEach(async () => {
  isGone = false;
  scratch = new Scratch();
  api = await FakeKubeApi.start();
  for (const name of OWN_KINDS) for (const kind of CLUSTER_KINDS[name]) api.serve(kind);
  api.serve(NETWORK_POLICIES);
  api.serve(CNPS);
  api.put(NAMESPACES, { metadata: { name: 'shop', labels: { team: 'a' } } });
  api.put(PODS, podObject('shop', 'api', { ip: '10.0.0.7', nodeName: 'n1' }));
  // Who connects from this address of loopback is the pod.
  api.put(PODS, podObject('shop', 'web', { ip: '127.0.0.2', nodeName: 'n2' }));
});

afterEach(async () => {
  for (const agent of agents) agent.destroy();
  agents = [];
  await scratch.dispose();
  await api.close();
});

describe('a proxy that reads a cluster', PATIENT, () => {
  it('enforces what is applied, and judges open connections again when labels change', async () => {
    await started();
    expect(await status('/ok')).toBe(200);
    api.put(CNPS, policy({ app: 'web' }, '/ok'));
    await expect.poll(() => status('/no')).toBe(403);
    const open = connection();
    expect(await status('/ok', open)).toBe(200);
    relabel('web', { app: 'other' });
    // No rule is left for it: the connection is reset.
    await expect.poll(() => status('/ok', open)).toBe(RESET);
    relabel('web', { app: 'web' });
    await expect.poll(() => status('/ok')).toBe(200);
    const ofTeam = { 'io.cilium.k8s.namespace.labels.team': 'b' };
    api.put(CNPS, policy(ofTeam, '/ok'));
    await expect.poll(() => status('/ok')).toBe(RESET);
    api.put(NAMESPACES, { metadata: { name: 'shop', labels: { team: 'b' } } });
    await expect.poll(() => status('/ok')).toBe(200);
    api.remove(CNPS, { namespace: 'shop', name: 'api' });
    await expect.poll(() => status('/no')).toBe(200);
  });

  it('names a policy that cannot be decoded, and goes on with the others', async () => {
    api.put(CNPS, policy({ app: 'web' }, '/ok'));
    await started();
    api.put(CNPS, {
      metadata: { namespace: 'shop', name: 'poison' },
      spec: { endpointSelector: 5, ingress: 'nothing' },
    });
    const refused = await proxy.message('policy object refused');
    expect(refused).toMatchObject({
      object: 'CiliumNetworkPolicy shop/poison',
      in_force: 'absent',
    });
    api.put(CNPS, policy({ app: 'web' }, '/more'));
    await expect.poll(() => status('/more')).toBe(200);
    expect((await report()).refused).toMatchObject({ count: 1 });
  });

  it('needs no kind of policy to be installed', async () => {
    api.unserve(NETWORK_POLICIES);
    api.unserve(CNPS);
    await started();
    expect(await status('/ok')).toBe(200);
    expect((await report()).cluster).toEqual({ stale: [], restoredAt: null });
  });

  it('keeps policy in force while the API server is gone, says so, and catches up', async () => {
    api.put(CNPS, policy({ app: 'web' }, '/ok'));
    await started();
    expect(await status('/ok')).toBe(200);
    gone();
    const ofPods = async (): Promise<string | undefined> =>
      (await report()).cluster?.stale.find(({ part }) => part === 'Pod')?.problem;
    await expect.poll(ofPods, { timeout: 20_000 }).toContain('503');
    expect(await report()).toMatchObject({ ready: true, stale: null });
    expect(
      await metric('sallyport_cluster_stale_since_timestamp_seconds{kind="Pod"}'),
    ).toBeGreaterThan(1_700_000_000);
    expect([await status('/ok'), await status('/no')]).toEqual([200, 403]);
    api.put(CNPS, policy({ app: 'web' }, '/new'));
    api.clearFaults();
    await expect.poll(() => status('/new'), { timeout: 40_000 }).toBe(200);
    await until(async () => (await report()).cluster?.stale.length === 0, 40_000);
    expect(await metric('sallyport_cluster_stale')).toBe(0);
  });

  it('starts without an API server from the state that it kept, and says how old that is', async () => {
    api.put(CNPS, policy({ app: 'web' }, '/ok'));
    await started();
    await until(() => scratch.has('state/proxy/cluster'));
    proxy.signal('SIGTERM');
    await proxy.ended;
    gone();
    await started();
    expect(
      await proxy.message('the state of the cluster that was kept on disk is in force'),
    ).toHaveProperty('saved_at');
    expect([await status('/ok'), await status('/no')]).toEqual([200, 403]);
    expect((await report()).cluster?.restoredAt).toEqual(expect.any(String));
    api.put(CNPS, policy({ app: 'web' }, '/new'));
    api.clearFaults();
    await expect.poll(() => status('/new'), { timeout: 40_000 }).toBe(200);
    expect((await report()).cluster?.restoredAt).toBeNull();
  });

  it('starts without an API server and without a state with everything denied', async () => {
    gone();
    await started();
    expect(await status('/ok')).toBe(RESET);
    expect((await report()).stale?.problems.join()).toContain('was not listed within 1000 ms');
    api.clearFaults();
    await expect.poll(() => status('/ok'), { timeout: 40_000 }).toBe(200);
    expect((await report()).stale).toBeNull();
  });

  it('whose worker dies again and again says so on its node', async () => {
    const told: unknown[] = [];
    api.handler = ({ method, path, body }) => {
      if (method !== 'POST' || path !== '/api/v1/namespaces/default/events') return null;
      const object: unknown = JSON.parse(body);
      told.push(object);
      return { code: 201, object };
    };
    await started();
    for (let n = 0; n < 2; n++) {
      const [worker] = (await report()).workers;
      process.kill(worker?.pid ?? 0, 'SIGKILL');
      await until(async () => {
        const [again] = (await report()).workers;
        return again?.state === 'listening' && again.pid !== worker?.pid;
      }, 20_000);
    }
    await until(() => told.length > 0, 20_000);
    expect(told).toMatchObject([
      {
        ...{ reason: 'ProxyNotReady', type: 'Warning' },
        message: expect.stringContaining('2 times or more within 10 minutes'),
        involvedObject: { kind: 'Node', name: 'n1', uid: 'n1' },
      },
    ]);
  });

  it('that finds no cluster to read does not start, and says where it looked', async () => {
    const child = scratch.run(['run', '-c', config(await scratch.origin(), { hasFile: false })], {
      HOME: scratch.dir,
    });
    expect(await child.ended).toBe(1);
    expect(child.stderr).toContain('kubernetes: no API server is configured');
  });
});

async function started(): Promise<void> {
  const path = config(await scratch.origin(), { hasFile: true });
  proxy = scratch.run(['run', '-c', path], { HOME: scratch.dir });
  port = portOf(await proxy.message('ready'));
}

function config(upstream: number, { hasFile }: { readonly hasFile: boolean }): string {
  scratch.write(
    'kubeconfig',
    `apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: test } }]
clusters: [{ name: test, cluster: { server: "${api.url}" } }]
users: [{ name: test, user: {} }]
`,
  );
  const kubeconfig = hasFile ? 'kubeconfig: kubeconfig' : '';
  return scratch.write(
    'config.yaml',
    `kubernetes: { nodeName: n1, ${kubeconfig} }
stateDir: state
admin: unix:${join(scratch.dir, 'admin.sock')}
workers: 1
limits: { drainTimeoutMs: 1000, kubeSyncTimeoutMs: ${isGone ? 1000 : 25_000}, kubeStaleGraceMs: 1000, kubeWorkerDeathCount: 2 }
listeners:
  - name: api
    address: 127.0.0.1:0
    direction: ingress
    destination: 10.0.0.7:8080
    upstream: 127.0.0.1:${upstream}
`,
  );
}

/** Who is selected so may GET that path. */
function policy(from: Readonly<Record<string, string>>, path: string) {
  return {
    metadata: { namespace: 'shop', name: 'api' },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: from }],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: { http: [{ method: 'GET', path }] },
            },
          ],
        },
      ],
    },
  };
}

function relabel(name: string, labels: Readonly<Record<string, string>>): void {
  api.put(PODS, podObject('shop', name, { ip: '127.0.0.2', nodeName: 'n2', labels }));
}

/** From now on it answers nobody. */
function gone(): void {
  isGone = true;
  api.fault(() => true, { kind: 'status', code: 503 }, Number.POSITIVE_INFINITY);
  api.resetAll();
}

/** One that is kept open. */
function connection(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agents.push(agent);
  return agent;
}

/** Of a request by the pod `web`. */
function status(path: string, agent: Agent | false = false): Promise<number> {
  return new Promise((resolve) => {
    const asked = { host: '127.0.0.1', port, path, agent, localAddress: '127.0.0.2' };
    const outgoing = request(asked, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', () => resolve(0));
    });
    outgoing.on('error', () => resolve(0));
    outgoing.end();
  });
}

async function report(): Promise<StatusReport> {
  const { text } = await askAdmin(join(scratch.dir, 'admin.sock'), '/status');
  return JSON.parse(text) as StatusReport;
}

async function metric(name: string): Promise<number> {
  const { text } = await askAdmin(join(scratch.dir, 'admin.sock'), '/metrics');
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no ${name}`);
  return Number(line.slice(name.length));
}
