/**
 * The manifests of deploy/, as far as they can be checked without a cluster: rendered by kustomize and Helm,
 * decoded, completed and validated by Kubernetes' own code (validate/main.go), compared with each other,
 * and held against what docs/deployment.md says of rights.
 *
 *     node test/deploy/manifests.ts
 *
 * Builds its tools with Go ($GO, or `go`), and fails when there is none. The last line is the sum:
 * "N passed, N failed".
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parse } from 'yaml';
import {
  CHART,
  Count,
  documentsOf,
  goCommand,
  goTool,
  KUSTOMIZE_FOLDER,
  type Manifest,
  must,
  ROOT,
  run,
} from './tools.ts';

interface Checked {
  readonly kind: string;
  readonly name: string;
  readonly problems: readonly string[];
  readonly podSecurity?: Readonly<Record<string, readonly string[]>>;
  readonly object: Manifest;
}

/** `helm template` knows no cluster; this is the version that it is to think of. */
const KUBE_VERSION = '1.34.0';
const NAME_RULES = 'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy';
const SALLYPORT = join(ROOT, 'bin/sallyport');
const CGROUP = '/run/sallyport/cgroup';

/** All that any container may be given, and which one is. */
const CAPABILITIES: Readonly<Record<string, readonly string[]>> = {
  'prepare-node': [],
  datapath: ['BPF', 'NET_ADMIN', 'PERFMON'],
  proxy: ['BPF', 'NET_RAW', 'SETGID', 'SETUID'],
  metrics: [],
};

/** No right in the cluster, and nothing in it besides. */
const FILES_ALONE = { kubernetes: { enabled: false }, crds: { install: false } } as const;

/** Values that the README treats as one. */
const WHOLE =
  /^(config|nodeSelector|(policies|endpoints)\.files|resources\.\w+|admission\.(resources|nodeSelector))$/;

