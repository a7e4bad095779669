/** What an answer about a cluster depends on besides it: the settings of its proxies, of a configuration, or the defaults. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { CLUSTER_KINDS } from '../../../src/control/source/kube/cluster_kinds.ts';
import { SECRET_KIND } from '../../../src/control/source/kube/named_secrets.ts';
import { type KubeKind, pathOf } from '../../../src/kube/kind.ts';
import { FakeCluster, mountedConfig } from '../../support/fake_cluster.ts';
import { testIo } from '../test_io.ts';

let cluster: FakeCluster;

const CONFIG_MAP: KubeKind = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  isNamespaced: true,
};

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.api.serve(CONFIG_MAP);
  for (const name of ['shop', 'guard']) cluster.namespace(name);
  cluster.pod('shop/orders', { ip: '10.0.0.1', labels: { app: 'orders', build: '7' } });
  cluster.pod('shop/web', { ip: '10.0.0.2', labels: { app: 'web', build: '7' } });
  const port = { ports: [{ port: '8080', protocol: 'TCP' }] };
  const key = { name: 'X-Key', secret: { namespace: 'shop', name: 'key' } };
  cluster.policy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'orders' },
    spec: {
      endpointSelector: { matchLabels: { app: 'orders' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.policy.cluster': 'prod' } }],
          toPorts: [port],
        },
        {
          fromEndpoints: [{ matchLabels: { app: 'web' } }],
          toPorts: [
            {
              ports: [{ port: '8081', protocol: 'TCP' }],
              rules: { http: [{ headerMatches: [key] }] },
            },
          ],
        },
      ],
    },
  });
});
afterEach(() => cluster.stop());

interface Deployed {
  readonly name: string;
  readonly config: string | null;
  readonly env?: readonly object[];
}

/** As the chart deploys it, with `nameOverride: guard`. */
function deploy({ name, config, env = [] }: Deployed): void {
  const labels = {
    'app.kubernetes.io/name': 'guard',
    'app.kubernetes.io/part-of': 'sallyport',
    'app.kubernetes.io/component': 'node',
  };
  const metadata = { namespace: 'guard', name: `${name}-x2x4z`, labels, uid: name };
  const volumes = [{ name: 'config', configMap: { name: `${name}-config` } }];
  cluster.api.put(CLUSTER_KINDS.Pod[0] as KubeKind, {
    metadata,
    spec: { nodeName: 'n1', hostNetwork: true, volumes, containers: [{ name: 'proxy', env }] },
    status: { phase: 'Running' },
  });
  if (config === null) return;
  cluster.api.put(CONFIG_MAP, {
    metadata: { namespace: 'guard', name: `${name}-config` },
    data: { 'config.yaml': config },
  });
}

async function run(argv: readonly string[]) {
  const io = testIo({ cwd: cluster.folder });
  const code = await runCommandLine(argv, io);
  const stderr = io.stderr.text.replace(/^.*the API server is asked without TLS\n/gm, '');
  return { code, stdout: io.stdout.text, stderr };
}

const ASKED = ['--endpoint', 'shop/orders', '--remote', 'shop/web', '--port', '8080'];
const KUBE = ['--kube', '--kubeconfig', 'kubeconfig'];
const PROD = { kubernetes: { clusterName: 'prod' } };
const LOCAL = { kubeconfig: 'kubeconfig' };

