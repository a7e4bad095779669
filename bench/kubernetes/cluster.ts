/** A large cluster, made object by object as an API server would send it: nothing of it is kept here. */
import type { KubeKind } from '../../src/kube/kind.ts';
import { FakeKubeApi, type FakeObject } from '../../test/support/fake_kube_api.ts';

export interface ClusterSize {
  readonly nodes: number;
  readonly pods: number;
  readonly policies: number;
  readonly services: number;
}

/** The pod in front of which the proxy is, and one that may ask it, at addresses of this machine. */
export const API = { namespace: 'ns-0', name: 'bench-api', ip: '127.0.30.1', node: 'node-0' };
export const WEB = { namespace: 'ns-0', name: 'bench-web', ip: '127.0.30.2', node: 'node-1' };

const NAMESPACES = 200;
/** In each namespace. */
const APPS = 25;

const kindOf = (group: string, version: string, kind: string, isNamespaced: boolean): KubeKind => ({
  group,
  version,
  plural: kind.endsWith('y') ? `${kind.slice(0, -1)}ies`.toLowerCase() : `${kind}s`.toLowerCase(),
  kind,
  isNamespaced,
});

export const PODS = kindOf('', 'v1', 'Pod', true);
const NAMESPACE = kindOf('', 'v1', 'Namespace', false);
const NODES = kindOf('', 'v1', 'Node', false);
const SERVICES = kindOf('', 'v1', 'Service', true);
const SLICES = kindOf('discovery.k8s.io', 'v1', 'EndpointSlice', true);
export const CNPS = kindOf('cilium.io', 'v2', 'CiliumNetworkPolicy', true);
const EMPTY_KINDS = [
  kindOf('cilium.io', 'v2', 'CiliumClusterwideNetworkPolicy', false),
  kindOf('cilium.io', 'v2', 'CiliumCIDRGroup', false),
  kindOf('networking.k8s.io', 'v1', 'NetworkPolicy', true),
];

export async function startCluster(size: ClusterSize): Promise<FakeKubeApi> {
  const api = await FakeKubeApi.start({ bookmarkIntervalMs: 60_000 });
  const { nodes, pods, policies, services } = size;
  for (const kind of [PODS, NAMESPACE, NODES, SERVICES, SLICES, CNPS, ...EMPTY_KINDS]) {
    api.serve(kind);
  }
  api.generate(NAMESPACE, NAMESPACES, namespaceObject);
  api.generate(NODES, nodes, nodeObject);
  api.generate(PODS, pods, (i) => podObject(i, nodes));
  api.generate(SERVICES, services, serviceObject);
  api.generate(SLICES, services, (i) => sliceObject(i, pods));
  api.generate(CNPS, policies, policyObject);
  api.put(PODS, benchPod(API, 'bench-api'));
  api.put(PODS, benchPod(WEB, 'bench-web'));
  api.put(CNPS, benchPolicy('/ok'));
  return api;
}

/** Pod `i`; `life` counts how often it has been replaced: another name and address, the same labels. */
export function podObject(i: number, nodes: number, life = 0): FakeObject {
  const { namespace, app } = placeOf(i);
  const name = podName(i, life);
  const ip = addressOf(i, life);
  const node = `node-${i % nodes}`;
  const labels = {
    app,
    'app.kubernetes.io/name': app,
    'app.kubernetes.io/part-of': namespace,
    team: `team-${i % 20}`,
    'pod-template-hash': `${7_000_000 + life}`,
  };
  return podOf({ namespace, name, ip, node, labels });
}

export function podName(i: number, life = 0): string {
  return `${placeOf(i).app}-${7_000_000 + life}-${i}`;
}

export function podNamespace(i: number): string {
  return placeOf(i).namespace;
}

