/** `sallyport run` beside a real API server: what users do to a cluster, and what requests are answered then. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { ROOT } from '../../workers/running.ts';
import { ClusterProxy, OpenConnection, READ_RULES, REPORT_RULES } from './parts/cluster_proxy.ts';
import { ControlPlane, type RbacRule } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';
import { Kwok } from './parts/kwok.ts';
import { putNode, putPod } from './parts/pods.ts';
import type { StoreKind } from './parts/store.ts';

const API = '127.0.20.1';
const WEB = '127.0.20.2';
const OTHER = '127.0.20.3';
const PROXY = 'sallyport/sallyport';
const PATIENCE_MS = 150_000;
/** Of five hundred addresses. */
const SAMPLE = 25;

describe.each<StoreKind>(['etcd', 'kine'])('policy of a cluster that is kept in %s', (store) => {
  let cluster: ControlPlane;
  let proxy: ClusterProxy;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store, hasControllers: true });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    const account = await cluster.account(PROXY, [...READ_RULES, ...REPORT_RULES]);
    await putNode(cluster, 'node-1', '127.0.0.9');
    for (const name of ['shop', 'bank']) await cluster.kubectl(['create', 'namespace', name]);
    const pod = (name: string, ip: string, namespace = 'shop'): Promise<void> =>
      putPod(cluster, { namespace, name, ip, labels: { app: name } });
    await pod('api', API);
    await pod('web', WEB);
    await pod('other', OTHER, 'bank');
    proxy = await ClusterProxy.start({
      kubeconfig: account.kubeconfig,
      destination: `${API}:8080`,
      more: {
        limits: { kubeLeaseLookMs: 2_000, kubeSyncTimeoutMs: 4_000, kubeStateIntervalMs: 1_000 },
      },
    });
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  it('judges requests as kubectl applies, changes and deletes policies', async () => {
    await proxy.answers(WEB, '/any', 200);
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/any', 403);
    expect(await proxy.ask(WEB, '/ok')).toBe(200);
    // No rule is about it: it gets no connection.
    expect(await proxy.ask(OTHER, '/ok')).toBe(0);
    await cluster.apply(policy('/new'));
    await proxy.answers(WEB, '/new', 200);
    expect(await proxy.ask(WEB, '/ok')).toBe(403);
    await cluster.kubectl(['-n', 'shop', 'delete', 'cnp', 'api']);
    await proxy.answers(WEB, '/any', 200);
  });

  it('shows in kubectl whether a policy is valid, and keeps its last good form', async () => {
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/any', 403);
    await until(async () => (await valid()) === 'True', PATIENCE_MS);
    await cluster.apply(policy('/new').replace('method: GET', 'method: "G("'));
    await until(async () => (await valid()) === 'False', PATIENCE_MS);
    expect(await proxy.ask(WEB, '/ok')).toBe(200);
    expect(await proxy.ask(WEB, '/new')).toBe(403);
    const told = await cluster.kubectl(['-n', 'shop', 'describe', 'cnp', 'api']);
    expect(told).toContain('spec.ingress[0].toPorts[0].rules.http[0].method');
    expect(told).toContain('its last good form is in force');
    await until(async () => {
      const events = await cluster.kubectl(['-n', 'shop', 'get', 'events']);
      return events.includes('PolicyRefused');
    });
    await cluster.apply(policy('/new'));
    await proxy.answers(WEB, '/new', 200);
    await until(async () => (await valid()) === 'True', PATIENCE_MS);
  });

  it('writes each status once, and takes its own write for no change', async () => {
    const revision = (): number =>
      Math.max(...proxy.lines().map((line) => Number(line['revision'] ?? 0)));
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/new', 403);
    await until(async () => (await observed()) === (await generation()), PATIENCE_MS);
    const [writes, before] = [statusWrites(), revision()];
    for (let n = 0; n < 10; n++) {
      await cluster.kubectl(['-n', 'shop', 'annotate', 'cnp', 'api', `note=${n}`, '--overwrite']);
      await cluster.kubectl(['-n', 'shop', 'label', 'cnp', 'api', `note=${n}`, '--overwrite']);
    }
    await cluster.apply(policy('/marked').replace('name: api', 'name: marked'));
    // What came before it in the watch has been seen.
    await proxy.answers(WEB, '/marked', 200);
    await until(() => statusWrites() === writes + 1, PATIENCE_MS);
    expect(revision()).toBe(before + 1);
    await cluster.kubectl(['-n', 'shop', 'delete', 'cnp', 'marked']);
    await proxy.answers(WEB, '/marked', 403);
  });

  it('judges open connections again when labels of a pod or its namespace change', async () => {
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/ok', 200);
    const connection = new OpenConnection(proxy, WEB);
    expect(await connection.ask('/ok')).toBe(200);
    await cluster.kubectl(['-n', 'shop', 'label', 'pod', 'web', 'app=gone', '--overwrite']);
    await until(async () => (await connection.ask('/ok')) !== 200);
    await cluster.kubectl(['-n', 'shop', 'label', 'pod', 'web', 'app=web', '--overwrite']);
    await until(async () => (await connection.ask('/ok')) === 200);
    await cluster.apply(ofNamespace('/ok'));
    await until(async () => (await connection.ask('/ok')) !== 200);
    await cluster.kubectl(['label', 'namespace', 'shop', 'team=a']);
    await until(async () => (await connection.ask('/ok')) === 200);
    await cluster.kubectl(['label', 'namespace', 'shop', 'team=b', '--overwrite']);
    await until(async () => (await connection.ask('/ok')) !== 200);
    await cluster.kubectl(['label', 'namespace', 'shop', 'team-']);
    connection.close();
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/ok', 200);
  });

  it('goes on after old versions are forgotten (410)', async () => {
    await cluster.forgetVersions();
    await cluster.apply(policy('/after-410'));
    await proxy.answers(WEB, '/after-410', 200);
    expect(await proxy.ask(WEB, '/ok')).toBe(403);
  });

  it('stays in force while the API server is gone, and follows when it is back', async () => {
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/ok', 200);
    await proxy.keeps('"/ok"');
    // What is stale after this is so by what comes now.
    await proxy.follows();
    await cluster.apiServer.end('SIGKILL');
    await until(
      async () => (await proxy.admin('/status')).includes('cannot be reached'),
      PATIENCE_MS,
    );
    expect(await proxy.ask(WEB, '/ok')).toBe(200);
    expect(await proxy.ask(WEB, '/any')).toBe(403);
    await proxy.restart();
    await proxy.answers(WEB, '/ok', 200);
    expect(await proxy.ask(WEB, '/any')).toBe(403);
    await cluster.startApiServer();
    await cluster.apply(policy('/back'));
    await proxy.answers(WEB, '/back', 200);
  });

  it('follows twenty policies a second, and writes no more than its rate', async () => {
    const before = statusWrites();
    const beganMs = performance.now();
    const type = 'application/merge-patch+json';
    const path = '/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies/api';
    for (let n = 0; n < 100; n++) {
      await cluster.ask('PATCH', path, JSON.parse(specPatch(`/n${n}`)), type);
      const restMs = n * 50 - (performance.now() - beganMs);
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    }
    await proxy.answers(WEB, '/n99', 200);
    await until(async () => (await observed()) === (await generation()), PATIENCE_MS);
    const seconds = (performance.now() - beganMs) / 1000;
    expect(statusWrites() - before).toBeLessThanOrEqual(10 * seconds + 1);
  });

  it('takes up kinds that are deleted and defined anew', async () => {
    await cluster.apply(policy('/ok'));
    await proxy.answers(WEB, '/ok', 200);
    await cluster.kubectl(['delete', 'crd', 'ciliumnetworkpolicies.cilium.io', '--timeout=150s']);
    await proxy.answers(WEB, '/any', 200);
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    await cluster.apply(policy('/ok'));
    await until(async () => (await proxy.ask(WEB, '/any')) === 403, PATIENCE_MS);
    expect(await proxy.ask(WEB, '/ok')).toBe(200);
  });

  it('leaves nothing of a namespace that is deleted', async () => {
    await cluster.apply(policy('/ok').replaceAll('shop', 'bank').replace('app: web', 'app: other'));
    await cluster.kubectl(['delete', 'namespace', 'bank', '--timeout=150s', '--wait=false']);
    await cluster.kubectl(['-n', 'bank', 'delete', 'pod', 'other', '--force', '--grace-period=0']);
    await cluster.kubectl(['wait', '--for=delete', 'namespace/bank', '--timeout=150s']);
    await until(async () => !(await proxy.admin('/policies')).includes('bank/'));
  });

  async function valid(): Promise<string> {
    const path = `jsonpath={.status.conditions[?(@.type=='Valid')].status}`;
    return await cluster.kubectl(['-n', 'shop', 'get', 'cnp', 'api', '-o', path]);
  }

  function observed(): Promise<string> {
    const path = `jsonpath={.status.conditions[?(@.type=='Valid')].observedGeneration}`;
    return cluster.kubectl(['-n', 'shop', 'get', 'cnp', 'api', '-o', path]);
  }

  function generation(): Promise<string> {
    const path = 'jsonpath={.metadata.generation}';
    return cluster.kubectl(['-n', 'shop', 'get', 'cnp', 'api', '-o', path]);
  }

  function statusWrites(): number {
    return cluster.audit
      .writes(`:${PROXY.replace('/', ':')}`)
      .filter(({ resource }) => resource === 'ciliumnetworkpolicies/status').length;
  }
});