describe('--kube judges as the proxies of the cluster do', () => {
  const cases: readonly {
    about: string;
    deployed: readonly Deployed[];
    code: number;
    stderr: string;
  }[] = [
    { about: 'none are there', deployed: [], code: 1, stderr: '' },
    {
      about: 'with their settings',
      deployed: [{ name: 'a', config: mountedConfig(PROD) }],
      code: 0,
      stderr: 'sallyport: judged as ConfigMap guard/a-config says\n',
    },
    {
      about: 'with what their environment says',
      deployed: [
        {
          name: 'a',
          config: mountedConfig({ kubernetes: {} }),
          env: [
            { name: 'SALLYPORT_KUBERNETES_CLUSTER_NAME', value: 'prod' },
            { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
          ],
        },
      ],
      code: 0,
      stderr: 'sallyport: judged as ConfigMap guard/a-config says\n',
    },
    {
      about: 'two that agree',
      deployed: [
        { name: 'a', config: mountedConfig(PROD) },
        { name: 'b', config: mountedConfig({ ...PROD, workers: 2 }) },
      ],
      code: 0,
      stderr: 'sallyport: judged as ConfigMap guard/a-config says\n',
    },
    {
      about: 'files are where they are',
      deployed: [{ name: 'a', config: mountedConfig({ ...PROD, policies: ['/etc/policies/'] }) }],
      code: 0,
      stderr: 'judged as ConfigMap guard/a-config says, without the files that it names\n',
    },
    {
      about: 'two that differ',
      deployed: [
        { name: 'a', config: mountedConfig(PROD) },
        { name: 'b', config: mountedConfig({ kubernetes: {} }) },
      ],
      code: 1,
      stderr:
        'judged by default settings, as those of the proxies there are not known (there are several: ConfigMap guard/a-config and ConfigMap guard/b-config differ); -c CONFIG says them\n',
    },
    {
      about: 'a ConfigMap that is gone',
      deployed: [{ name: 'a', config: null }],
      code: 1,
      stderr: 'not known (ConfigMap guard/a-config has no config.yaml)',
    },
    {
      about: 'one of a newer version',
      deployed: [{ name: 'a', config: mountedConfig({ ...PROD, newer: 1 }) }],
      code: 1,
      stderr: 'not known (ConfigMap guard/a-config cannot be read by this version (config.yaml:1:',
    },
    {
      about: 'proxies that take policy from files',
      deployed: [{ name: 'a', config: mountedConfig({ policies: ['p'] }) }],
      code: 1,
      stderr: '',
    },
  ];
  it.each(cases)('$about', async ({ deployed, code, stderr }) => {
    for (const one of deployed) deploy(one);
    const found = await run(['explain', ...KUBE, ...ASKED]);
    const notes = found.stderr.replace(/^shop\/.*\n/gm, '');
    expect({ code: found.code, notes }).toEqual({
      code,
      notes: stderr === '' ? '' : expect.stringContaining(stderr),
    });
    expect(notes.split('\n').length).toBeLessThanOrEqual(2);
  });

  it('and says when their ConfigMap may not be read', async () => {
    deploy({ name: 'a', config: mountedConfig(PROD) });
    const forbidden = { kind: 'status', code: 403, reason: 'Forbidden', message: 'no' } as const;
    const ofMaps = pathOf(CONFIG_MAP, 'guard');
    cluster.api.fault(({ path }) => path === ofMaps, forbidden, Number.POSITIVE_INFINITY);
    const { code, stderr } = await run(['explain', ...KUBE, ...ASKED]);
    expect(code).toBe(1);
    expect(stderr).toContain('not known (ConfigMap guard/a-config cannot be read (no))');
  });
});

describe('-c CONFIG asks the cluster that it names, as run would', () => {
  const explain = ['explain', '-c', 'config.yaml'];

  it('with its access, its settings, and nothing of the proxies there', async () => {
    deploy({ name: 'a', config: mountedConfig({ kubernetes: {} }) });
    cluster.file('config.yaml', mountedConfig({ kubernetes: { ...LOCAL, clusterName: 'prod' } }));
    const { code, stderr } = await run([...explain, ...ASKED]);
    expect({ code, isTold: stderr.includes('judged') }).toEqual({ code: 0, isTold: false });
    cluster.file('config.yaml', mountedConfig({ kubernetes: LOCAL }));
    expect(await run([...explain, ...ASKED])).toMatchObject({ code: 1 });
  });

  it('by the access of flags, where they are given', async () => {
    cluster.file(
      'config.yaml',
      mountedConfig({ kubernetes: { clusterName: 'prod', context: 'none' } }),
    );
    expect(await run([...explain, ...KUBE, ...ASKED])).toMatchObject({ code: 0 });
  });

  it('with its kinds of policy alone', async () => {
    const policyKinds = ['NetworkPolicy'];
    cluster.file('config.yaml', mountedConfig({ kubernetes: { ...LOCAL, policyKinds } }));
    const { code, stdout } = await run([...explain, ...ASKED]);
    expect(code).toBe(0);
    expect(stdout).not.toContain('shop/orders-');
  });

  it('with its labels', async () => {
    cluster.pod('shop/web-2', { ip: '10.0.0.3', labels: { app: 'web', build: '8' } });
    const asked = ['--endpoint', 'shop/orders', '--label', 'app=web', '--port', '8080'];
    const labels = ['k8s:app', 'k8s:io.kubernetes.pod.namespace', 'k8s:io.cilium.k8s.policy'];
    const kubernetes = { ...LOCAL, labels, clusterName: 'prod' };
    cluster.file('config.yaml', mountedConfig({ kubernetes }));
    const { stdout } = await run([...explain, ...asked, '-o', 'json']);
    expect(stdout).not.toContain('build');
  });

  it('with secrets where it reads them', async () => {
    const copied = {
      'secretsync.cilium.io/owning-secret-namespace': 'shop',
      'secretsync.cilium.io/owning-secret-name': 'key',
    };
    cluster.api.put(SECRET_KIND, {
      metadata: { namespace: 'cilium-secrets', name: 'shop-key', labels: copied },
      data: { value: Buffer.from('open').toString('base64') },
    });
    const asked = ['--endpoint', 'shop/orders', '--remote', 'shop/web', '--port', '8081'];
    const request = [...asked, '--path', '/', '-H', 'X-Key: open'];
    const secretsNamespace = 'cilium-secrets';
    cluster.file('config.yaml', mountedConfig({ kubernetes: { ...LOCAL, secretsNamespace } }));
    expect(await run([...explain, ...request])).toMatchObject({ code: 0 });
    cluster.file('config.yaml', mountedConfig({ kubernetes: LOCAL }));
    expect(await run([...explain, ...request])).toMatchObject({ code: 1 });
  });

  it('with the files that it names, and files of -p laid over both', async () => {
    const deny = { ingressDeny: [{ fromEntities: ['all'] }] };
    const policy = (rules: object): string =>
      JSON.stringify({
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: { namespace: 'shop', name: 'beside' },
        spec: { endpointSelector: { matchLabels: { app: 'orders' } }, ...rules },
      });
    cluster.file('beside.yaml', policy(deny));
    cluster.file('open.yaml', policy({ ingress: [{}] }));
    const kubernetes = { ...LOCAL, clusterName: 'prod' };
    cluster.file('config.yaml', mountedConfig({ kubernetes, policies: ['beside.yaml'] }));
    expect(await run([...explain, ...ASKED])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('shop/beside'),
    });
    expect(await run([...explain, '-p', 'open.yaml', ...ASKED])).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining('sallyport:'),
    });
    const checked = await run(['check', '-c', 'config.yaml', '-p', 'open.yaml']);
    expect(checked.stdout).toContain('1 policies of the cluster and 2 files');
    expect(checked.stdout).toContain('config.yaml: would start');
    expect(checked.stdout).toContain(
      'What would change: replaced: CiliumNetworkPolicy shop/beside',
    );
  });

  it('for the cases of test files, too', async () => {
    const request = { endpoint: 'orders', remote: 'web', port: 8080 };
    cluster.file('x.test.yaml', JSON.stringify({ cases: [{ request, expect: 'allow' }] }));
    cluster.file('config.yaml', mountedConfig({ kubernetes: { ...LOCAL, clusterName: 'prod' } }));
    expect(await run(['test', '-c', 'config.yaml', 'x.test.yaml'])).toMatchObject({ code: 0 });
  });

  it('and tells of its files when they cannot be in force', async () => {
    cluster.file('beside.yaml', '{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy"}');
    cluster.file('config.yaml', mountedConfig({ kubernetes: LOCAL, policies: ['beside.yaml'] }));
    const asked = await run([...explain, ...ASKED]);
    expect(asked).toMatchObject({ code: 2, stdout: '' });
    expect(asked.stderr).toContain('explain: the policy set is rejected: ');
    const checked = await run(['check', '-c', 'config.yaml']);
    expect(checked).toMatchObject({ code: 1 });
    expect(checked.stdout).toContain('config.yaml: would not start');
  });
});