/** All that anybody of ours may do in a cluster, by the name of the role: RESOURCE.GROUP[/NAME]: VERBS. */
const READ_RIGHTS = {
  'ClusterRole sallyport-node': [
    'namespaces, nodes, pods, services: list, watch',
    'endpointslices.discovery.k8s.io: list, watch',
    'ciliumcidrgroups, ciliumclusterwidenetworkpolicies, ciliumnetworkpolicies.cilium.io: list, watch',
    'networkpolicies.networking.k8s.io: list, watch',
    'clusternetworkpolicies.policy.networking.k8s.io: list, watch',
  ],
} as const;
const CLUSTER_RIGHTS = {
  ...READ_RIGHTS,
  'ClusterRole sallyport-report': [
    'ciliumclusterwidenetworkpolicies/status, ciliumnetworkpolicies/status.cilium.io: patch',
    'events: create, patch',
  ],
  'Role sallyport/sallyport-report': ['leases.coordination.k8s.io/sallyport-report: get, patch'],
} as const;
const ADMISSION_RIGHTS = {
  'ClusterRole sallyport-admission': [
    'validatingwebhookconfigurations.admissionregistration.k8s.io/sallyport-policies: get, patch',
  ],
  'Role sallyport/sallyport-admission': ['secrets/sallyport-admission: get, patch'],
} as const;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-deploy-'));
const count = new Count();
try {
  await main();
} catch (error) {
  count.failed += 1;
  console.error(`deploy: ${error instanceof Error ? error.message : error}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
count.finish();

async function main(): Promise<void> {
  const kustomize = goTool('kustomize', folder);
  const helm = goTool('helm', folder);
  const validate = join(folder, 'validate');
  must([goCommand(), 'build', '-o', validate, '.'], { cwd: join(ROOT, 'test/deploy/validate') });

  const check = (text: string): readonly Checked[] =>
    must([validate], { input: text })
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Checked);
  const built = (path: string) => must([kustomize, 'build', join(KUSTOMIZE_FOLDER, path)]);
  const template = (values: Manifest = {}) => {
    const file = join(folder, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    return run([
      ...[helm, 'template', 'sallyport', CHART, '--namespace', 'sallyport'],
      ...['--kube-version', KUBE_VERSION, '--values', file, '--api-versions', NAME_RULES],
    ]);
  };
  const rendered = (values: Manifest = {}): string => {
    const { code, stdout, stderr } = template(values);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };

  const files = fileValues();
  const sets = new Map<string, string>([
    ['kustomize base', built('base')],
    ['kustomize example', built('overlays/example')],
    ['kustomize cluster', built('overlays/cluster')],
    ['kustomize cluster with admission', built(overlayOf('admission', ['cluster', 'admission']))],
    ['chart', rendered()],
    ['chart with files alone', rendered(files)],
    ['chart with the values of the example', rendered(exampleValues())],
    ['chart with admission', rendered({ admission: { enabled: true } })],
    ['chart with every value', rendered(everyValue())],
    ['chart with every value of a cluster', rendered(everyClusterValue())],
    ['kustomize with Services at the socket', built(servicesOverlay())],
    ['chart with Services at the socket', rendered({ ...files, ...socketValues(files) })],
  ]);
  for (const [name, text] of sets) await checkSet(name, check(text));
  const effect = (name: string): readonly Checked[] => check(sets.get(name) ?? '');
  await checkEqual(effect('kustomize base'), effect('chart with files alone'), 'kustomize base');
  await checkEqual(
    effect('kustomize example'),
    effect('chart with the values of the example'),
    'kustomize example',
  );
  await checkEqual(
    effect('kustomize cluster'),
    check(rendered({ image: { repository: 'registry.example/sallyport' } })),
    'kustomize overlay of a cluster',
  );
  await checkEqual(
    effect('kustomize cluster with admission'),
    check(rendered({ crds: { install: false }, admission: { enabled: true } })),
    'kustomize component of the webhook',
  );
  await checkEqual(
    effect('kustomize with Services at the socket'),
    effect('chart with Services at the socket'),
    'kustomize component of Services',
  );
  await checkCgroup(rendered);
  await checkNetns(rendered);
  await checkRights('chart with files alone', effect('chart with files alone'), {});
  await checkRights('chart', effect('chart'), CLUSTER_RIGHTS);
  await checkRights('chart with admission', effect('chart with admission'), {
    ...CLUSTER_RIGHTS,
    ...ADMISSION_RIGHTS,
  });
  await checkRights('chart without a report', check(rendered({ kubernetes: { report: false } })), {
    ...READ_RIGHTS,
  });
  const kinds = ['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'CiliumNetworkPolicy'];
  const choice = { config: { kubernetes: { policyKinds: kinds, identities: 'cilium' } } };
  await checkRights(
    'chart with kinds of choice',
    check(rendered({ ...choice, kubernetes: { report: false } })),
    {
      'ClusterRole sallyport-node': [
        'namespaces, nodes, pods, services: list, watch',
        'endpointslices.discovery.k8s.io: list, watch',
        'ciliumnetworkpolicies.cilium.io: list, watch',
        'adminnetworkpolicies, baselineadminnetworkpolicies.policy.networking.k8s.io: list, watch',
        'ciliumendpoints, ciliumendpointslices, ciliumidentities, ciliumnodes.cilium.io: list, watch',
      ],
    },
  );
  await checkRights('chart with Secrets', check(rendered(secretValues())), {
    ...CLUSTER_RIGHTS,
    'Role shop/sallyport-secrets': ['secrets/token,other: list, watch'],
    'Role cilium-secrets/sallyport-secrets': ['secrets: list, watch'],
  });
  await checkDown(
    check(built(overlayOf('down', ['down']))),
    check(rendered({ ...files, down: true })),
  );
  await checkAdmission(effect('chart with admission'));
  await checkChart(helm, { template, rendered });
  await checkFiles(sets.get('kustomize base') ?? '');
}

/** What the API server says of each object, and what we say of the pods. */
async function checkSet(name: string, set: readonly Checked[]): Promise<void> {
  for (const { kind, name: object, problems } of set) {
    await count.check(`${name}: ${kind} ${object} is valid`, () => deepStrictEqual(problems, []));
  }
  const daemonSet = set.find(({ kind }) => kind === 'DaemonSet');
  const spec = daemonSet?.object['spec'].template.spec as Manifest;
  const inits: Manifest[] = spec['initContainers'];
  const containers: Manifest[] = [...inits, ...spec['containers']];
  await count.check(`${name}: each container has the rights of the table, and no other`, () => {
    for (const { name: container, securityContext } of containers) {
      strictEqual(securityContext.allowPrivilegeEscalation, false, container);
      strictEqual(securityContext.readOnlyRootFilesystem, true, container);
      strictEqual(securityContext.privileged, undefined, container);
      deepStrictEqual(securityContext.capabilities.drop, ['ALL'], container);
      deepStrictEqual(securityContext.capabilities.add ?? [], CAPABILITIES[container], container);
    }
    strictEqual(spec['securityContext'].seccompProfile.type, 'RuntimeDefault');
  });
  await count.check(`${name}: only these keep it from the level "baseline"`, () => {
    const reasons = (daemonSet?.podSecurity?.['baseline'] ?? []).map((text) => text.split(':')[0]);
    deepStrictEqual(reasons.toSorted(), [
      'host namespaces',
      'hostPath volumes',
      'non-default capabilities',
    ]);
  });
  await count.check(`${name}: two pods of a rolling update fit on a node`, () => {
    for (const { name: container, ports } of containers) strictEqual(ports, undefined, container);
  });
  await count.check(`${name}: the loader is a sidecar, the last of the init containers`, () => {
    const last = inits.at(-1);
    strictEqual(last?.['name'], 'datapath');
    strictEqual(last?.['restartPolicy'], 'Always');
    ok(last?.['startupProbe'] !== undefined);
  });
  await count.check(`${name}: the grace period outlasts the drain`, () => {
    const config = set.find(({ name: object }) => /-config(-|$)/.test(object))?.object;
    const { limits } = parse(config?.['data']['config.yaml']) as Manifest;
    const drainMs = Number.parseInt(limits.drainTimeoutMs, 10) * 1000;
    strictEqual(spec['terminationGracePeriodSeconds'] * 1000, drainMs + 15_000);
  });
  await count.check(`${name}: only loader and proxy have a token, where there are rights`, () => {
    strictEqual(spec['automountServiceAccountToken'], false);
    const hasRights = set.some(
      ({ kind, name: role }) => kind === 'ClusterRole' && /-node$/.test(role),
    );
    const holders = containers.filter(({ volumeMounts }) =>
      volumeMounts?.some((mount: Manifest) => mount['name'] === 'kube-api'),
    );
    deepStrictEqual(
      holders.map(({ name: holder }) => holder),
      hasRights ? ['datapath', 'proxy'] : [],
    );
    strictEqual(spec['securityContext'].fsGroup, hasRights ? 1337 : undefined);
  });
}

/** All roles, and to whom they are given. */
async function checkRights(
  name: string,
  set: readonly Checked[],
  expected: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  await count.check(`${name}: these rights, and no other`, () => {
    const found = set
      .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
      .map(({ kind, name: role, object }) => {
        const { namespace } = object['metadata'];
        const title = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${role}`;
        return [title, object['rules'].map(ruleText)] as const;
      });
    deepStrictEqual(Object.fromEntries(found), expected);
    for (const { kind, name: binding, object } of set) {
      if (!kind.endsWith('RoleBinding')) continue;
      strictEqual(object['roleRef'].name, binding);
      const [subject, ...others] = object['subjects'] as Manifest[];
      strictEqual(others.length, 0);
      strictEqual(subject?.['kind'], 'ServiceAccount');
      strictEqual(subject?.['namespace'], 'sallyport');
      const isAdmission = binding.endsWith('-admission');
      strictEqual(subject?.['name'], isAdmission ? 'sallyport-admission' : 'sallyport');
    }
  });
}

