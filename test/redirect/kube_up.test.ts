/** `sallyport redirect up` with a cluster: once, following, and without an API server. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedirectFollower } from '../../src/cli/redirect/follow.ts';
import { RedirectLoader } from '../../src/cli/redirect/loader.ts';
import { redirectUp } from '../../src/cli/redirect/up.ts';
import type { Config } from '../../src/config/config.ts';
import { decodeConfig } from '../../src/config/load.ts';
import { CLUSTER_KINDS } from '../../src/control/source/kube/cluster_kinds.ts';
import { POLICY_KUBE_KINDS } from '../../src/control/source/kube/policy_queue.ts';
import type { KubeKind } from '../../src/kube/kind.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import { testIo } from '../cli/test_io.ts';
import { FakeKubeApi } from '../support/fake_kube_api.ts';
import { until } from '../support/until.ts';
import type { FakeNode } from './fake_node.ts';
import { streetNode } from './street_node.ts';

const PATIENT = { timeout: 60_000 };
const OWN_KINDS = ['Pod', 'Namespace', 'Node', 'Service', 'EndpointSlice'] as const;
const [NETWORK_POLICIES] = POLICY_KUBE_KINDS.NetworkPolicy as readonly [KubeKind];

let fake: FakeNode;
let config: Config;
let api: FakeKubeApi;

beforeEach(async () => {
  const street = streetNode();
  fake = street.fake;
  api = await FakeKubeApi.start();
  for (const name of OWN_KINDS) for (const kind of CLUSTER_KINDS[name]) api.serve(kind);
  api.serve(NETWORK_POLICIES);
  fake.write(
    'kubeconfig',
    `apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: test } }]
clusters: [{ name: test, cluster: { server: "${api.url}" } }]
users: [{ name: test, user: {} }]
`,
  );
  config = {
    ...street.config,
    policyPaths: [],
    isEmptySetOpen: true,
    stateDir: `${fake.dir}/state`,
    limits: { ...street.config.limits, kubeStaleGraceMs: 0 },
    kubernetes: clusterConfig(),
  };
});

afterEach(async () => {
  fake.dispose();
  await api.close();
});

function clusterConfig(): Config['kubernetes'] {
  const text = `kubernetes: { kubeconfig: kubeconfig, nodeName: n1 }
listeners: [{ name: a, address: "127.0.0.1:0", direction: ingress }]`;
  const path = `${fake.dir}/cluster.yaml`;
  const loaded = decodeConfig(text, { path, shownPath: path, flags: [], env: {}, cwd: fake.dir });
  if (loaded.kind === 'rejected') throw new Error(loaded.problems.join());
  return loaded.config.kubernetes;
}

async function up() {
  const io = testIo();
  const code = await redirectUp(config, { io, isFollowing: false }, fake.node);
  return { code, out: io.stdout.text, err: io.stderr.text };
}

function gone(): void {
  api.fault(() => true, { kind: 'status', code: 503 }, Number.POSITIVE_INFINITY);
  api.resetAll();
  config = { ...config, limits: { ...config.limits, kubeSyncTimeoutMs: 1000 } };
}

function deny(name: string): void {
  const metadata = { namespace: 'shop', name };
  api.put(NETWORK_POLICIES, { metadata, spec: { podSelector: {} } });
}

describe('the loader with a cluster', PATIENT, () => {
  it('once lists it, applies it, and ends', async () => {
    deny('all');
    const { code, out } = await up();
    expect(code).toBe(0);
    expect(out).toContain('generation 1 in force: 2 endpoints');
  });

  it('without an API server applies the state that it kept, and says so; without one it changes nothing', async () => {
    deny('all');
    gone();
    const first = await up();
    expect([first.code, fake.generation]).toEqual([1, 0]);
    expect(first.err).toContain('was not listed within');
    api.clearFaults();
    config = { ...config, limits: { ...config.limits, kubeSyncTimeoutMs: 30_000 } };
    expect((await up()).code).toBe(0);
    gone();
    const again = await up();
    expect(again.code).toBe(0);
    expect(again.err).toContain('the state of the cluster of ');
    expect(again.out).toContain('generation 2 in force: 2 endpoints');
  });

  it('that follows waits for an API server that was never there, says so, and applies what it says then', async () => {
    deny('all');
    gone();
    const loader = new RedirectLoader(config, fake.node);
    const told: string[] = [];
    const stop = new AbortController();
    const onWaiting = (problems: readonly string[]): void => void told.push(...problems);
    const started = loader.start({ onWaiting, signal: stop.signal });
    await until(() => told.length > 0);
    expect(told.join()).toContain('was not listed within');
    expect(fake.generation).toBe(0);
    api.clearFaults();
    expect((await started)?.done.join()).toContain('generation 1 in force: 2 endpoints');
    await loader.close();
  });

  it('that waits ends when it is told to, and changes nothing', async () => {
    gone();
    const loader = new RedirectLoader(config, fake.node);
    const stop = new AbortController();
    const onWaiting = (): void => stop.abort();
    expect(await loader.start({ onWaiting, signal: stop.signal })).toBeNull();
    await loader.close();
    expect(fake.generation).toBe(0);
  });

  it('that follows takes over what is applied', async () => {
    const loader = new RedirectLoader(config, fake.node);
    await loader.start();
    const lines: string[] = [];
    const log = createLogger({ level: 'info', write: (line) => void lines.push(String(line)) });
    const stop = new AbortController();
    const running = new RedirectFollower({
      config,
      node: fake.node,
      loader,
      log,
      signal: stop.signal,
    }).run();
    deny('all');
    await until(() => lines.some((line) => line.includes('generation 2 in force')));
    expect(loader.policy.snapshot.policyNames).toEqual(['NetworkPolicy shop/all']);
    stop.abort();
    await running;
    await loader.close();
  });

  it('beside an agent of Cilium does nothing but say why', async () => {
    fake.beside = { refusal: 'Cilium’s agent runs on this node', notes: [] };
    const { code, err } = await up();
    expect([code, fake.events]).toEqual([1, []]);
    expect(err).toContain('Cilium’s agent runs on this node');
  });
});
