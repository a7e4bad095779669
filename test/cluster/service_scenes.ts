/**
 * Services at the socket in a cluster: dialled by pods at each of their addresses, judged by the pods behind them,
 * while backends and Sallyport are replaced.
 */
import { match, notStrictEqual, ok, strictEqual } from 'node:assert';
import { join } from 'node:path';
import { until } from '../support/until.ts';
import { API_ADDRESSES, NODE_IP, unifiedFolder } from './machine.ts';
import type { Cluster } from './node.ts';
import {
  answers,
  clientPod,
  logs,
  PATIENCE_MS,
  POD_IMAGE,
  podsOfSallyport,
  type Scene,
  status,
  underLoad,
} from './scenes.ts';

const ORDERS = { clusterIP: '10.96.1.1', nodePort: 30_080 };
const DNS = { clusterIP: '10.96.0.10', nodePort: 30_053 };
const BY_CLUSTER_IP = `http://${ORDERS.clusterIP}/orders/1`;
const BY_NODE_PORT = `http://${NODE_IP}:${ORDERS.nodePort}/orders/1`;
const DNS_ADDRESSES = [`${DNS.clusterIP}:53`, `${NODE_IP}:${DNS.nodePort}`];

/** For Helm. The programs reach what is in that cgroup alone. */
export function servicesValues(cgroup: string, kubeProxy: string | null): readonly string[] {
  const folder = unifiedFolder(cgroup);
  // As the page says for a cluster without kube-proxy.
  const { ip, port } = API_ADDRESSES.translated;
  const api = [
    `extraEnv[0].name=KUBERNETES_SERVICE_HOST,extraEnv[0].value=${ip}`,
    `extraEnv[1].name=KUBERNETES_SERVICE_PORT,extraEnv[1].value=${port}`,
  ];
  const values = ['config.redirect.services=socket', `cgroup.hostPath=${folder}`];
  const given = ['--set', [...values, 'netns.enter=true'].join(',')];
  return kubeProxy === null ? [...given, '--set-string', api.join(',')] : given;
}

/** Who serves goes on for some seconds after its end has begun, as whoever is behind a Service should. */
function deployment(name: string): string {
  return JSON.stringify({
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'shop' } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 10,
          automountServiceAccountToken: false,
          containers: [
            {
              ...{
                name: 'main',
                image: POD_IMAGE,
                imagePullPolicy: 'Never',
                args: ['serve', '8080'],
              },
              readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
              lifecycle: { preStop: { sleep: { seconds: 4 } } },
            },
          ],
        },
      },
    },
  });
}

function service(
  name: string,
  { clusterIP, nodePort }: typeof ORDERS,
  port: { readonly port: number; readonly protocol: string },
): string {
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' } },
    spec: {
      ...{ type: 'NodePort', clusterIP, selector: { app: name } },
      ports: [{ ...port, targetPort: 8080, nodePort }],
    },
  });
}

/** Of pods only: no policy says anything of the address or the port of a Service. */
const POLICIES = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: orders, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: orders } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }, { matchLabels: { app: lost } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: /orders/.* }] }
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  egress:
    - toEndpoints: [{ matchLabels: { app: orders } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }] }]
    - toEndpoints: [{ matchLabels: { app: dns } }]
      toPorts: [{ ports: [{ port: "8080", protocol: UDP }] }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: lost, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: lost } }
  egress: [{ toEndpoints: [{ matchLabels: { app: nobody } }] }]
