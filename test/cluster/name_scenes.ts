/**
 * Names in a cluster: pods ask kube-dns by its ClusterIP, as their resolv.conf says, and reach by their first connection
 * whom `toFQDNs` names, in a world beside the node.
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { must } from '../deploy/tools.ts';
import { until } from '../support/until.ts';
import { NODE_IP } from './machine.ts';
import type { Cluster } from './node.ts';
import { clientPod, PATIENCE_MS, POD_IMAGE, podsOfSallyport, type Scene } from './scenes.ts';

const CLUSTER_IP = '10.96.0.10';
const WORLD = '203.0.113.';
const PODS = '10.77.0.0/24';
const COUNT = 50;

const KUBE_DNS = [
  {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { 'k8s-app': 'kube-dns' } },
      template: {
        metadata: { labels: { 'k8s-app': 'kube-dns' } },
        spec: {
          automountServiceAccountToken: false,
          containers: [
            {
              ...{ name: 'main', image: POD_IMAGE, imagePullPolicy: 'Never' },
              args: ['names', WORLD],
              readinessProbe: { tcpSocket: { port: 53 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  },
  {
    ...{ apiVersion: 'v1', kind: 'Service' },
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: {
      ...{ clusterIP: CLUSTER_IP, selector: { 'k8s-app': 'kube-dns' } },
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  },
];

const POLICIES = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  egress:
    - toEndpoints:
        - matchLabels: { "k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns }
      toPorts:
        - ports: [{ port: "53", protocol: ANY }]
          rules:
            dns:
              - matchName: api.stripe.com
              - matchName: api.github.com
              - matchPattern: "*.amazonaws.com"
    - toFQDNs:
        - matchName: api.stripe.com
        - matchName: api.github.com
        - matchPattern: "*.amazonaws.com"
      toPorts:
        - ports: [{ port: "80", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/v1/.*" }] }
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: kube-dns, namespace: kube-system }
spec:
  endpointSelector: { matchLabels: { k8s-app: kube-dns } }
  ingress:
    - fromEndpoints: [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": shop, app: web } }]
      toPorts: [{ ports: [{ port: "53", protocol: ANY }] }]
`;

/** `folder`: where the program of the pods is. */
export async function checkNames(scene: Scene, folder: string): Promise<void> {
  const { cluster, count } = scene;
  const world = startWorld(join(dirname(folder), 'pod-rootfs/pod'));
  try {
    await checkOpen(scene);
    await checkTaught(scene);
    await count.check('a rollout of Sallyport: what was learned holds', async () => {
      const rollout = ['-n', 'sallyport', 'rollout'];
      await cluster.plane.kubectl([...rollout, 'restart', 'daemonset/sallyport']);
      const patience = '--timeout=180s';
      await cluster.plane.kubectl([...rollout, 'status', 'daemonset/sallyport', patience]);
      await until(async () => (await podsOfSallyport(cluster)).length === 1, PATIENCE_MS);
      deepStrictEqual(await each(cluster, 'web', [`http://${WORLD}1/v1/x`]), ['200']);
      deepStrictEqual(await each(cluster, 'web', ['http://7.amazonaws.com/v1/x']), ['200']);
    });
  } finally {
    world.kill();
  }
}

async function checkOpen({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  await count.check('pods find names by the ClusterIP of kube-dns', async () => {
    await plane.kubectl(['create', 'namespace', 'shop']);
    const clients = ['web', 'other'].map((name) => clientPod(name, ['pause'], name));
    const objects = [...KUBE_DNS.map((one) => JSON.stringify(one)), ...clients];
    await plane.apply(objects.join('\n---\n'));
    await cluster.wait('kube-system', 'deployment/kube-dns', 'condition=Available');
    for (const name of ['web', 'other']) {
      await cluster.wait('shop', `pod/${name}`, 'condition=Ready');
      const look = async () => (await each(cluster, name, ['http://example.com/v2']))[0] === '200';
      await until(look, PATIENCE_MS);
    }
  });
}

async function checkTaught({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  await count.check(
    'kubectl apply: names that no rule has are refused, and addresses',
    async () => {
      await plane.apply(POLICIES);
      const isRefused = async (url: string) =>
        /^lost/.test((await each(cluster, 'web', [url]))[0] ?? '');
      await until(() => isRefused('http://example.com/v1/x'), PATIENCE_MS);
      await until(() => isRefused(`http://${WORLD}1/v1/x`), PATIENCE_MS);
      match((await each(cluster, 'web', ['http://example.com/']))[0] ?? '', /server misbehaving/);
    },
  );
  await count.check(`the first connection to each of ${COUNT} names is answered`, async () => {
    const urls = Array.from({ length: COUNT }, (_, i) => `http://${i + 10}.amazonaws.com/v1/x`);
    const said = await each(cluster, 'web', urls);
    deepStrictEqual(
      said,
      urls.map(() => '200'),
    );
  });
  await count.check('HTTP rules of the name hold, and its address alone is open', async () => {
    const said = await each(cluster, 'web', [
      ...['http://api.stripe.com/v1/x', 'http://api.stripe.com/v2', `http://${WORLD}1/v1/x`],
      ...[`http://${WORLD}254/v1/x`, 'http://a.b.amazonaws.com/v1/x'],
    ]);
    deepStrictEqual(said.slice(0, 3), ['200', '403', '200']);
    for (const one of said.slice(3)) match(one, /^lost/);
    strictEqual(said.length, 5);
  });
  await count.check('who may not ask kube-dns is told nothing', async () => {
    const [said = ''] = await each(cluster, 'other', ['http://api.github.com/v1/x']);
    ok(/^lost/.test(said), said);
  });
}

/** A host by the node's uplink, which answers at each address of the world. */
function startWorld(program: string) {
  for (const line of [
    'netns add world',
    'link set outside netns world',
    '-n world link set lo up',
    '-n world link set outside up',
    '-n world address add 192.168.77.1/24 dev outside',
    `-n world route add local ${WORLD}0/24 dev lo`,
    `-n world route add ${PODS} via ${NODE_IP}`,
  ]) {
    must(['ip', ...line.split(' ')]);
  }
  return spawn('nsenter', ['--net=/run/netns/world', program, 'serve', '80'], { stdio: 'inherit' });
}

/** The outcome of each URL, each by a connection of its own. */
async function each(
  cluster: Cluster,
  from: string,
  urls: readonly string[],
): Promise<readonly string[]> {
  return (await cluster.exec(`shop/${from}`, ['/pod', 'each', ...urls])).trim().split('\n');
}