function ruleText({ apiGroups, resources, resourceNames, verbs }: Manifest): string {
  strictEqual(apiGroups.length, 1);
  const group = apiGroups[0] === '' ? '' : `.${apiGroups[0]}`;
  const names = resourceNames === undefined ? '' : `/${resourceNames.join(',')}`;
  return `${resources.join(', ')}${group}${names}: ${verbs.join(', ')}`;
}

async function checkAdmission(set: readonly Checked[]): Promise<void> {
  const of = (kind: string): Checked => {
    const [one] = set.filter((checked) => checked.kind === kind);
    if (one === undefined) throw new Error(`there is no ${kind}`);
    return one;
  };
  const deployment = of('Deployment');
  await count.check('the webhook runs at the strictest level of pod security', () => {
    deepStrictEqual(deployment.podSecurity, { baseline: [], restricted: [] });
  });
  await count.check('the webhook: names, ports and labels fit together', () => {
    const webhook = of('ValidatingWebhookConfiguration').object;
    const template = deployment.object['spec'].template;
    const [{ args, ports }] = template.spec.containers;
    const service = of('Service').object;
    const { service: asked } = webhook['webhooks'][0].clientConfig;
    strictEqual(asked.name, service['metadata'].name);
    strictEqual(asked.port, service['spec'].ports[0].port);
    strictEqual(service['spec'].ports[0].targetPort, ports[0].name);
    ok(args.includes(`--host=${asked.name}.${asked.namespace}.svc`));
    ok(args.includes(`--webhook=${webhook['metadata'].name}`));
    ok(args.includes(`--secret=sallyport/${of('Secret').name}`));
    for (const [key, value] of Object.entries(service['spec'].selector)) {
      strictEqual(template.metadata.labels[key], value);
    }
  });
  await count.check('the webhook: the DaemonSet does not select its pods', () => {
    const { matchLabels } = of('DaemonSet').object['spec'].selector;
    const { labels } = deployment.object['spec'].template.metadata;
    ok(Object.entries(matchLabels).some(([key, value]) => labels[key] !== value));
  });
  await count.check('the webhook: nobody locks himself out', () => {
    const [{ namespaceSelector, rules }] = of('ValidatingWebhookConfiguration').object['webhooks'];
    deepStrictEqual(namespaceSelector.matchExpressions[0].values, ['kube-system', 'sallyport']);
    for (const { operations } of rules) deepStrictEqual(operations, ['CREATE', 'UPDATE']);
  });
}

