/**
 * The image and its containers without a Docker engine and without a cluster (root; by hand, as it takes
 * minutes): the Dockerfile is built by buildah from base images that base-images.sh makes of Debian's
 * packages, then the containers of the kustomize base run under runc, each with the rights, mounts, seccomp
 * profile and read-only root that a node would give it, on a node made of network namespaces.
 *
 *     node test/deploy/image.ts
 *
 * Needs apt-get install debootstrap buildah runc libcap2-bin, and Go. $SALLYPORT_IMAGE_STORE keeps images
 * (and the steps that they were built of) for the next time, $SALLYPORT_IMAGE names one there that is not to
 * be built. The last line: "N passed, N failed".
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, seeingOrigin } from '../redirect/root/exchange.ts';
import { type Command, RedirectRig } from '../redirect/root/rig.ts';
import type { Container, SeccompProfile } from './oci.ts';
import { PodUnderTest, type World } from './pod.ts';
import {
  Count,
  documentsOf,
  goCommand,
  goTool,
  KUSTOMIZE_FOLDER,
  must,
  ROOT,
  run,
} from './tools.ts';

/** Docker's and containerd's default profile, as a module of its own. */
const SECCOMP_MODULE = 'github.com/moby/profiles/seccomp@v0.2.4';
const IMAGE = process.env['SALLYPORT_IMAGE'] ?? 'localhost/sallyport:rehearsal';
const NEEDED = ['debootstrap', 'buildah', 'runc', 'setcap', 'ip', 'nsenter'];
const ORDERS = '10.20.0.1';
const WEB = '10.20.0.2';

/** A busy machine is slow; what was lost is silent much longer. */
const PATIENCE_MS = 15_000;

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

const count = new Count();
const work = mkdtempSync('/var/tmp/sallyport-rehearsal.');
const kept = process.env['SALLYPORT_IMAGE_STORE'];
const store = kept ?? join(work, 'store');
const buildah = [
  ...['buildah', '--root', join(store, 'root'), '--runroot', join(store, 'run')],
  ...['--storage-driver', 'overlay'],
];
try {
  await main();
} catch (error) {
  count.failed += 1;
  console.error(`image: ${error instanceof Error ? error.stack : error}`);
} finally {
  run([...buildah, 'rm', '--all']);
  if (kept === undefined) run([...buildah, 'rmi', '--all', '--force']);
  // The overlay driver mounts its own folder on itself.
  run(['umount', join(store, 'root/overlay')]);
  rmSync(work, { recursive: true, force: true });
}
count.finish();

async function main(): Promise<void> {
  const missing = NEEDED.filter((tool) => run(['sh', '-c', `command -v ${tool}`]).code !== 0);
  if (missing.length > 0) throw new Error(`these are needed: ${missing.join(', ')}`);
  const rootfs = await buildImage();
  await checkImage(rootfs);
  const seccomp = seccompProfile();
  const kustomize = goTool('kustomize', work);
  const base = documentsOf(must([kustomize, 'build', join(KUSTOMIZE_FOLDER, 'overlays/example')]));
  const daemonSet = base.find(({ kind }) => kind === 'DaemonSet');
  const spec = daemonSet?.['spec'].template.spec;
  const containers = new Map<string, Container>(
    [...spec.initContainers, ...spec.containers].map((one: Container) => [one.name, one]),
  );
  const rig = newRig();
  try {
    const config = join(work, 'config');
    mkdirSync(config);
    copyFileSync(join(KUSTOMIZE_FOLDER, 'base/files/config.yaml'), join(config, 'config.yaml'));
    const endpoints = join(work, 'endpoints');
    mkdirSync(endpoints);
    // Of this node, by the variable that the example sets.
    copyFileSync(join(rig.dir, 'endpoints.json'), join(endpoints, 'node-a.yaml'));
    const { supplementalGroups } = spec.securityContext;
    const files = { work, config, endpoints };
    const world: World = { rig, rootfs, seccomp, supplementalGroups, containers, ...files };
    await checkPlain(world);
    await checkRights(world);
    await checkPod(world);
  } finally {
    await rig.dispose();
  }
}

async function buildImage(): Promise<string> {
  if (process.env['SALLYPORT_IMAGE'] === undefined) await build();
  const container = must([...buildah, 'from', '--pull-never', IMAGE]).trim();
  return must([...buildah, 'mount', container]).trim();
}

