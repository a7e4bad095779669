/** What deploy/ installs, in a real API server: the rights are those that a proxy asks for, and the kinds are served. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { ROOT } from '../../workers/running.ts';
import { ClusterProxy } from './parts/cluster_proxy.ts';
import { ControlPlane } from './parts/control_plane.ts';
import { putNode, putPod } from './parts/pods.ts';

const API = '127.0.21.1';
const WEB = '127.0.21.2';
const PATIENCE_MS = 150_000;
/** A right of each role that it has. */
const ROLES = [
  { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: ['sallyport-report'],
    verbs: ['get'],
  },
];

describe('the overlay for clusters without Cilium', () => {
  let cluster: ControlPlane;
  let proxy: ClusterProxy;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store: 'kine', hasControllers: true });
    const overlay = join(ROOT, 'deploy/kustomize/overlays/cluster');
    await cluster.apply(await cluster.kubectl(['kustomize', overlay]));
    await putNode(cluster, 'node-1', '127.0.0.9');
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await putPod(cluster, { namespace: 'shop', name: 'api', ip: API, labels: { app: 'api' } });
    await putPod(cluster, { namespace: 'shop', name: 'web', ip: WEB, labels: { app: 'web' } });
    for (const rule of ROLES)
      await until(() => cluster.may('sallyport/sallyport', rule, 'sallyport'));
    const token = await cluster.token('sallyport/sallyport');
    proxy = await ClusterProxy.start({
      kubeconfig: cluster.kubeconfigFor({ kind: 'token', token }),
      destination: `${API}:8080`,
      kubernetes: { reportNamespace: 'sallyport' },
    });
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  it('gives a proxy all rights that it asks for: nothing is forbidden to it', async () => {
    await cluster.apply(policy('GET'));
    await proxy.answers(WEB, '/ok', 200);
    await proxy.answers(WEB, '/other', 403);
    await until(async () => (await shown()).includes('True'), PATIENCE_MS);
    // Valid by its schema, and no expression.
    await cluster.apply(policy('G('));
    await until(async () => (await shown()).includes('False'), PATIENCE_MS);
    const events = ['-n', 'shop', 'get', 'events'];
    await until(async () => (await cluster.kubectl(events)).includes('PolicyRefused'), PATIENCE_MS);
    expect(await proxy.ask(WEB, '/ok')).toBe(200);
    const forbidden = cluster.audit
      .requests()
      .filter(({ user, code }) => user.endsWith(':sallyport:sallyport') && code === 403)
      .map(({ verb, uri }) => `${verb} ${uri}`);
    expect(forbidden).toEqual([]);
  });

  /** "NAME AGE VALID". */
  function shown(): Promise<string> {
    return cluster.kubectl(['-n', 'shop', 'get', 'cnp', 'api']);
  }
});

function policy(method: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: "${method}", path: /ok }] }
`;
}