describe('what the proxy may do in a cluster', () => {
  let cluster: ControlPlane;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store: 'etcd' });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await putPod(cluster, { namespace: 'shop', name: 'api', ip: API, labels: { app: 'api' } });
    await putPod(cluster, { namespace: 'shop', name: 'web', ip: WEB, labels: { app: 'web' } });
    await cluster.apply(policy('/ok'));
  });

  afterAll(() => cluster?.stop());

  it('may be less than it needs: it denies, says what is missing, and goes on when it is given', async () => {
    const [, ...others] = READ_RULES;
    const account = await cluster.account(PROXY, others);
    const proxy = await ClusterProxy.start({
      kubeconfig: account.kubeconfig,
      destination: `${API}:8080`,
      more: { limits: { kubeSyncTimeoutMs: 2_000 } },
    });
    try {
      expect(await proxy.ask(WEB, '/ok')).not.toBe(200);
      expect(await proxy.admin('/status')).toMatch(/pods.*forbidden/);
      await cluster.account(PROXY, READ_RULES);
      await until(async () => (await proxy.ask(WEB, '/ok')) === 200, PATIENCE_MS);
      expect(await proxy.ask(WEB, '/any')).toBe(403);
    } finally {
      await proxy.stop();
    }
  });

  it('may be by a token that is replaced in its file', async () => {
    await cluster.account(PROXY, READ_RULES);
    const path = join(cluster.folder, 'token');
    const namespace = PROXY.split('/')[0] ?? '';
    const take = async (secret: string): Promise<void> => {
      await cluster.kubectl(['-n', namespace, 'create', 'secret', 'generic', secret]);
      writeFileSync(path, await cluster.token(PROXY, secret));
    };
    await take('first');
    const proxy = await ClusterProxy.start({
      kubeconfig: cluster.kubeconfigFor({ kind: 'token-file', path }),
      destination: `${API}:8080`,
    });
    try {
      await proxy.answers(WEB, '/ok', 200);
      await take('second');
      await cluster.kubectl(['-n', namespace, 'delete', 'secret', 'first']);
      // All watches begin anew, with what is in the file.
      await cluster.apiServer.end();
      await cluster.startApiServer();
      await cluster.apply(policy('/by-the-second-token'));
      await until(async () => (await proxy.ask(WEB, '/by-the-second-token')) === 200, PATIENCE_MS);
    } finally {
      await proxy.stop();
    }
  });
});

