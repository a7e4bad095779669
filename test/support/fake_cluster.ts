/** A small cluster behind a scriptable API server, and a kubeconfig for it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_KINDS, clusterKindsOf } from '../../src/control/source/kube/cluster_kinds.ts';
import { SECRET_KIND } from '../../src/control/source/kube/named_secrets.ts';
import { POLICY_KUBE_KINDS } from '../../src/control/source/kube/policy_queue.ts';
import type { KubeKind } from '../../src/kube/kind.ts';
import { POLICY_KINDS, type PolicyKindName } from '../../src/model/kube_policy_kinds.ts';
import { FakeKubeApi } from './fake_kube_api.ts';

export interface FakePod {
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
}

export class FakeCluster {
  readonly api: FakeKubeApi;
  /** Its files are where a command runs. */
  readonly folder: string;

  private constructor(api: FakeKubeApi) {
    this.api = api;
    this.folder = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'));
    for (const kind of KINDS) api.serve(kind);
    this.file(
      'kubeconfig',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'c', cluster: { server: api.url } }],
        users: [{ name: 'u', user: { token: 'secret' } }],
        contexts: [{ name: 'test', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
      }),
    );
  }

  static async start(): Promise<FakeCluster> {
    return new FakeCluster(await FakeKubeApi.start());
  }

  async stop(): Promise<void> {
    await this.api.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  file(name: string, text: string): string {
    writeFileSync(join(this.folder, name), text);
    return name;
  }

  namespace(name: string): void {
    this.api.put(CLUSTER_KINDS.Namespace[0] as KubeKind, {
      metadata: { name, labels: { 'kubernetes.io/metadata.name': name } },
    });
  }

  /** `name`: "namespace/name". */
  pod(name: string, { ip, labels, ports = [] }: FakePod): void {
    const [namespace = '', own = ''] = name.split('/');
    this.api.put(CLUSTER_KINDS.Pod[0] as KubeKind, {
      metadata: { namespace, name: own, labels, uid: `uid of ${name}` },
      spec: { nodeName: 'n1', containers: [{ name: 'c', ports }] },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
    });
  }

  /** An object as `kubectl apply` would take it. */
  policy(object: object): void {
    const { kind, metadata } = object as { kind: PolicyKindName; metadata: { name: string } };
    this.api.put(policyKind(kind), { ...object, metadata });
  }

  /** `name`: "namespace/name". */
  secret(name: string, value: string): void {
    const [namespace = '', own = ''] = name.split('/');
    const data = { value: Buffer.from(value).toString('base64') };
    this.api.put(SECRET_KIND, { metadata: { namespace, name: own }, data });
  }
}

/** A configuration as the chart mounts it. */
export function mountedConfig(fields: object): string {
  const listener = {
    ...{ name: 'redirected', address: '127.0.0.1:15001', direction: 'by-record' },
    ...{ destination: 'local-address', upstream: 'original-destination' },
    identity: ['redirect-record'],
  };
  return JSON.stringify({ listeners: [listener], ...fields });
}

export function policyKind(name: PolicyKindName): KubeKind {
  return POLICY_KUBE_KINDS[name][0] as KubeKind;
}

/** Not all that a cluster may have: v2alpha1 of CIDR groups, and ClusterNetworkPolicy. */
const KINDS: readonly KubeKind[] = [
  ...POLICY_KINDS.filter((name) => name !== 'ClusterNetworkPolicy').map(policyKind),
  ...clusterKindsOf('own').map((name) => CLUSTER_KINDS[name][0] as KubeKind),
  SECRET_KIND,
];
