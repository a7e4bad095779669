/** The reflector beside a real API server, over both stores: whatever breaks, the sink ends with what kubectl shows. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadAccess } from '../../../src/kube/access/load_access.ts';
import { ApiClient } from '../../../src/kube/api_client.ts';
import { type KubeKind, pathOf } from '../../../src/kube/kind.ts';
import { ApiServer } from '../../../src/kube/watch/api_server.ts';
import { Reflector } from '../../../src/kube/watch/reflector.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import { fastPlatform } from '../../support/fast_platform.ts';
import { CNPS } from '../../support/kube_rig.ts';
import { MirrorSink } from '../../support/mirror_sink.ts';
import { until } from '../../support/until.ts';
import { type Account, ControlPlane } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';
import type { StoreKind } from './parts/store.ts';

const CONFIG_MAPS: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  isNamespaced: true,
};
const AFTER = 'default/after-a-minute';
const PATIENCE_MS = 150_000;
const SPEED = 10;

interface Followed {
  readonly sink: MirrorSink;
  readonly client: ApiClient;
  readonly server: ApiServer;
}

describe.each<StoreKind>(['etcd', 'kine'])('an API server with %s', (store) => {
  let cluster: ControlPlane;
  let reader: Account;
  const closing: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    const resources = ['configmaps', 'ciliumnetworkpolicies'];
    reader = await cluster.account('tests/reader', [
      { apiGroups: ['', 'cilium.io'], resources, verbs: ['list', 'watch'] },
    ]);
  });

  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  afterAll(() => cluster.stop());

  function follow(kind: KubeKind, kubeconfig = reader.kubeconfig): Followed {
    const platform = fastPlatform(SPEED);
    const client = connect(kubeconfig, platform);
    const server = new ApiServer(client, platform);
    return { sink: followBy(client, server, platform, kind), client, server };
  }

  function connect(kubeconfig: string, platform: Platform): ApiClient {
    const limits = DEFAULT_LIMITS;
    const found = loadAccess({
      ...{ kubeconfig, context: null, env: {}, home: null, limits },
      clock: platform.clock,
    });
    if (found.kind === 'error') throw new Error(found.message);
    const client = new ApiClient(found.access, { platform, limits, userAgent: 'sallyport/test' });
    closing.push(() => client.close());
    return client;
  }

  function followBy(
    client: ApiClient,
    server: ApiServer,
    platform: Platform,
    kind = CONFIG_MAPS,
  ): MirrorSink {
    const limits = DEFAULT_LIMITS;
    const sink = new MirrorSink();
    const reflector = new Reflector({ client, kind, sink, server, platform, limits });
    reflector.start();
    closing.push(() => reflector.stop());
    return sink;
  }

  async function same(sink: MirrorSink, kind: KubeKind): Promise<void> {
    await until(async () => {
      if (sink.listedCount === 0 || sink.stale !== null) return false;
      const { object } = await cluster.ask('GET', pathOf(kind));
      const items = object.items as { metadata: Record<string, string> }[];
      const there = items.map(
        ({ metadata }) =>
          `${metadata['namespace']}/${metadata['name']}@${metadata['resourceVersion']}`,
      );
      return `${there.sort()}` === `${sink.shown}`;
    }, PATIENCE_MS);
  }

  const mapPath = (name = ''): string => `/api/v1/namespaces/default/configmaps/${name}`;
  const put = (name: string, value: string): Promise<unknown> =>
    cluster.ask(
      'PATCH',
      `${mapPath(name)}?fieldManager=test&force=true`,
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name },
        data: { value },
      },
      'application/apply-patch+yaml',
    );
  const remove = (name: string): Promise<unknown> => cluster.ask('DELETE', mapPath(name));

  it('is followed from the first list on, by the way that its store allows', async () => {
    await put('first', '1');
    const { sink, server } = follow(CONFIG_MAPS);
    await same(sink, CONFIG_MAPS);
    expect(server.streamsLists).toBe(store === 'kine');
    await put('first', '2');
    await put('second', '1');
    await same(sink, CONFIG_MAPS);
    await remove('first');
    await same(sink, CONFIG_MAPS);
    expect(sink.listedCount).toBe(1);
    const { object } = sink.objects.get('default/second') ?? {};
    expect(object).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', data: { value: '1' } });
  });

  it('that is killed and comes back is followed on', async () => {
    const { sink } = follow(CONFIG_MAPS);
    await same(sink, CONFIG_MAPS);
    await cluster.apiServer.end('SIGKILL');
    await until(() => sink.stale !== null, PATIENCE_MS);
    expect(sink.stale?.problem).toContain('connection refused');
    await cluster.startApiServer();
    await put('after-kill', '1');
    await same(sink, CONFIG_MAPS);
  });

  it('that was gone for a minute is followed again, in all kinds at once', {
    timeout: 600_000,
  }, async () => {
    const platform = fastPlatform(SPEED);
    const client = connect(reader.kubeconfig, platform);
    const server = new ApiServer(client, platform);
    const sinks = Array.from({ length: 12 }, () => followBy(client, server, platform));
    await until(() => sinks.every(({ stale }) => stale === null), PATIENCE_MS);
    await cluster.apiServer.end('SIGKILL');
    await until(() => sinks.every(({ stale }) => stale !== null), PATIENCE_MS);
    const { count } = server.outage;
    const goneMs = platform.clock.nowMs();
    await until(() => platform.clock.nowMs() - goneMs > 60_000);
    await cluster.startApiServer();
    await put('after-a-minute', '1');
    await until(
      () => sinks.every(({ stale, objects }) => stale === null && objects.has(AFTER)),
      PATIENCE_MS,
    );
    // Nobody waited for the rest of its own back-off: how soon that is, test/kube/watch/outage.test.ts says.
    expect(server.outage.count).toBeGreaterThan(count);
  });

  it('that stops answering is given up, and followed on once it answers', async () => {
    const { sink } = follow(CONFIG_MAPS);
    await same(sink, CONFIG_MAPS);
    cluster.apiServer.pause();
    await until(() => sink.stale !== null, PATIENCE_MS);
    cluster.apiServer.resume();
    await put('after-pause', '1');
    await same(sink, CONFIG_MAPS);
  });

  it('whose versions are forgotten while nobody hears it is listed, in pages or as a stream', async () => {
    for (let i = 0; i < 620; i++) await put(`many-${i}`, 'x'.repeat(100));
    const wire = await cluster.wire();
    const path = cluster.kubeconfigFor({ kind: 'token', token: reader.token }, wire.url);
    const { sink } = follow(CONFIG_MAPS, path);
    await same(sink, CONFIG_MAPS);
    expect(sink.objects.size).toBeGreaterThan(620);
    wire.cut();
    for (let i = 0; i < 130; i++) await remove(`many-${i}`);
    await cluster.forgetVersions();
    const { listedCount } = sink;
    wire.mend();
    await same(sink, CONFIG_MAPS);
    expect(sink.objects.has('default/many-0')).toBe(false);
    // kine forgets some versions only.
    if (store === 'etcd') expect(sink.listedCount).toBe(listedCount + 1);
  });

  it('behind a dead entry of a NAT table is given up, and reached anew', async () => {
    const wire = await cluster.wire();
    const path = cluster.kubeconfigFor({ kind: 'token', token: reader.token }, wire.url);
    const { sink } = follow(CONFIG_MAPS, path);
    await same(sink, CONFIG_MAPS);
    wire.stall();
    await put('during-stall', '1');
    await until(() => sink.stale !== null, PATIENCE_MS);
    wire.mend();
    await same(sink, CONFIG_MAPS);
  });

  it('gives what somebody may see once he may, and says what he may not', async () => {
    const nobody = await cluster.account('tests/nobody');
    const { sink } = follow(CONFIG_MAPS, nobody.kubeconfig);
    await until(() => sink.stale !== null, PATIENCE_MS);
    expect(sink.stale?.problem).toContain('configmaps is forbidden');
    expect(sink.listedCount).toBe(0);
    await cluster.account('tests/nobody', [
      { apiGroups: [''], resources: ['configmaps'], verbs: ['list', 'watch'] },
    ]);
    await same(sink, CONFIG_MAPS);
  });

  it.each([
    ['list', 'watch'],
    ['watch', 'list'],
  ])(
    'is not followed by who may only %s, which names the other verb, until he may both',
    async (may, mayNot) => {
      const rule = { apiGroups: [''], resources: ['configmaps'] };
      const half = await cluster.account(`tests/only-${may}`, [{ ...rule, verbs: [may] }]);
      const { sink, server } = follow(CONFIG_MAPS, half.kubeconfig);
      const isEnough = (): boolean => may === 'watch' && server.streamsLists;
      await until(() => sink.stale !== null || (isEnough() && sink.followedCount > 0), PATIENCE_MS);
      if (sink.stale !== null) {
        expect(sink.stale.problem).toMatch(`cannot ${mayNot} resource "configmaps"`);
        expect(sink.followedCount).toBe(0);
      }
      await cluster.account(`tests/only-${may}`, [{ ...rule, verbs: ['list', 'watch'] }]);
      await same(sink, CONFIG_MAPS);
      await until(() => sink.followedCount > 0, PATIENCE_MS);
    },
  );

  it('takes the token that the file has now', async () => {
    const bound = async (secret: string): Promise<string> => {
      await cluster.kubectl(['-n', 'tests', 'create', 'secret', 'generic', secret]);
      return await cluster.token('tests/reader', secret);
    };
    const path = join(cluster.folder, 'token');
    writeFileSync(path, await bound('one'));
    const { sink } = follow(CONFIG_MAPS, cluster.kubeconfigFor({ kind: 'token-file', path }));
    await same(sink, CONFIG_MAPS);
    await cluster.kubectl(['-n', 'tests', 'delete', 'secret', 'one']);
    writeFileSync(path, await bound('two'));
    // Those that are open stay: the token counts for what is asked next.
    await cluster.apiServer.end('SIGKILL');
    await cluster.startApiServer();
    await put('after-rotation', '1');
    await same(sink, CONFIG_MAPS);
  });

  it('without the kind has none of it, and is followed when it has', async () => {
    const { sink } = follow(CNPS);
    const policy =
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: a, namespace: default }\nspec: {}\n';
    await cluster.apply(policy);
    await same(sink, CNPS);
    await until(() => sink.objects.size === 1);
    await cluster.kubectl(['delete', 'crd', 'ciliumnetworkpolicies.cilium.io']);
    await until(() => sink.objects.size === 0, PATIENCE_MS);
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    await cluster.apply(policy);
    await until(() => sink.objects.size === 1, PATIENCE_MS);
    await same(sink, CNPS);
  });
});
