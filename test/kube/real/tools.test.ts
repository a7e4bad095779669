/** The tools ask a real API server what kubectl has put there, as whoever may and may not. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../../cli/test_io.ts';
import { type Account, ControlPlane } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';

let cluster: ControlPlane;
let nobody: Account;
let reader: Account;

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: orders, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: orders } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/orders/[0-9]+(\\\\?.*)?" }] }
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: broken, namespace: default }
spec: { endpointSelector: {}, ingres: [] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: default }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

beforeAll(async () => {
  cluster = await ControlPlane.start({ store: 'kine' });
  await cluster.applyDefinitions(OPEN_DEFINITIONS);
  await cluster.apply(OBJECTS);
  const pods = { 'orders-7d9f8c6b5-x2x4z': '10.0.0.1', 'web-5f6b7c8d9-zzzzz': '10.0.0.2' };
  for (const account of ['default']) {
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { namespace: 'shop', name: account },
      }),
    );
  }
  for (const [name, ip] of Object.entries(pods)) await pod(name, ip);
  nobody = await cluster.account('tests/nobody');
  const policies = ['cilium.io', 'networking.k8s.io', 'policy.networking.k8s.io'];
  reader = await cluster.account('tests/reader', [
    { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['list'] },
    { apiGroups: policies, resources: ['*'], verbs: ['list'] },
  ]);
});

afterAll(() => cluster.stop());

async function pod(name: string, ip: string): Promise<void> {
  const [app = ''] = name.split('-');
  const metadata = { namespace: 'shop', name, labels: { app } };
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] };
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec }));
  const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }] };
  const path = `/api/v1/namespaces/shop/pods/${name}/status`;
  await cluster.ask('PATCH', path, { status }, 'application/merge-patch+json');
}

async function run(argv: readonly string[], kubeconfig = cluster.kubeconfig) {
  const io = testIo({ cwd: cluster.folder, env: { KUBECONFIG: kubeconfig } });
  const code = await runCommandLine([...argv, '--kube'], io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

const ASKED = ['explain', '--endpoint', 'shop/orders', '--remote', 'shop/web', '--port', '8080'];

describe('what kubectl has put into a cluster', () => {
  it('is what explain answers for, and it follows what is applied', async () => {
    const request = [...ASKED, '-X', 'GET', '--path', '/orders/42'];
    expect(await run(request)).toMatchObject({ code: 0 });
    expect(await run([...ASKED, '-X', 'DELETE', '--path', '/orders/42'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('method DELETE is not GET'),
    });
    await cluster.kubectl([
      '-n',
      'shop',
      'label',
      'pod',
      'web-5f6b7c8d9-zzzzz',
      'app=other',
      '--overwrite',
    ]);
    expect(await run(request)).toMatchObject({ code: 1 });
    await cluster.kubectl([
      '-n',
      'shop',
      'label',
      'pod',
      'web-5f6b7c8d9-zzzzz',
      'app=web',
      '--overwrite',
    ]);
  });

  it('is checked, each object alone', async () => {
    const { code, stdout } = await run(['check']);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'error: CiliumNetworkPolicy default/broken: spec.ingres: unknown field',
    );
    expect(stdout).toContain('3 policies of the cluster: 2 errors, 1 warnings, 0 notes');
  });

  it('is what files are laid over', async () => {
    const denied =
      'spec: { endpointSelector: { matchLabels: { app: orders } }, ingress: [{ fromEntities: [none] }] }';
    const head =
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: orders, namespace: shop }\n';
    writeFileSync(join(cluster.folder, 'new.yaml'), `${head}${denied}\n`);
    const { stdout } = await run(['check', '-n', 'shop', '-p', 'new.yaml']);
    expect(stdout).toContain('What would change: replaced: CiliumNetworkPolicy shop/orders');
    expect(stdout).toContain(
      'judged by rules -> denied on TCP 8080: from shop/web-5f6b7c8d9-zzzzz',
    );
  });

  it('is told by status, without proxies', async () => {
    const { code, stdout } = await run(['status']);
    expect(code).toBe(1);
    expect(stdout).toContain('no: no pod has the labels app.kubernetes.io/part-of=sallyport');
    expect(stdout).toMatch(
      /policies +2: 0 in force, 0 refused, 2 of which no proxy has said anything/,
    );
  });
});

describe('who may not read all of it', () => {
  it('gets no answer when policies are missing', async () => {
    const { code, stdout, stderr } = await run(ASKED, nobody.kubeconfig);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('does not let us list ciliumnetworkpolicies');
    expect(stderr).toContain('User "system:serviceaccount:tests:nobody" cannot list');
  });

  it('gets one when only nodes and services are, and is told', async () => {
    const { code, stderr } = await run(ASKED, reader.kubeconfig);
    expect(code).toBe(0);
    for (const kind of ['endpointslices', 'nodes', 'services']) {
      expect(stderr).toContain(`${kind} cannot be read`);
    }
  });
});
