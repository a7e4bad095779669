/** The parts themselves do what scenes rely on: what the two stores differ in, and what can be done to an API server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { type Account, type ApiAnswer, ControlPlane } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';
import type { StoreKind } from './parts/store.ts';

const PATIENCE_MS = 90_000;
const CNPS = '/apis/cilium.io/v2/ciliumnetworkpolicies';
const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec: { endpointSelector: {}, ingress: [{}] }
`;

describe.each<StoreKind>(['etcd', 'kine'])('an API server with %s', (store) => {
  let cluster: ControlPlane;
  let account: Account;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    account = await cluster.account('tests/reader', [
      { apiGroups: ['cilium.io'], resources: ['ciliumnetworkpolicies'], verbs: ['get', 'list'] },
    ]);
  });

  afterAll(() => cluster.stop());

  /**
   * An API server that has just started fills its cache of a kind when it is first asked for it; for as long as that
   * takes it answers a watch with 429 ("storage is (re)initializing").
   */
  async function askedUntilFilled(path: string): Promise<ApiAnswer> {
    let answer = await cluster.ask('GET', path);
    await until(async () => {
      if (answer.status !== 429) return true;
      answer = await cluster.ask('GET', path);
      return false;
    }, PATIENCE_MS);
    return answer;
  }

  it('takes policies from kubectl and shows them', async () => {
    await cluster.apply(POLICY);
    expect(await cluster.kubectl(['get', 'cnp', '-o', 'name'])).toBe(
      'ciliumnetworkpolicy.cilium.io/api\n',
    );
  });

  it('refuses what RBAC does not allow, and writes down who asked', async () => {
    const asUser = ['--kubeconfig', account.kubeconfig, 'delete', 'cnp', 'api'];
    await expect(cluster.kubectl(asUser)).rejects.toThrow('Forbidden');
    await until(() => cluster.audit.writes(':tests:reader').length > 0);
    expect(cluster.audit.writes(':tests:reader')).toMatchObject([
      { verb: 'delete', resource: 'ciliumnetworkpolicies', name: 'api', code: 403 },
    ]);
  });

  it('takes a streaming list as its store allows', async () => {
    const query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan';
    const more = 'allowWatchBookmarks=true&resourceVersion=&timeoutSeconds=8';
    const answer = await askedUntilFilled(`${CNPS}?${query}&${more}`);
    expect(answer.status).toBe(200);
    const hasEnd = `${answer.object}`.includes('k8s.io/initial-events-end');
    expect({ hasEnd, hasError: `${answer.object}`.includes('"type":"ERROR"') }).toEqual({
      hasEnd: store === 'kine',
      hasError: store === 'etcd',
    });
  });

  it('answers 410 to a watch from a version that is forgotten', async () => {
    const before = await cluster.ask('GET', CNPS);
    const version = before.object.metadata.resourceVersion;
    for (let n = 0; n < 120; n++) {
      const patch = { metadata: { labels: { n: `${n}` } } };
      const path = '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies/api';
      await cluster.ask('PATCH', path, patch, 'application/merge-patch+json');
    }
    await cluster.forgetVersions();
    const path = `${CNPS}?watch=true&resourceVersion=${version}&timeoutSeconds=1`;
    expect((await askedUntilFilled(path)).object).toContain('"code":410');
  });

  it('ends a token together with the Secret that it is bound to', async () => {
    await cluster.kubectl(['-n', 'tests', 'create', 'secret', 'generic', 'bound']);
    const token = await cluster.token('tests/reader', 'bound');
    const kubeconfig = cluster.kubeconfigFor({ kind: 'token', token });
    const get = ['--kubeconfig', kubeconfig, 'get', 'cnp', '-o', 'name'];
    expect(await cluster.kubectl(get)).toContain('api');
    await cluster.kubectl(['-n', 'tests', 'delete', 'secret', 'bound']);
    await until(async () => {
      const failed = await cluster.kubectl(get).then(
        () => '',
        (error: Error) => error.message,
      );
      return failed.includes('Unauthorized') || failed.includes('must be logged in');
    }, PATIENCE_MS);
  });

  it('knows the holder of a client certificate', async () => {
    const certificate = cluster.authority.issue('jane', ['system:masters']);
    const kubeconfig = cluster.kubeconfigFor({ kind: 'certificate', certificate });
    expect(await cluster.kubectl(['--kubeconfig', kubeconfig, 'auth', 'whoami'])).toMatch(
      /Username\s+jane/,
    );
  });

  it('is reached by a wire that can be cut and mended', async () => {
    const wire = await cluster.wire();
    const { token } = account;
    const kubeconfig = cluster.kubeconfigFor({ kind: 'token', token }, wire.url);
    const get = ['--kubeconfig', kubeconfig, 'get', 'cnp', '-o', 'name'];
    expect(await cluster.kubectl(get)).toContain('api');
    wire.cut();
    await expect(cluster.kubectl(get)).rejects.toThrow(/connection|EOF|reset/);
    wire.mend();
    wire.stall();
    await expect(cluster.kubectl([...get, '--request-timeout=2s'])).rejects.toThrow();
    wire.mend();
    expect(await cluster.kubectl(get)).toContain('api');
  });

  it('has its objects again after both it and its store were killed', async () => {
    await cluster.apiServer.end('SIGKILL');
    await cluster.store.part.end('SIGKILL');
    cluster.store.part.start();
    await cluster.store.ready();
    await cluster.startApiServer();
    expect(await cluster.kubectl(['get', 'cnp', '-o', 'name'])).toContain('api');
  });
});

describe('an API server with its controllers', () => {
  let cluster: ControlPlane;

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store: 'etcd', hasControllers: true });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
  });

  afterAll(() => cluster.stop());

  it('removes the policies of a namespace that is deleted', async () => {
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await cluster.apply(POLICY.replace('default', 'shop'));
    await cluster.kubectl(['delete', 'namespace', 'shop', '--timeout=150s']);
    expect(await cluster.kubectl(['get', 'cnp', '-A', '-o', 'name'])).toBe('');
  });
});