`;

export async function checkServices(scene: Scene): Promise<void> {
  await checkDialled(scene);
  await checkJudged(scene);
  await checkReplaced(scene);
}

async function checkDialled({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  await count.check('pods dial ClusterIP and NodePort, by TCP and UDP', async () => {
    await plane.kubectl(['create', 'namespace', 'shop']);
    const objects = [
      ...[deployment('orders'), deployment('dns')],
      service('orders', ORDERS, { port: 80, protocol: 'TCP' }),
      service('dns', DNS, { port: 53, protocol: 'UDP' }),
      ...['web', 'other', 'lost'].map((name) => clientPod(name, ['pause'], name)),
    ];
    await plane.apply(objects.join('\n---\n'));
    for (const name of ['orders', 'dns'])
      await cluster.wait('shop', `deployment/${name}`, 'condition=Available');
    for (const name of ['web', 'other', 'lost'])
      await cluster.wait('shop', `pod/${name}`, 'condition=Ready');
    for (const name of ['web', 'other', 'lost']) {
      for (const url of [BY_CLUSTER_IP, BY_NODE_PORT])
        await answers(cluster, name, 'DELETE', url, '200');
      for (const address of DNS_ADDRESSES) await isAnswered(cluster, name, address);
    }
  });
  await count.check('they are translated at their sockets, all of them', async () => {
    const status = await inLoader(cluster, ['sallyport', 'redirect', 'status', '-c', CONFIG]);
    match(status, /services +\d+ addresses, \d+ backends/);
    ok(!/not translated/.test(status), status);
    const connected = Number(/connected\W+(\d+)/.exec(status)?.[1] ?? 0);
    ok(connected >= 12, status);
  });
}

async function checkJudged({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  await count.check('policy about pods holds, by ClusterIP and by NodePort', async () => {
    await plane.apply(POLICIES);
    for (const url of [BY_CLUSTER_IP, BY_NODE_PORT]) {
      await answers(cluster, 'web', 'DELETE', url, '403');
      strictEqual(await status(cluster, 'web', 'GET', url), '200');
      for (const name of ['other', 'lost']) {
        await until(async () => /^lost/.test(await status(cluster, name, 'GET', url)), PATIENCE_MS);
      }
    }
    for (const address of DNS_ADDRESSES) {
      await isAnswered(cluster, 'web', address);
      await isAnswered(cluster, 'other', address);
      const said = async () => await talk(cluster, 'lost', address);
      await until(async () => /^lost/.test(await said()), PATIENCE_MS);
    }
  });
}

async function checkReplaced({ cluster, count }: Scene): Promise<void> {
  const { plane } = cluster;
  const rollout = async (namespace: string, what: string): Promise<void> => {
    await plane.kubectl(['-n', namespace, 'rollout', 'restart', what]);
    await plane.kubectl(['-n', namespace, 'rollout', 'status', what, '--timeout=180s']);
  };
  await count.check('a rollout of the backends under load: no new connection fails', async () => {
    await plane.apply(clientPod('load', ['load', BY_CLUSTER_IP, 'new'], 'web'));
    const before = await names(cluster, 'orders');
    await underLoad(cluster, 'load', async () => {
      await rollout('shop', 'deployment/orders');
      // Those before have ended, not only begun to.
      const gone = async () =>
        (await names(cluster, 'orders')).every((one) => !before.includes(one));
      await until(gone, PATIENCE_MS);
    });
  });
  await count.check('a rollout of Sallyport under load: Services go on', async () => {
    await underLoad(cluster, 'load', async () => {
      await rollout('sallyport', 'daemonset/sallyport');
      await until(async () => (await podsOfSallyport(cluster)).length === 1, PATIENCE_MS);
    });
  });
  await count.check('a connected UDP socket whose backend is gone finds another one', async () => {
    const [address = ''] = DNS_ADDRESSES;
    await plane.apply(clientPod('held', ['hold', address], 'web'));
    const last = async () =>
      (await logs(cluster, 'held').catch(() => '')).trim().split('\n').at(-1) ?? '';
    await until(async () => /^dns-/.test(await last()), PATIENCE_MS);
    const had = await last();
    await plane.kubectl(['-n', 'shop', 'delete', 'pod', had]);
    await until(async () => {
      const now = await last();
      return /^dns-/.test(now) && now !== had;
    }, PATIENCE_MS);
    notStrictEqual(await last(), had);
    console.log(`      ${(await logs(cluster, 'held')).trim().replaceAll('\n', '; ')}`);
  });
}

const CONFIG = '/etc/sallyport/config.yaml';

async function inLoader(cluster: Cluster, command: readonly string[]): Promise<string> {
  const [name = ''] = await podsOfSallyport(cluster);
  // `status` has an exit code for problems of any kind.
  const said = ['sh', '-c', `${command.join(' ')} || true`];
  return await cluster.exec(join('sallyport', name), said, 'datapath');
}

async function names(cluster: Cluster, app: string): Promise<readonly string[]> {
  const path = ['-l', `app=${app}`, '-o', 'jsonpath={.items[*].metadata.name}'];
  return (await cluster.plane.kubectl(['-n', 'shop', 'get', 'pods', ...path])).split(' ');
}

async function talk(cluster: Cluster, from: string, address: string): Promise<string> {
  return (await cluster.exec(`shop/${from}`, ['/pod', 'talk', address])).trim();
}

async function isAnswered(cluster: Cluster, from: string, address: string): Promise<void> {
  await until(async () => /^dns-/.test(await talk(cluster, from, address)), PATIENCE_MS);
}
