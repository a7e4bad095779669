/** Pods as a node would report them, without a node: with an address, and ready. */
import type { ControlPlane } from './control_plane.ts';

export interface PodFields {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly node?: string;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
}

/** Made, or changed, and running when it resolves. */
export async function putPod(cluster: ControlPlane, fields: PodFields): Promise<void> {
  const { namespace, name, ip, labels = {}, node = 'node-1', ports = [] } = fields;
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const containers = [{ name: 'main', image: 'example.test/main', ports }];
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    spec: { nodeName: node, containers, automountServiceAccountToken: false },
  };
  const made = await cluster.ask('POST', path, body);
  if (made.status !== 201) throw new Error(`${path}: ${JSON.stringify(made.object)}`);
  await patchStatus(cluster, `${path}/${name}`, {
    phase: 'Running',
    podIP: ip,
    podIPs: [{ ip }],
    conditions: [{ type: 'Ready', status: 'True' }],
  });
}

/** Nobody runs it, so nobody waits for its end. */
export async function deletePod(
  cluster: ControlPlane,
  { namespace, name }: Pick<PodFields, 'namespace' | 'name'>,
): Promise<void> {
  await cluster.ask('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}`, {
    gracePeriodSeconds: 0,
  });
}

export async function putNode(cluster: ControlPlane, name: string, ip: string): Promise<void> {
  await cluster.ask('POST', '/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  });
  await patchStatus(cluster, `/api/v1/nodes/${name}`, {
    addresses: [{ type: 'InternalIP', address: ip }],
  });
}

async function patchStatus(cluster: ControlPlane, path: string, status: object): Promise<void> {
  const type = 'application/merge-patch+json';
  const patched = await cluster.ask('PATCH', `${path}/status`, { status }, type);
  if (patched.status !== 200) throw new Error(`${path}: ${JSON.stringify(patched.object)}`);
}