/** The policy in front of the proxy: one path is allowed to one client. */
export function benchPolicy(path: string): FakeObject {
  return {
    metadata: { namespace: API.namespace, name: 'bench-api', generation: 1 },
    spec: {
      endpointSelector: { matchLabels: { app: 'bench-api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'bench-web' } }],
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

export function benchPod(pod: typeof API, app: string): FakeObject {
  return podOf({ ...pod, labels: { app } });
}

interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** About as long as a pod of a Deployment is, with what manages its fields. */
function podOf({ namespace, name, ip, node, labels }: Pod): FakeObject {
  const time = '2026-01-01T00:00:00Z';
  const managed = (manager: string): object => ({
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    time,
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:metadata': { 'f:labels': { '.': {}, 'f:app': {}, 'f:pod-template-hash': {} } },
      'f:spec': {
        'f:containers': {
          'k:{"name":"main"}': { '.': {}, 'f:image': {}, 'f:ports': {}, 'f:resources': {} },
        },
      },
    },
  });
  return {
    metadata: {
      namespace,
      name,
      labels,
      creationTimestamp: time,
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: name.replace(/-\d+$/, ''), uid: 'x' },
      ],
      managedFields: [managed('kube-controller-manager'), managed('kubelet')],
    },
    spec: {
      nodeName: node,
      serviceAccountName: 'default',
      containers: [
        {
          name: 'main',
          image: `registry.example.test/${labels['app']}:1.2.3`,
          ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
          env: Array.from({ length: 12 }, (_, n) => ({ name: `VARIABLE_${n}`, value: `${n}` })),
          resources: { requests: { cpu: '100m', memory: '128Mi' } },
          volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/x', readOnly: true }],
        },
      ],
      volumes: [{ name: 'token', projected: { sources: [{ serviceAccountToken: {} }] } }],
      tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists' }],
    },
    status: {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      hostIP: '10.255.0.1',
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
        type,
        status: 'True',
        lastTransitionTime: time,
      })),
      containerStatuses: [{ name: 'main', ready: true, restartCount: 0, image: 'x', imageID: 'y' }],
    },
  };
}

function placeOf(i: number): { readonly namespace: string; readonly app: string } {
  const namespace = i % NAMESPACES;
  const app = Math.floor(i / NAMESPACES) % APPS;
  return { namespace: `ns-${namespace}`, app: `app-${app}` };
}

function addressOf(i: number, life: number): string {
  return `${10 + (life % 100)}.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
}

function namespaceObject(i: number): FakeObject {
  const name = `ns-${i}`;
  return {
    metadata: { name, labels: { 'kubernetes.io/metadata.name': name, team: `team-${i % 20}` } },
  };
}

function nodeObject(i: number): FakeObject {
  const address = `10.200.${i >> 8}.${i & 255}`;
  return {
    metadata: { name: `node-${i}`, labels: { 'topology.kubernetes.io/zone': `zone-${i % 3}` } },
    spec: { podCIDR: `10.${100 + (i >> 8)}.${i & 255}.0/24` },
    status: { addresses: [{ type: 'InternalIP', address }] },
  };
}

function serviceObject(i: number): FakeObject {
  const { namespace, app } = placeOf(i);
  return {
    metadata: { namespace, name: `${app}-${i}`, labels: { app } },
    spec: {
      type: 'ClusterIP',
      clusterIP: `10.96.${(i >> 8) & 255}.${i & 255}`,
      clusterIPs: [`10.96.${(i >> 8) & 255}.${i & 255}`],
      selector: { app },
      ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
    },
  };
}

function sliceObject(i: number, pods: number): FakeObject {
  const { namespace, app } = placeOf(i);
  const step = NAMESPACES * APPS;
  const members = Array.from({ length: 10 }, (_, n) => (i % step) + n * step).filter(
    (p) => p < pods,
  );
  return {
    metadata: {
      namespace,
      name: `${app}-${i}-x`,
      labels: { 'kubernetes.io/service-name': `${app}-${i}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: members.map((p) => ({
      addresses: [addressOf(p, 0)],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace, name: podName(p) },
    })),
  };
}

/** One app of a namespace may ask another one, some with what HTTP says. */
function policyObject(i: number): FakeObject {
  const namespace = i % NAMESPACES;
  const app = Math.floor(i / NAMESPACES) % APPS;
  const rules = {
    http: [
      { method: 'GET', path: `/api/v${i % 3}/.*` },
      { method: 'POST', path: `/orders/${i % 50}` },
    ],
  };
  const ports = [{ port: '8080', protocol: 'TCP' }];
  const other = { 'k8s:io.kubernetes.pod.namespace': `ns-${(namespace + 1) % NAMESPACES}` };
  return {
    metadata: { namespace: `ns-${namespace}`, name: `policy-${i}`, generation: 1 },
    spec: {
      endpointSelector: { matchLabels: { app: `app-${app}` } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: `app-${(app + 1) % APPS}` } }],
          toPorts: [i % 2 === 0 ? { ports, rules } : { ports }],
        },
        { fromEndpoints: [{ matchLabels: other }], toPorts: [{ ports }] },
      ],
      egress: [
        { toEndpoints: [{ matchLabels: { app: `app-${(app + 2) % APPS}` } }] },
        { toCIDR: [`192.0.${i % 256}.0/24`] },
      ],
    },
  };
}