async function checkEqual(
  kustomize: readonly Checked[],
  helm: readonly Checked[],
  name: string,
): Promise<void> {
  await count.check(`the chart and the ${name} have one effect`, () => {
    deepStrictEqual(effectOf(helm), effectOf(kustomize));
  });
}

/** The base with components, which are for overlays of users. */
function overlayOf(name: string, components: readonly string[]): string {
  const overlay = join(folder, name);
  mkdirSync(overlay);
  const to = (path: string): string => relative(overlay, join(KUSTOMIZE_FOLDER, path));
  const list = components.map((component) => to(`components/${component}`)).join(', ');
  writeFileSync(
    join(overlay, 'kustomization.yaml'),
    `namespace: sallyport\nresources: [${to('base')}]\ncomponents: [${list}]\nimages: [{ name: sallyport, newTag: 0.1.0 }]\n`,
  );
  return relative(KUSTOMIZE_FOLDER, overlay);
}

/** As its comment asks of users: the component, and a configuration that says so. */
function servicesOverlay(): string {
  const overlay = overlayOf('services', ['services']);
  const own = join(folder, 'services');
  const config = readFileSync(join(KUSTOMIZE_FOLDER, 'base/files/config.yaml'), 'utf8');
  const said = `  services: socket\n  cgroupRoot: ${CGROUP}\n`;
  writeFileSync(join(own, 'config.yaml'), config.replace('  services: none\n', said));
  appendFileSync(
    join(own, 'kustomization.yaml'),
    'configMapGenerator: [{ name: sallyport-config, behavior: merge, files: [config.yaml] }]\n',
  );
  return overlay;
}

function socketValues({ config }: Manifest): Manifest {
  return { config: { redirect: { ...config?.redirect, services: 'socket' } } };
}

/** Nobody may enter a pod's network namespace, unless it is asked for. */
async function checkNetns(rendered: (values: Manifest) => string): Promise<void> {
  const socket = { redirect: { services: 'socket' } };
  const cases: readonly (readonly [string, Manifest, boolean])[] = [
    ['by default', { config: socket }, false],
    ['with values from before there was a choice', { config: socket, netns: null }, false],
    ['where Services are left to kube-proxy', { netns: { enter: true } }, false],
    ['when it is asked for', { config: socket, netns: { enter: true } }, true],
  ];
  for (const [name, values, isEntered] of cases) {
    await count.check(`the network namespaces of pods ${name}`, () => {
      const documents = documentsOf(rendered(values));
      const spec = documents.find(({ kind }) => kind === 'DaemonSet')?.['spec'].template.spec;
      const holders = [...spec.initContainers, ...spec.containers].filter(
        ({ securityContext, volumeMounts }: Manifest) =>
          securityContext.capabilities.add?.includes('SYS_ADMIN') ||
          volumeMounts.some((mount: Manifest) => mount['name'] === 'netns'),
      );
      const mount = { name: 'netns', mountPath: '/run/netns', readOnly: true };
      const found = holders.map((container: Manifest) => [
        container['name'],
        container['securityContext'].capabilities.add,
        container['volumeMounts'].at(-1),
      ]);
      const capabilities = [...(CAPABILITIES['datapath'] ?? []), 'SYS_ADMIN'];
      const held = ['datapath', capabilities, { ...mount, mountPropagation: 'HostToContainer' }];
      deepStrictEqual(found, isEntered ? [held] : []);
    });
  }
}

