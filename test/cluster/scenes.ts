/** What is seen in the cluster: the chart's pods, pods under policy, and an update under load. */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { CHART, type Count, must } from '../deploy/tools.ts';
import { until } from '../support/until.ts';
import type { Cluster } from './node.ts';

export const POD_IMAGE = 'example.test/pod:1';
export const SALLYPORT_IMAGE = 'example.test/sallyport:test';

export const PATIENCE_MS = 120_000;
/** Enough for the connections of some drains. */
const LOAD_MIN = 200;

export interface Scene {
  readonly cluster: Cluster;
  readonly count: Count;
  readonly helm: string;
}

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: orders, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: orders } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: /orders/.* }] }
`;

/** `values`: more flags of Helm. */
export async function checkChart(
  { cluster, count, helm }: Scene,
  values: readonly string[],
): Promise<void> {
  await count.check('helm install: the pod of the DaemonSet becomes ready', async () => {
    const [repository = '', tag = ''] = SALLYPORT_IMAGE.split(':');
    must([
      ...[helm, 'install', 'sallyport', CHART, '--kubeconfig', cluster.plane.kubeconfig],
      ...['-n', 'sallyport', '--create-namespace'],
      ...['--set', `image.repository=${repository},image.tag=${tag}`, ...values],
    ]);
    await cluster.plane.kubectl([
      ...['-n', 'sallyport', 'rollout', 'status', 'daemonset/sallyport', '--timeout=180s'],
    ]);
    // None of them ended because something else was not there yet.
    const pods = ['-n', 'sallyport', 'get', 'pods'];
    for (const kind of ['initContainerStatuses', 'containerStatuses']) {
      const path = `jsonpath={.items[*].status.${kind}[*].restartCount}`;
      match(await cluster.plane.kubectl([...pods, '-o', path]), /^0( 0)*$/, kind);
    }
  });
  await count.check(
    'the proxy is user 1337 with CAP_NET_RAW alone, and reads its token',
    async () => {
      const status = await inProxy(cluster, ['grep', '-E', '^(Uid|CapEff):', '/proc/1/status']);
      match(status.replaceAll(/\s+/g, ' '), /^Uid: 1337 1337 1337 1337 CapEff: 0{12}2000/);
      const token = '/var/run/secrets/kubernetes.io/serviceaccount/token';
      const size = await inProxy(cluster, ['sallyport-as-proxy', 'wc', '-c', token]);
      ok(Number.parseInt(size, 10) > 0, size);
    },
  );
}

export async function checkPolicy({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  let url = '';
  await count.check('pods start, and the kubelet finds them ready', async () => {
    await plane.kubectl(['create', 'namespace', 'shop']);
    await plane.apply([serverPod('orders'), clientPod('web', ['pause'], 'web')].join('\n---\n'));
    for (const name of ['orders', 'web'])
      await cluster.wait('shop', `pod/${name}`, 'condition=Ready');
    const ip = await podIp(cluster, 'orders');
    url = `http://${ip}:8080/orders/1`;
    strictEqual(await status(cluster, 'web', 'DELETE', url), '200');
  });
  await count.check('kubectl apply: GET is answered 200, DELETE 403', async () => {
    await plane.apply(POLICY);
    await answers(cluster, 'web', 'DELETE', url, '403');
    strictEqual(await status(cluster, 'web', 'GET', url), '200');
    await until(
      async () => (await plane.kubectl(['-n', 'shop', 'get', 'cnp'])).includes('True'),
      PATIENCE_MS,
    );
  });
  await count.check('another pod, never unjudged from its first moment on', async () => {
    await plane.apply(clientPod('intruder', ['attempts', 'DELETE', url], 'other'));
    await cluster.wait('shop', 'pod/intruder', 'condition=Ready');
    await until(async () => (await outcomes(cluster, 'intruder')).length > 0, PATIENCE_MS);
    const other = await status(cluster, 'intruder', 'GET', url);
    ok(other.startsWith('lost') || other === '403', other);
    await plane.apply(clientPod('second', ['attempts', 'DELETE', url], 'web'));
    await until(async () => (await outcomes(cluster, 'second')).includes('403'), PATIENCE_MS);
    for (const name of ['intruder', 'second'])
      ok(!(await outcomes(cluster, name)).includes('200'), await logs(cluster, name));
    console.log(
      `      a new pod: ${(await logs(cluster, 'second')).trim().replaceAll('\n', '; ')}`,
    );
  });
  await count.check('a label that changes lets a pod in, and out again', async () => {
    const label = (value: string) =>
      plane.kubectl(['-n', 'shop', 'label', '--overwrite', 'pod', 'intruder', `app=${value}`]);
    await label('web');
    await answers(cluster, 'intruder', 'GET', url, '200');
    await label('other');
    await until(async () => (await status(cluster, 'intruder', 'GET', url)) !== '200', PATIENCE_MS);
  });
  await count.check('the pod under policy is still ready, by probes of the kubelet', async () => {
    const path = '{.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}';
    const said = await plane.kubectl([
      '-n',
      'shop',
      'get',
      'pod',
      'orders',
      '-o',
      `jsonpath=${path}`,
    ]);
    strictEqual(said, 'true 0');
  });
}