describe('what the proxy writes', () => {
  let cluster: ControlPlane;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store: 'etcd' });
    await cluster.applyDefinitions(deployedDefinitions());
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await putPod(cluster, { namespace: 'shop', name: 'api', ip: API, labels: { app: 'api' } });
    await putPod(cluster, { namespace: 'shop', name: 'web', ip: WEB, labels: { app: 'web' } });
  });

  afterAll(() => cluster?.stop());

  it('needs no more rights than docs/kubernetes.md says, and gives the Lease back at its end', async () => {
    const [status, events] = REPORT_RULES;
    const lease: RbacRule = {
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      resourceNames: ['sallyport-report'],
      verbs: ['get', 'patch'],
    };
    const rules = [...READ_RULES, status, events, lease].filter((rule) => rule !== undefined);
    const account = await cluster.account(PROXY, rules);
    // As deploy/ makes it: without a holder.
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { namespace: 'sallyport', name: 'sallyport-report' },
      }),
    );
    const proxy = await ClusterProxy.start({
      kubeconfig: account.kubeconfig,
      destination: `${API}:8080`,
      kubernetes: { reportNamespace: 'sallyport' },
      more: { invalidPolicy: 'deny' },
    });
    try {
      await cluster.apply(policy('/ok').replace('method: GET', 'method: "G("'));
      const ofPod = ['-n', 'shop', 'describe', 'pod', 'api'];
      await until(async () => (await cluster.kubectl(ofPod)).includes('DefaultDeny'), PATIENCE_MS);
      expect(await proxy.ask(WEB, '/ok')).toBe(0);
      await until(async () =>
        /api .*False/.test(await cluster.kubectl(['-n', 'shop', 'get', 'cnp'])),
      );
      const ofPolicy = ['-n', 'shop', 'describe', 'cnp', 'api'];
      await until(
        async () => (await cluster.kubectl(ofPolicy)).includes('PolicyRefused'),
        PATIENCE_MS,
      );
      await cluster.apply(policy('/ok'));
      await until(
        async () => (await cluster.kubectl(ofPolicy)).includes('PolicyAccepted'),
        PATIENCE_MS,
      );
      expect(await proxy.ask(WEB, '/ok')).toBe(200);
      expect(await holder()).toMatch(/^node-1_/);
      proxy.process.signal('SIGTERM');
      expect(await proxy.process.ended).toBe(0);
      expect(await holder()).toBe('');
    } finally {
      await proxy.stop();
    }
  });

  function holder(): Promise<string> {
    const path = 'jsonpath={.spec.holderIdentity}';
    return cluster.kubectl(['-n', 'sallyport', 'get', 'lease', 'sallyport-report', '-o', path]);
  }
});