/** Of the node's cgroups the pods see nothing, unless Services are translated at sockets. */
async function checkCgroup(rendered: (values: Manifest) => string): Promise<void> {
  const socket = { redirect: { services: 'socket' } };
  const below = { redirect: { services: 'socket', cgroupRoot: `${CGROUP}/kubepods.slice` } };
  const cases: readonly (readonly [string, Manifest, readonly (string | undefined)[]])[] = [
    ['by default', {}, []],
    ['with `none`', { config: { redirect: { services: 'none' } } }, []],
    ['with `socket`', { config: socket }, ['/sys/fs/cgroup', CGROUP]],
    [
      'with `socket`, and values from before there was a place to name',
      { config: socket, cgroup: null },
      ['/sys/fs/cgroup', CGROUP],
    ],
    [
      'with `socket`, where it stands beside v1',
      { config: socket, cgroup: { hostPath: '/sys/fs/cgroup/unified' } },
      ['/sys/fs/cgroup/unified', CGROUP],
    ],
    ['for a part of it', { config: below }, ['/sys/fs/cgroup', `${CGROUP}/kubepods.slice`]],
  ];
  for (const [name, values, [hostPath, cgroupRoot]] of cases) {
    await count.check(`the cgroups of the node ${name}`, () => {
      const documents = documentsOf(rendered(values));
      const spec = documents.find(({ kind }) => kind === 'DaemonSet')?.['spec'].template.spec;
      const volumes: Manifest[] = spec.volumes.filter(
        ({ name: one }: Manifest) => one === 'cgroup',
      );
      const path = { path: hostPath, type: 'Directory' };
      deepStrictEqual(
        volumes.map((volume) => volume['hostPath']),
        hostPath === undefined ? [] : [path],
      );
      const holders = [...spec.initContainers, ...spec.containers].flatMap((container: Manifest) =>
        container['volumeMounts']
          .filter((mount: Manifest) => mount['name'] === 'cgroup')
          .map((mount: Manifest) => [container['name'], mount['mountPath'], mount['readOnly']]),
      );
      deepStrictEqual(holders, hostPath === undefined ? [] : [['datapath', CGROUP, true]]);
      const configMap = documents.find(({ metadata }) => metadata?.name === 'sallyport-config');
      const config = parse(configMap?.['data']['config.yaml']) as Manifest;
      strictEqual(config['redirect'].cgroupRoot, cgroupRoot);
    });
  }
}

async function checkDown(kustomize: readonly Checked[], helm: readonly Checked[]): Promise<void> {
  for (const { kind, name, problems } of [...kustomize, ...helm]) {
    await count.check(`down: ${kind} ${name} is valid`, () => deepStrictEqual(problems, []));
  }
  await checkEqual(kustomize, helm, 'component that takes the redirect away');
  await count.check('down: the pod before ends first, then the loader runs once', () => {
    const spec = kustomize.find(({ kind }) => kind === 'DaemonSet')?.object['spec'];
    strictEqual(spec.updateStrategy.rollingUpdate.maxSurge, 0);
    const loader = spec.template.spec.initContainers.at(-1);
    deepStrictEqual([loader.args[1], loader.restartPolicy], ['down', undefined]);
  });
}