async function build(): Promise<void> {
  const has = (name: string) => run([...buildah, 'inspect', '--type', 'image', name]).code === 0;
  if (
    !has('docker.io/library/debian:bookworm-slim') ||
    !has('docker.io/library/node:26-bookworm-slim')
  ) {
    must(['bash', join(ROOT, 'test/deploy/base-images.sh'), ...buildah.slice(1)]);
  }
  const startMs = performance.now();
  await count.check('the Dockerfile builds, every step of it', () => {
    must([
      ...[
        ...buildah,
        'bud',
        '--isolation',
        'chroot',
        '--network',
        'host',
        '--pull-never',
        '--layers',
      ],
      ...['--format', 'docker', '-t', IMAGE, ROOT],
    ]);
  });
  console.log(`      ${Math.round((performance.now() - startMs) / 1000)} s`);
}

async function checkImage(rootfs: string): Promise<void> {
  const config = JSON.parse(must([...buildah, 'inspect', '--type', 'image', IMAGE])).Docker.config;
  await count.check('the image runs as 1337, with a health check', () => {
    strictEqual(config.User, '1337:1337');
    ok(config.Healthcheck.Test.includes('status'));
  });
  await count.check('nobody in it becomes another user', () => {
    strictEqual(must(['find', rootfs, '-xdev', '-type', 'f', '-perm', '/6000']), '');
  });
  await count.check('it has what runs, and not what built it', () => {
    for (const path of ['usr/bin/setpriv', 'usr/sbin/ip', 'usr/lib/*/libbpf.so.1'])
      must(['sh', '-c', `ls ${join(rootfs, path)}`]);
    for (const path of ['usr/bin/clang', 'usr/bin/g++', 'usr/local/bin/npm', 'opt/sallyport/src'])
      ok(!existsSync(join(rootfs, path)), path);
    const modules = must(['ls', '-a', join(rootfs, 'opt/sallyport/node_modules')]).split('\n');
    for (const name of ['@biomejs', 'node-gyp', 'typescript', 'vitest'])
      ok(!modules.includes(name), name);
  });
  const size = must(['du', '-sxm', rootfs]).split('\t')[0];
  console.log(`      ${size} MB on disk`);
}

function seccompProfile(): SeccompProfile {
  const module = JSON.parse(must([goCommand(), 'mod', 'download', '-json', SECCOMP_MODULE]));
  return JSON.parse(readFileSync(join(module.Dir, 'default.json'), 'utf8')) as SeccompProfile;
}

function newRig(): RedirectRig {
  const rig = new RedirectRig({
    pods: [
      { name: 'shop/orders', ips: [ORDERS], labels: { app: 'orders' } },
      { name: 'shop/web', ips: [WEB], labels: { app: 'web' } },
    ],
    policies: [POLICY],
  });
  // As systemd mounts it: nobody but root goes through.
  must(['chmod', '700', join(rig.dir, 'bpf')]);
  mkdirSync(join(rig.dir, 'bpf/sallyport'), { mode: 0o755 });
  return rig;
}