export async function checkRollout({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  await count.check('kubectl rollout restart under load: no request is lost', async () => {
    const ip = await podIp(cluster, 'orders');
    await plane.apply(clientPod('load', ['load', `http://${ip}:8080/orders/1`], 'web'));
    const daemonSet = ['-n', 'sallyport', 'rollout'];
    await underLoad(cluster, 'load', async () => {
      await plane.kubectl([...daemonSet, 'restart', 'daemonset/sallyport']);
      await plane.kubectl([...daemonSet, 'status', 'daemonset/sallyport', '--timeout=180s']);
      await until(async () => (await podsOfSallyport(cluster)).length === 1, PATIENCE_MS);
    });
  });
}

/** While a pod that loads asks, and some time before and after; none of its requests is lost. */
export async function underLoad(
  cluster: Cluster,
  name: string,
  task: () => Promise<void>,
): Promise<void> {
  const tally = async () => {
    const last = (await logs(cluster, name).catch(() => '')).trim().split('\n').at(-1) ?? '';
    return last.split(' ').map(Number);
  };
  await until(async () => ((await tally())[0] ?? 0) > LOAD_MIN, PATIENCE_MS);
  const before = await logs(cluster, name);
  await task();
  const [count = 0] = await tally();
  await until(async () => ((await tally())[0] ?? 0) > count + LOAD_MIN, PATIENCE_MS);
  // Before that the pod was new, and its interface closed for a while.
  const lines = (await logs(cluster, name)).slice(before.length).trim().split('\n');
  const isTally = (line: string) => /^\d/.test(line);
  const tallies = lines.filter(isTally).map((line) => line.split(' ').map(Number));
  const slowestMs = Math.max(...tallies.map(([, , ms = 0]) => ms));
  const all = (tallies.at(-1)?.[0] ?? 0) - (tallies[0]?.[0] ?? 0);
  console.log(`      ${all} requests, the slowest ${slowestMs} ms`);
  const lost = lines.filter((line) => line !== '' && !isTally(line));
  deepStrictEqual(lost, []);
}

function serverPod(name: string): string {
  return pod(name, 'orders', {
    args: ['serve', '8080'],
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1, failureThreshold: 2 },
  });
}

export function clientPod(name: string, args: readonly string[], app: string): string {
  return pod(name, app, { args });
}

export function pod(name: string, app: string, container: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels: { app } },
    spec: {
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      containers: [{ name: 'main', image: POD_IMAGE, imagePullPolicy: 'Never', ...container }],
    },
  });
}

export async function status(
  cluster: Cluster,
  from: string,
  method: string,
  url: string,
): Promise<string> {
  return (await cluster.exec(`shop/${from}`, ['/pod', 'ask', method, url])).trim();
}

export async function answers(
  cluster: Cluster,
  from: string,
  method: string,
  url: string,
  wanted: string,
): Promise<void> {
  await until(async () => (await status(cluster, from, method, url)) === wanted, PATIENCE_MS);
}

function podIp(cluster: Cluster, name: string): Promise<string> {
  const path = 'jsonpath={.status.podIP}';
  return cluster.plane.kubectl(['-n', 'shop', 'get', 'pod', name, '-o', path]);
}

export function logs(cluster: Cluster, name: string): Promise<string> {
  return cluster.plane.kubectl(['-n', 'shop', 'logs', name]);
}

/** Of a pod's attempts: each outcome that it has had. */
async function outcomes(cluster: Cluster, name: string): Promise<readonly string[]> {
  const text = await logs(cluster, name).catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ')[2] ?? '');
}

export async function podsOfSallyport(cluster: Cluster): Promise<readonly string[]> {
  const name = [
    '-l',
    'app.kubernetes.io/name=sallyport',
    '-o',
    'jsonpath={.items[*].metadata.name}',
  ];
  const said = await cluster.plane.kubectl(['-n', 'sallyport', 'get', 'pods', ...name]);
  return said.split(' ').filter((one) => one !== '');
}

async function inProxy(cluster: Cluster, command: readonly string[]): Promise<string> {
  const [first = ''] = await podsOfSallyport(cluster);
  return await cluster.exec(`sallyport/${first}`, command, 'proxy');
}