/** Without what only tells who made it; the namespace is `helm install --create-namespace`. */
function effectOf(set: readonly Checked[]): Readonly<Record<string, unknown>> {
  const configName = set.find(
    ({ kind, name }) => kind === 'ConfigMap' && /-config(-|$)/.test(name),
  );
  const effects = set
    .filter(({ kind }) => kind !== 'Namespace')
    .map(({ kind, object }) => {
      const text = JSON.stringify(object).replaceAll(configName?.name ?? '', 'sallyport-config');
      const copy = JSON.parse(text) as Manifest;
      for (const metadata of [copy['metadata'], copy['spec']?.template?.metadata]) forget(metadata);
      for (const [key, value] of Object.entries(copy['data'] ?? {})) {
        // The text is another, what it says is not.
        copy['data'][key] = parse(value as string);
      }
      return [`${kind} ${copy['metadata'].name}`, copy] as const;
    });
  return Object.fromEntries(effects.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function forget(metadata: Manifest | undefined): void {
  for (const name of ['app.kubernetes.io/managed-by', 'app.kubernetes.io/version', 'helm.sh/chart'])
    delete metadata?.['labels']?.[name];
  for (const name of ['checksum/config', 'helm.sh/resource-policy'])
    delete metadata?.['annotations']?.[name];
  if (Object.keys(metadata?.['annotations'] ?? {}).length === 0) delete metadata?.['annotations'];
}

/** The chart says what the kustomize base says. */
function fileValues(): Manifest {
  const read = (name: string): string =>
    readFileSync(join(KUSTOMIZE_FOLDER, 'base/files', name), 'utf8');
  return {
    ...FILES_ALONE,
    config: { redirect: { findUplinks: null } },
    policies: { files: { 'policies.yaml': read('policies.yaml') } },
    endpoints: { files: { 'endpoints.yaml': read('endpoints.yaml') } },
  };
}

function secretValues(): Manifest {
  return {
    config: { kubernetes: { secretsNamespace: 'cilium-secrets' } },
    kubernetes: { secrets: [{ namespace: 'shop', names: ['token', 'other'] }] },
  };
}

/** The chart says what the kustomize example says. */
function exampleValues(): Manifest {
  const read = (name: string): string =>
    readFileSync(join(KUSTOMIZE_FOLDER, 'overlays/example/files', name), 'utf8');
  return {
    ...FILES_ALONE,
    image: { repository: 'registry.example/sallyport' },
    config: { redirect: { uplinks: ['eth0'], findUplinks: null } },
    policies: { files: { 'orders.yaml': read('orders.yaml') } },
    endpoints: {
      perNode: true,
      files: {
        'node-a.yaml': read('node-a.yaml'),
        'node-b.yaml': read('node-b.yaml'),
      },
    },
    metrics: { enabled: true },
  };
}

function everyValue(): Manifest {
  return {
    image: { digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'pull' }],
    fullnameOverride: 'l7',
    policies: { existingConfigMap: 'own-policies' },
    endpoints: { existingConfigMap: 'own-endpoints', perNode: true },
    extraEnv: [{ name: 'SALLYPORT_LOG_LEVEL', value: 'debug' }],
    serviceAccount: { create: false, name: 'someone' },
    pins: { hostPath: '/sys/fs/bpf/l7' },
    prepareNode: { enabled: false },
    updateStrategy: { maxSurge: 0, maxUnavailable: '10%' },
    affinity: { nodeAffinity: {} },
    podAnnotations: { a: 'b' },
    podLabels: { c: 'd' },
    metrics: { enabled: true, podMonitor: { labels: { release: 'prometheus' } } },
    networkPolicy: { from: [{ podSelector: {} }] },
  };
}

function everyClusterValue(): Manifest {
  return {
    ...secretValues(),
    config: { kubernetes: { identities: 'cilium', policyKinds: ['NetworkPolicy'] } },
    kubernetes: { report: false, hostPID: true, cniResults: '' },
    policies: { files: { 'a.yaml': '' } },
    serviceAccount: { create: false, name: 'someone' },
    admission: {
      enabled: true,
      replicas: 3,
      failurePolicy: 'Fail',
      timeoutSeconds: 5,
      namespaceSelector: {
        matchLabels: { judged: 'yes' },
        matchExpressions: [{ key: 'a', operator: 'Exists' }],
      },
      excludedNamespaces: ['kube-system', 'gatekeeper'],
      priorityClassName: '',
      nodeSelector: { a: 'b' },
      tolerations: [{ operator: 'Exists' }],
      resources: { limits: { memory: '2Gi' } },
    },
    networkPolicy: { enabled: false },
  };
}

async function checkChart(
  helm: string,
  chart: {
    readonly template: (values: Manifest) => { readonly code: number; readonly stderr: string };
    readonly rendered: (values: Manifest) => string;
  },
): Promise<void> {
  await count.check('helm lint --strict', () => {
    must([helm, 'lint', '--strict', '--kube-version', KUBE_VERSION, CHART]);
  });
  const refused: readonly (readonly [string, Manifest])[] = [
    ['an unknown value', { metrics: { prot: 1 } }],
    ['a wrong type', { metrics: { port: 'x' } }],
    ['an admin server on a port, where no probe looks', { config: { admin: '127.0.0.1:9901' } }],
    ['another way to translate Services', { config: { redirect: { services: 'kube-proxy' } } }],
    [
      'a cgroup of the container, where no pods are',
      { config: { redirect: { services: 'socket', cgroupRoot: '/sys/fs/cgroup' } } },
    ],
    ['a failure policy that there is not', { admission: { failurePolicy: 'fail' } }],
    [
      'pins in the mount itself, which `down` cannot remove',
      { config: { redirect: { root: '/run/sallyport/bpf' } } },
    ],
  ];
  for (const [name, values] of refused) {
    await count.check(`the schema of the values refuses ${name}`, () => {
      const { code, stderr } = chart.template(values);
      ok(code !== 0 && /specifications of the schema/.test(stderr), stderr);
    });
  }
  const contrary: readonly (readonly [string, Manifest, RegExp])[] = [
    ['no source of policies', { kubernetes: { enabled: false } }, /there is no source of policies/],
    [
      'a source without rights',
      { kubernetes: { enabled: false }, config: { kubernetes: {} } },
      /needs kubernetes.enabled/,
    ],
  ];
  for (const [name, values, told] of contrary) {
    await count.check(`the chart refuses ${name}`, () => {
      const { code, stderr } = chart.template(values);
      ok(code !== 0 && told.test(stderr), stderr);
    });
  }
  for (const [drain, seconds] of [
    [1500, 17],
    ['2m', 135],
    ['30s', 45],
    ['500ms', 16],
  ] as const) {
    await count.check(`a drain of ${drain} gives ${seconds} s of grace`, () => {
      const text = chart.rendered({ config: { limits: { drainTimeoutMs: drain } } });
      const daemonSet = documentsOf(text).find(({ kind }) => kind === 'DaemonSet');
      strictEqual(daemonSet?.['spec'].template.spec.terminationGracePeriodSeconds, seconds);
    });
  }
  await count.check('the README of the chart has every value, and no other', () => {
    const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Manifest;
    const readme = readFileSync(join(CHART, 'README.md'), 'utf8');
    const told = [...readme.matchAll(/^\| `([A-Za-z.]+)` \|/gm)].map(([, name]) => name ?? '');
    deepStrictEqual(told.toSorted(), valueNames(values).toSorted());
  });
}

function valueNames(values: Manifest, before = ''): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const name = `${before}${key}`;
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isMap || WHOLE.test(name) || Object.keys(value).length === 0) return [name];
    return valueNames(value as Manifest, `${name}.`);
  });
}