describe('a cluster of five hundred pods', () => {
  let cluster: ControlPlane;
  let kwok: Kwok;
  let proxy: ClusterProxy;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store: 'etcd', hasControllers: true });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    const account = await cluster.account(PROXY, [...READ_RULES, ...REPORT_RULES]);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await putPod(cluster, { namespace: 'shop', name: 'api', ip: API, labels: { app: 'api' } });
    await cluster.apply(policy('/ok').replace('app: web', 'app: fleet'));
    kwok = Kwok.start(cluster);
    proxy = await ClusterProxy.start({
      kubeconfig: account.kubeconfig,
      destination: `${API}:8080`,
    });
  });

  afterAll(async () => {
    await proxy?.stop();
    await kwok?.stop();
    await cluster?.stop();
  });

  it('is followed as it comes and as it is replaced: who is new may, who is gone may not', async () => {
    for (let n = 0; n < 5; n++) {
      await kwok.node(cluster, `fake-${n}`);
      await cluster.apply(fleet(`fake-${n}`));
    }
    const first = await fleetAddresses();
    await until(async () => (await allowedAmong(first)) === SAMPLE, PATIENCE_MS);
    for (let n = 0; n < 5; n++) {
      await cluster.kubectl(['-n', 'shop', 'rollout', 'restart', 'deployment', `fleet-fake-${n}`]);
    }
    for (let n = 0; n < 5; n++) {
      const status = ['rollout', 'status', `deployment/fleet-fake-${n}`, '--timeout=200s'];
      await cluster.kubectl(['-n', 'shop', ...status]);
    }
    const second = await fleetAddresses();
    await until(async () => (await allowedAmong(second)) === SAMPLE, PATIENCE_MS);
    const gone = first.filter((ip) => !second.includes(ip));
    expect(gone.length).toBeGreaterThan(0);
    await until(async () => (await allowedAmong(gone)) === 0, PATIENCE_MS);
  }, 600_000);

  /** Of all five hundred, once all are ready. */
  async function fleetAddresses(): Promise<readonly string[]> {
    let addresses: readonly string[] = [];
    await until(async () => {
      const path = 'jsonpath={range .items[?(@.status.phase=="Running")]}{.status.podIP} {end}';
      const text = await cluster.kubectl([
        '-n',
        'shop',
        'get',
        'pods',
        '-l',
        'app=fleet',
        '-o',
        path,
      ]);
      addresses = text.split(' ').filter((ip) => ip !== '');
      return addresses.length === 500;
    }, 200_000);
    return addresses;
  }

  /** Of a sample, by what the proxy itself says of a request. */
  async function allowedAmong(addresses: readonly string[]): Promise<number> {
    const step = Math.max(1, Math.floor(addresses.length / SAMPLE));
    let count = 0;
    for (let n = 0; n < SAMPLE; n++) {
      const remoteIp = addresses[(n * step) % addresses.length] ?? '';
      const question = { endpointIp: API, remoteIp, direction: 'ingress', port: 8080 };
      const asked = { ...question, http: { method: 'GET', path: '/ok' } };
      const answer = await proxy.admin(
        `/explain?request=${encodeURIComponent(JSON.stringify(asked))}`,
      );
      if (JSON.parse(answer).verdict === 'allow') count += 1;
    }
    return count;
  }
});

function fleet(node: string): string {
  const name = `fleet-${node}`;
  const labels = { app: 'fleet', node };
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace: 'shop', name },
    spec: {
      replicas: 100,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        // Nobody schedules here.
        spec: { nodeName: node, containers: [{ name: 'main', image: 'example.test/main' }] },
      },
    },
  });
}

/** Those of deploy/, for clusters without Cilium. */
function deployedDefinitions(): string {
  const folder = join(ROOT, 'deploy/helm/sallyport/files/crds');
  return readdirSync(folder)
    .filter((name) => name.startsWith('cilium'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n---\n');
}

function policy(path: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: ${path} }] }
`;
}

function ofNamespace(path: string): string {
  const labels = '{ io.cilium.k8s.namespace.labels.team: a }';
  return policy(path).replace('{ app: web }', labels);
}

function specPatch(path: string): string {
  const rules = { http: [{ method: 'GET', path }] };
  const toPorts = [{ ports: [{ port: '8080', protocol: 'TCP' }], rules }];
  const fromEndpoints = [{ matchLabels: { app: 'web' } }];
  return JSON.stringify({ spec: { ingress: [{ fromEndpoints, toPorts }] } });
}