/** As `docker run` would start it, with no right at all. */
async function checkPlain(world: World): Promise<void> {
  const pod = new PodUnderTest(world, 'plain');
  const container = plainContainer(['sallyport', 'version']);
  await count.check('sallyport version, as 1337, read-only, without any capability', async () => {
    const { code, output } = await pod.runToEnd('version', container);
    strictEqual(code, 0, output);
    match(output, /^sallyport \d+\.\d+\.\d+ \(node 26\./);
  });
  await count.check('sallyport run on loopback: 200 and 403', async () => {
    const origin = createServer((_request, reply) => reply.end('{}'));
    await world.rig.node.listen(origin, { ip: '127.0.0.1', port: 9001 });
    const proxy = await pod.start('run', {
      ...plainContainer(['sallyport', 'run', '-c', '/plain/config.yaml']),
      volumeMounts: [{ name: 'plain', mountPath: '/plain', readOnly: true }],
    });
    try {
      await proxy.until((line) => line['msg'] === 'ready');
      const status = async (path: string) => {
        const to = { from: world.rig.node, to: '127.0.0.1', port: 15006 };
        const outcome = await ask({ ...to, path });
        return outcome.kind === 'answered' ? outcome.status : outcome.kind;
      };
      deepStrictEqual([await status('/orders/1'), await status('/secrets')], [200, 403]);
      pod.signal('run', 'TERM');
      strictEqual(await proxy.ended, 0);
    } finally {
      origin.close();
      await pod.dispose();
    }
  });
}

function plainContainer(command: readonly string[]): Container {
  return {
    name: 'plain',
    command,
    securityContext: {
      runAsUser: 1337,
      runAsGroup: 1337,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}

/** Why the proxy's container begins as root. */
async function checkRights(world: World): Promise<void> {
  const pod = new PodUnderTest(world, 'rights');
  const proxy = containerOf(world, 'proxy');
  const asked = [
    'grep',
    '-E',
    '^(Uid|CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp):',
    '/proc/self/status',
  ];
  const status = async (name: string, container: Container): Promise<string> => {
    const { output } = await pod.runToEnd(name, { ...container, args: [], volumeMounts: [] });
    return output.replaceAll(/\s+/g, ' ').trim();
  };
  const nonRoot = { ...proxy.securityContext, runAsUser: 1337, runAsGroup: 1337 };
  await count.check('capabilities.add gives a container that is not root none', async () => {
    const said = await status('add', { ...proxy, command: asked, securityContext: nonRoot });
    match(said, /CapPrm: 0{16} CapEff: 0{16}/);
  });
  await count.check('file capabilities give none under no_new_privs', async () => {
    const said = await status('file', {
      ...proxy,
      command: ['/caps/grep', ...asked.slice(1)],
      securityContext: nonRoot,
    });
    match(said, /CapPrm: 0{16} CapEff: 0{16}|not permitted/);
  });
  await count.check(
    'sallyport-as-proxy: user 1337, CAP_NET_RAW alone, no_new_privs, seccomp',
    async () => {
      const said = await status('drop', { ...proxy, command: ['sallyport-as-proxy', ...asked] });
      match(
        said,
        /^Uid: 1337 1337 1337 1337 CapPrm: 0{12}2000 CapEff: 0{12}2000 CapAmb: 0{12}2000/,
      );
      match(said, /NoNewPrivs: 1 Seccomp: 2$/);
    },
  );
  await pod.dispose();
}

function containerOf(world: World, name: string): Container {
  const container = world.containers.get(name);
  if (container === undefined) throw new Error(`the DaemonSet has no container ${name}`);
  return container;
}

async function checkPod(world: World): Promise<void> {
  const origin = seeingOrigin('orders');
  await world.rig.pod('shop/orders').netns.listen(origin as never, { ip: ORDERS, port: 8080 });
  const first = new PodUnderTest(world, 'first');
  const second = new PodUnderTest(world, 'second');
  try {
    await checkStart(world, first);
    await checkSeccomp(world);
    await checkUpdate(world, { first, second });
    await checkCrash(world, second);
    await count.check('sallyport redirect down leaves nothing', async () => {
      await second.stop();
      const datapath = containerOf(world, 'datapath');
      const args = ['redirect', 'down', '-c', '/etc/sallyport/config.yaml'];
      const { code, output } = await second.runToEnd('down', { ...datapath, args });
      strictEqual(code, 0, output);
      strictEqual(must(['ls', '-A', join(world.rig.dir, 'bpf/sallyport')]), '');
      strictEqual(await request(world, '/secrets'), 200);
    });
  } finally {
    await first.dispose();
    await second.dispose();
    origin.close();
  }
}

async function request(world: World, path: string): Promise<number | string> {
  const from = world.rig.pod('shop/web').netns;
  const outcome = await ask({ from, to: ORDERS, port: 8080, path, patienceMs: PATIENCE_MS });
  return outcome.kind === 'answered' ? outcome.status : outcome.kind;
}

async function checkStart(world: World, pod: PodUnderTest): Promise<void> {
  await count.check('prepare-node sets net.ipv4.tcp_migrate_req', async () => {
    const { code, output } = await pod.runToEnd('prepare-node', containerOf(world, 'prepare-node'));
    strictEqual(code, 0, output);
    strictEqual(world.rig.node.run(['cat', '/proc/sys/net/ipv4/tcp_migrate_req']).trim(), '1');
  });
  await count.check('datapath: loads, attaches and passes its startup probe', async () => {
    const datapath = await pod.start('datapath', containerOf(world, 'datapath'));
    await datapath.until((line) => line['msg'] === 'following');
    strictEqual(pod.probe('datapath', 'startupProbe'), 0);
  });
  let proxy: Command | null = null;
  await count.check('proxy: ready, by all its probes', async () => {
    proxy = await pod.start('proxy', containerOf(world, 'proxy'));
    await proxy.until((line) => line['msg'] === 'ready');
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const)
      strictEqual(pod.probe('proxy', probe), 0, probe);
  });
  await count.check(
    'loader and proxy each keep their last good policy set on the node',
    async () => {
      deepStrictEqual(pod.stateFiles(), ['loader', 'loader/last-good', 'proxy', 'proxy/last-good']);
    },
  );
  await count.check('allowed by the policy: 200; not allowed: 403', async () => {
    deepStrictEqual(
      [await request(world, '/orders/1'), await request(world, '/secrets')],
      [200, 403],
    );
  });
  await count.check('metrics: /metrics and nothing else', async () => {
    const metrics = await pod.start('metrics', {
      ...containerOf(world, 'metrics'),
      env: [{ name: 'HOST_IP', value: '127.0.0.1' }],
      command: ['sallyport-metrics', '127.0.0.1:9902'],
    });
    const status = async (method: string, path: string) => {
      const outcome = await ask({
        from: world.rig.node,
        to: '127.0.0.1',
        port: 9902,
        method,
        path,
      });
      return outcome.kind === 'answered' ? outcome.status : outcome.kind;
    };
    for (let tries = 0; tries < 50 && (await status('GET', '/x')) !== 404; tries++)
      await sleep(100);
    const got = [
      await status('GET', '/x'),
      await status('POST', '/drain'),
      await status('POST', '/metrics'),
    ];
    deepStrictEqual(got, [404, 404, 404], metrics.output);
    const text = world.rig.node.run(['curl', '-s', 'http://127.0.0.1:9902/metrics']);
    match(text, /^sallyport_policy_decisions_total/m);
  });
}

/** The reason for CAP_BPF among what the proxy gives up. */
async function checkSeccomp(world: World): Promise<void> {
  const pod = new PodUnderTest(world, 'seccomp');
  await count.check(
    'without CAP_BPF in the container the default profile keeps the pins away',
    async () => {
      const proxy = containerOf(world, 'proxy');
      const capabilities = { drop: ['ALL'], add: ['NET_RAW', 'SETGID', 'SETUID'] };
      const securityContext = { ...proxy.securityContext, capabilities };
      const { code, output } = await pod.runToEnd('proxy', { ...proxy, securityContext });
      ok(code !== 0, output);
      match(output, /EPERM|not permitted|errno 1\b/i);
    },
  );
  await pod.dispose();
}

/** maxSurge: 1, as the DaemonSet controller and kubelet do it. */
async function checkUpdate(
  world: World,
  { first, second }: { readonly first: PodUnderTest; readonly second: PodUnderTest },
): Promise<void> {
  await count.check('a rolling update under load: no request fails', async () => {
    const seen = new Map<number | string, number>();
    let isOver = false;
    let slowestMs = 0;
    const load = (async () => {
      while (!isOver) {
        const startMs = performance.now();
        const outcome = await request(world, '/orders/1');
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      }
    })();
    try {
      await second.runToEnd('prepare-node', containerOf(world, 'prepare-node'));
      const datapath = await second.start('datapath', containerOf(world, 'datapath'));
      for (let tries = 0; second.probe('datapath', 'startupProbe') !== 0 && tries < 50; tries++)
        await sleep(200);
      const proxy = await second.start('proxy', containerOf(world, 'proxy'));
      await proxy.until((line) => line['msg'] === 'ready');
      strictEqual(second.probe('proxy', 'readinessProbe'), 0);
      strictEqual(await first.stop(), 0, 'the old proxy drains and ends with 0');
      await datapath.until((line) => line['msg'] === 'following');
      await sleep(500);
    } finally {
      isOver = true;
      await load;
    }
    deepStrictEqual([...seen.keys()], [200]);
    console.log(`      ${seen.get(200)} requests, the slowest ${Math.round(slowestMs)} ms`);
  });
  await count.check('then the new pod judges alone', async () => {
    deepStrictEqual(
      [await request(world, '/orders/1'), await request(world, '/secrets')],
      [200, 403],
    );
  });
}

async function checkCrash(world: World, pod: PodUnderTest): Promise<void> {
  await count.check(
    'a killed proxy means refusal, until kubelet has started it again',
    async () => {
      await pod.kill('proxy');
      strictEqual(await request(world, '/orders/1'), 'reset');
      const proxy = await pod.start('proxy', containerOf(world, 'proxy'));
      await proxy.until((line) => line['msg'] === 'ready');
      deepStrictEqual(await answers(world), [200, 403]);
    },
  );
  await count.check('a killed loader changes nothing, and takes over again', async () => {
    await pod.kill('datapath');
    deepStrictEqual(await answers(world), [200, 403]);
    const datapath = await pod.start('datapath', containerOf(world, 'datapath'));
    await datapath.until((line) => line['msg'] === 'following');
    deepStrictEqual(await answers(world), [200, 403]);
  });
}

async function answers(world: World): Promise<readonly (number | string)[]> {
  return [await request(world, '/orders/1'), await request(world, '/secrets')];
}