/** What the pods read and run is there, and Sallyport takes it. */
async function checkFiles(base: string): Promise<void> {
  const files = join(KUSTOMIZE_FOLDER, 'overlays/example/files');
  for (const config of [
    'base/files/config.yaml',
    'components/cluster/config.yaml',
    'overlays/example/files/config.yaml',
  ]) {
    await count.check(`sallyport takes ${config}`, () => {
      must([SALLYPORT, 'run', '--check-config', '-c', join(KUSTOMIZE_FOLDER, config)]);
    });
  }
  for (const node of ['node-a.yaml', 'node-b.yaml']) {
    await count.check(`sallyport takes the example's policy with ${node}`, () => {
      const all = ['-p', join(files, 'orders.yaml'), '--endpoints', join(files, node)];
      must([SALLYPORT, 'check', ...all]);
    });
  }
  await count.check('an empty base is a policy set, and no error', () => {
    mkdirSync(join(folder, 'empty'));
    for (const { kind, data, metadata } of documentsOf(base)) {
      if (kind !== 'ConfigMap' || !/policies$/.test(metadata.name)) continue;
      writeFileSync(join(folder, 'empty/policies.yaml'), data['policies.yaml']);
    }
    must([SALLYPORT, 'check', '-p', join(folder, 'empty')]);
  });
  await count.check('every command of the containers is in the image', () => {
    const inImage = readdirSync(join(ROOT, 'deploy/image')).map(
      (name) => `sallyport-${name.replace(/\.mjs$/, '')}`,
    );
    const asked = [...base.matchAll(/^\s*- (sallyport-[a-z-]+)$/gm)].map(([, name]) => name ?? '');
    ok(asked.length > 0);
    for (const name of asked) ok(inImage.includes(name), name);
  });
}
