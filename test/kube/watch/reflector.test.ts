/** Every row of the table of errors of a list and a watch, and what else a server can do: the sink ends with what there is. */
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { listAll } from '../../../src/kube/watch/list_all.ts';
import type { FakeKubeApi, FakeRequest, Fault } from '../../support/fake_kube_api.ts';
import { CNPS, KubeRig, type KubeRigOptions, NODES, PODS } from '../../support/kube_rig.ts';
import type { MirrorSink } from '../../support/mirror_sink.ts';
import { settled } from '../../support/settled.ts';
import { until } from '../../support/until.ts';

const rigs: KubeRig[] = [];

afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.close()));
});

async function rigWith(count: number, options: KubeRigOptions = {}): Promise<KubeRig> {
  const rig = await KubeRig.start(options);
  rigs.push(rig);
  rig.api.serve(PODS);
  for (let i = 0; i < count; i++) rig.api.put(PODS, pod(i));
  return rig;
}

function pod(i: number, more: object = {}): { metadata: { namespace: string; name: string } } {
  return { metadata: { namespace: `ns-${i % 3}`, name: `pod-${i}` }, ...more };
}

function shownOf(api: FakeKubeApi, kind = PODS): readonly string[] {
  return [...api.objectsOf(kind)]
    .map(([key, { metadata }]) => `${key}@${metadata['resourceVersion']}`)
    .sort();
}

const isWatch = ({ isWatch: is, isStreamingList }: FakeRequest): boolean => is && !isStreamingList;
const isStreaming = ({ isStreamingList }: FakeRequest): boolean => isStreamingList;
const isList = ({ path, isWatch: is }: FakeRequest): boolean => !is && path.endsWith('/pods');
const isAny = (request: FakeRequest): boolean => isList(request) || request.isWatch;

/** "stream", "list", "page", "watch": what was asked. */
function askedOf({ requests }: FakeKubeApi, plural = 'pods'): readonly string[] {
  return requests
    .filter(({ path }) => path.endsWith(`/${plural}`))
    .map(({ query, isWatch: is, isStreamingList }) => {
      if (isStreamingList) return 'stream';
      if (is) return `watch ${query.get('resourceVersion')}`;
      return query.has('continue') ? 'page' : query.has('limit') ? 'list' : 'whole list';
    });
}

/** It holds what the server has, and believes so. */
async function same(rig: KubeRig, sink: MirrorSink, kind = PODS): Promise<void> {
  await until(() => `${sink.shown}` === `${shownOf(rig.api, kind)}` && sink.stale === null);
}

async function followed(rig: KubeRig, kind = PODS): Promise<MirrorSink> {
  const sink = rig.follow(kind);
  await until(() => sink.listedCount > 0 && rig.api.watchesOf(kind).length === 1);
  await same(rig, sink, kind);
  return sink;
}

describe('a start', () => {
  it.each([
    ['a server that streams lists', true, ['stream']],
    ['one that does not know it', 'unknown', ['stream', 'list']],
    ['one that has it off', false, ['stream', 'list']],
    ['one over a store that cannot', 'etcd-3.4', ['stream', 'list']],
  ] as const)('with %s ends with what there is', async (_, streamsLists, asked) => {
    const rig = await rigWith(7, { api: { streamsLists, bookmarkIntervalMs: 20 } });
    const sink = await followed(rig);
    expect(sink.listedCount).toBe(1);
    expect(askedOf(rig.api).slice(0, asked.length)).toEqual(asked);
    expect(askedOf(rig.api).filter((what) => what === 'stream')).toHaveLength(1);
    rig.api.put(PODS, pod(1, { spec: 2 }));
    rig.api.remove(PODS, { namespace: 'ns-2', name: 'pod-2' });
    await same(rig, sink);
    // What was learnt of the server holds for its other kinds.
    rig.api.serve(NODES);
    rig.api.put(NODES, { metadata: { name: 'node' } });
    await followed(rig, NODES);
    expect(askedOf(rig.api, 'nodes')[0]).toBe(streamsLists === true ? 'stream' : 'list');
  });

  it('does not keep what goes while it is listed', async () => {
    const rig = await rigWith(0);
    const event = (type: string, name: string, more: object = {}): string =>
      `${JSON.stringify({ type, object: { metadata: { namespace: 'a', name, resourceVersion: '9', ...more } } })}\n`;
    const end = { annotations: { 'k8s.io/initial-events-end': 'true' } };
    const { stream } = rig.client;
    rig.client.stream = (request) => {
      rig.client.stream = stream;
      const lines = [
        event('ADDED', 'one'),
        event('ADDED', 'two'),
        event('DELETED', 'one'),
        event('MODIFIED', 'two', { resourceVersion: '10' }),
        event('BOOKMARK', '', { ...end, resourceVersion: '10' }),
      ];
      const body = Readable.from([Buffer.from(lines.join(''))], { objectMode: false });
      expect(request.query?.get('sendInitialEvents')).toBe('true');
      return Promise.resolve({ kind: 'stream', body });
    };
    const sink = rig.follow(PODS);
    await until(() => sink.listedCount === 1);
    expect(sink.shown).toEqual(['a/two@10']);
  });

  it('reads pages', async () => {
    const rig = await rigWith(1201, { api: { streamsLists: false } });
    const sink = await followed(rig);
    expect(sink.listedCount).toBe(1);
    expect(askedOf(rig.api).slice(1, 5)).toEqual(['list', 'page', 'page', 'watch 1301']);
  });

  it('asks anew where a page came too late, and forgets what it had', async () => {
    const rig = await rigWith(1201, { api: { streamsLists: false } });
    rig.api.fault(({ query }) => query.has('continue'), { kind: 'slow', delayMs: 50 });
    const sink = rig.follow(PODS);
    await until(() => askedOf(rig.api).includes('page'));
    rig.api.remove(PODS, { namespace: 'ns-0', name: 'pod-0' });
    rig.api.compact();
    await until(() => sink.listedCount > 0);
    await same(rig, sink);
    expect(askedOf(rig.api)).toContain('whole list');
  });

  it('sees only what was selected, and what begins or ceases to be', async () => {
    const rig = await rigWith(0);
    const put = (name: string, labels: Readonly<Record<string, string>>, namespace = 'a'): void =>
      rig.api.put(PODS, { metadata: { namespace, name, labels } });
    put('one', { app: 'x' });
    put('two', { app: 'y' });
    put('three', { app: 'x' }, 'b');
    const sink = rig.follow(PODS, { namespace: 'a', labelSelector: 'app=x' });
    const named = rig.follow(PODS, { fieldSelector: 'metadata.name=two' });
    await until(() => sink.listedCount > 0 && named.listedCount > 0);
    expect([...sink.objects.keys(), ...named.objects.keys()]).toEqual(['a/one', 'a/two']);
    put('one', { app: 'y' });
    put('two', { app: 'x' });
    await until(() => `${[...sink.objects.keys()]}` === 'a/two');
  });

  it('is the same object from a list as from a watch', async () => {
    const rig = await rigWith(1, { api: { streamsLists: false } });
    const sink = await followed(rig);
    const listed = sink.objects.get('ns-0/pod-0')?.object;
    expect(listed).toMatchObject({ kind: 'Pod', apiVersion: 'v1' });
    rig.api.put(PODS, pod(3));
    await same(rig, sink);
    expect(sink.objects.get('ns-0/pod-3')?.object).toMatchObject({ kind: 'Pod', apiVersion: 'v1' });
  });
});

describe('a fault', () => {
  const FAULTS: readonly [string, (request: FakeRequest) => boolean, Fault][] = [
    ['410 of a watch', isWatch, { kind: 'status', code: 410, reason: 'Expired' }],
    ['410 in a watch', isWatch, { kind: 'event', code: 410, reason: 'Expired' }],
    ['410 Gone in a watch', isWatch, { kind: 'event', code: 410, reason: 'Gone' }],
    ['410 of a streaming list', isStreaming, { kind: 'event', code: 410, reason: 'Expired' }],
    ['410 of a list', isList, { kind: 'status', code: 410, reason: 'Expired' }],
    [
      '504 of a server that is behind',
      isWatch,
      {
        kind: 'status',
        code: 504,
        reason: 'Timeout',
        message: 'Timeout: Too large resource version: 9, current: 8',
      },
    ],
    ['429', isAny, { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfterS: 1 }],
    ['429 in a watch', isWatch, { kind: 'event', code: 429, reason: 'TooManyRequests' }],
    ['500', isAny, { kind: 'status', code: 500, reason: 'InternalError' }],
    ['500 in a watch', isWatch, { kind: 'event', code: 500, reason: 'InternalError' }],
    [
      '503 of something in between',
      isAny,
      { kind: 'text', code: 503, text: '<html>no backend</html>' },
    ],
    ['401', isAny, { kind: 'status', code: 401, reason: 'Unauthorized' }],
    ['403', isAny, { kind: 'status', code: 403, reason: 'Forbidden' }],
    [
      '404 of a server that is not ready',
      isAny,
      { kind: 'text', code: 404, text: '404 page not found' },
    ],
    ['400', isAny, { kind: 'status', code: 400, reason: 'BadRequest' }],
    ['a redirect', isAny, { kind: 'text', code: 302, text: '' }],
    ['a page instead of a list', isList, { kind: 'text', code: 200, text: '<html>login</html>' }],
    ['an object instead of a list', isList, { kind: 'text', code: 200, text: '{"kind":"Pod"}' }],
    ['nothing instead of a list', isList, { kind: 'text', code: 200, text: '' }],
    [
      'a page instead of a watch',
      isWatch,
      { kind: 'text', code: 200, text: '<html>login</html>\n' },
    ],
    ['a cut at once', isAny, { kind: 'cut', afterBytes: 0 }],
    ['a cut in a line', isAny, { kind: 'cut', afterBytes: 150 }],
    ['an end at once', isAny, { kind: 'end', afterBytes: 0 }],
    ['an end in a line', isAny, { kind: 'end', afterBytes: 150 }],
    ['a stall in a line', isAny, { kind: 'stall', afterBytes: 150 }],
    ['a slow answer', isAny, { kind: 'slow', delayMs: 100 }],
  ];

  describe.each(FAULTS)('of %s', (_, when, fault) => {
    it.each([
      ['a streaming list', true],
      ['pages', false],
    ])('ends with what there is, by %s', async (_way, streamsLists) => {
      const limits = { kubeRequestTimeoutMs: 30_000, kubeWatchQuietMaxMs: 60_000 };
      const rig = await rigWith(5, { api: { streamsLists }, limits });
      rig.api.fault(when, fault, 3);
      const sink = rig.follow(PODS);
      for (let i = 5; i < 9; i++) {
        await until(() => sink.listedCount > 0 || rig.api.requests.length > i);
        rig.api.put(PODS, pod(i));
        rig.api.remove(PODS, { namespace: `ns-${(i - 4) % 3}`, name: `pod-${i - 4}` });
        for (const watch of rig.api.watches) watch.end();
      }
      await same(rig, sink);
      expect(sink.listedCount).toBeGreaterThan(0);
    });
  });

  it('that lasts is told after a while, with its beginning, and taken back', async () => {
    const rig = await rigWith(2);
    const sink = await followed(rig);
    const startMs = rig.platform.clock.wallMs();
    rig.api.fault(
      isAny,
      { kind: 'status', code: 500, reason: 'InternalError', message: 'no' },
      1000,
    );
    for (const watch of rig.api.watches) watch.end();
    await until(() => sink.stale !== null);
    expect(rig.platform.clock.wallMs() - startMs).toBeGreaterThan(9_000);
    expect(sink.stale?.sinceMs).toBeGreaterThanOrEqual(startMs);
    expect(sink.stale?.sinceMs).toBeLessThan(rig.platform.clock.wallMs() - 9_000);
    await until(() => sink.stale?.problem === 'pods: the API server says 500 InternalError: no');
    rig.api.clearFaults();
    await same(rig, sink);
  });

  it('that is short is not told', async () => {
    const rig = await rigWith(2, { speed: 10 });
    const sink = await followed(rig);
    sink.healths.length = 0;
    rig.api.fault(isAny, { kind: 'status', code: 500 }, 1);
    for (const watch of rig.api.watches) watch.reset();
    rig.api.put(PODS, pod(9));
    await same(rig, sink);
    expect(sink.healths).toEqual([]);
  });
});

describe('a watch that breaks', () => {
  it.each([
    ['ends', (api: FakeKubeApi) => api.watches.map((watch) => watch.end())],
    ['is reset', (api: FakeKubeApi) => api.watches.map((watch) => watch.reset())],
    [
      'is cut in a line',
      (api: FakeKubeApi) =>
        api.watches.forEach((watch) => {
          watch.send('{"type":"ADD');
          watch.reset();
        }),
    ],
  ])('and %s goes on where it was, without a list', async (_, breaks) => {
    const rig = await rigWith(3);
    const sink = await followed(rig);
    rig.api.put(PODS, pod(7));
    await same(rig, sink);
    const { version } = rig.api;
    rig.api.put(NODES_OF(rig), { metadata: { name: 'n' } });
    rig.api.bookmark();
    await settled();
    breaks(rig.api);
    rig.api.put(PODS, pod(8));
    rig.api.remove(PODS, { namespace: 'ns-0', name: 'pod-0' });
    await same(rig, sink);
    expect(sink.listedCount).toBe(1);
    // From the bookmark, which is newer than the last event.
    expect(askedOf(rig.api)).toContain(`watch ${version + 1}`);
  });

  it('during a compaction lists what there is, and what went meanwhile goes', async () => {
    const rig = await rigWith(3);
    const sink = await followed(rig);
    rig.api.fault(isAny, { kind: 'status', code: 500 }, 1);
    for (const watch of rig.api.watches) watch.end();
    rig.api.remove(PODS, { namespace: 'ns-0', name: 'pod-0' });
    rig.api.put(PODS, pod(4));
    rig.api.compact();
    await same(rig, sink);
    expect(sink.listedCount).toBe(2);
    expect(sink.objects.has('ns-0/pod-0')).toBe(false);
  });

  it('never asks for a list that may be older than what it had', async () => {
    const rig = await rigWith(600, { api: { streamsLists: false } });
    await followed(rig);
    rig.api.compact();
    for (const watch of rig.api.watches)
      watch.event('ERROR', { kind: 'Status', code: 410, reason: 'Expired' });
    await until(() => askedOf(rig.api).filter((what) => what === 'list').length === 2);
    const lists = rig.api.requests.filter(isList);
    expect(lists.map(({ query }) => query.get('resourceVersion'))).toEqual(
      [null, null, null, null].slice(0, lists.length),
    );
  });

  it('is opened anew after a long silence of a server that sends bookmarks', async () => {
    const rig = await rigWith(2);
    const sink = await followed(rig);
    rig.api.bookmark();
    const startMs = rig.platform.clock.nowMs();
    await until(() => askedOf(rig.api).length > 1);
    expect(rig.platform.clock.nowMs() - startMs).toBeGreaterThan(179_000);
    expect(askedOf(rig.api)).toEqual(['stream', 'watch 102']);
    expect(sink.listedCount).toBe(1);
  });

  it('of a server that sends none lasts as long as it may, and goes on without a list', async () => {
    const rig = await rigWith(2, { speed: 1000 });
    const sink = await followed(rig);
    const startMs = rig.platform.clock.nowMs();
    await until(() => askedOf(rig.api).length > 3);
    expect(rig.platform.clock.nowMs() - startMs).toBeGreaterThan(600_000);
    // One object of a list tells that the server is not behind.
    expect(askedOf(rig.api).slice(0, 4)).toEqual(['stream', 'watch 102', 'list', 'watch 102']);
    expect(sink.listedCount).toBe(1);
  });

  it('of a server that was set back to a backup lists what there is', async () => {
    const rig = await rigWith(2, { speed: 1000 });
    const sink = await followed(rig);
    rig.api.setBack(50);
    rig.api.put(PODS, pod(7));
    await until(() => sink.listedCount === 2);
    await same(rig, sink);
  });

  it('lives on bookmarks', async () => {
    const rig = await rigWith(2, { api: { bookmarkIntervalMs: 300 } });
    const sink = await followed(rig);
    const startMs = rig.platform.clock.nowMs();
    await until(() => rig.platform.clock.nowMs() - startMs > 220_000);
    expect(askedOf(rig.api)).toEqual(['stream']);
    expect(sink.listedCount).toBe(1);
  });

  it('ends even if the server forgets to end it', async () => {
    const rig = await rigWith(2, { api: { bookmarkIntervalMs: 50 }, speed: 1000 });
    const sink = await followed(rig);
    await until(() => askedOf(rig.api).length > 1);
    expect(askedOf(rig.api)[1]).toMatch(/^watch /);
    expect(sink.listedCount).toBe(1);
  });

  it('waits as long as a server asks', async () => {
    const rig = await rigWith(2);
    await followed(rig);
    const startMs = rig.platform.clock.nowMs();
    rig.api.fault(isWatch, { kind: 'status', code: 429, retryAfterS: 60 });
    for (const watch of rig.api.watches) watch.end();
    await until(() => askedOf(rig.api).length === 3);
    expect(rig.platform.clock.nowMs() - startMs).toBeGreaterThan(60_000);
    expect(askedOf(rig.api)[2]).toBe('watch 102');
  });

  it('does not wait for ever, whatever a server asks for', async () => {
    const rig = await rigWith(2, { speed: 1000 });
    await followed(rig);
    rig.api.fault(isWatch, { kind: 'status', code: 429, retryAfterS: 900_000 });
    for (const watch of rig.api.watches) watch.end();
    await until(() => askedOf(rig.api).length > 2);
  });

  it('does not run over a server that ends each one at once', async () => {
    const rig = await rigWith(2, { speed: 1000 });
    await followed(rig);
    rig.api.fault(isWatch, { kind: 'end', afterBytes: 0 }, 1000);
    const startMs = rig.platform.clock.nowMs();
    for (const watch of rig.api.watches) watch.end();
    await until(() => rig.platform.clock.nowMs() - startMs > 120_000);
    expect(askedOf(rig.api).length).toBeLessThan(12);
  });
});

describe('a kind that is not installed', () => {
  it('holds up no start, and is taken up when it comes', async () => {
    const rig = await rigWith(0);
    const sink = rig.follow(CNPS);
    await until(() => sink.listedCount === 1);
    expect(sink.stale).toBe(null);
    rig.api.serve(CNPS);
    rig.api.put(CNPS, { metadata: { namespace: 'shop', name: 'api' } });
    await same(rig, sink, CNPS);
    expect(sink.listedCount).toBe(2);
  });

  it('and is taken away takes its objects along, once the server has said so twice', async () => {
    const rig = await rigWith(0);
    rig.api.serve(CNPS);
    rig.api.put(CNPS, { metadata: { namespace: 'shop', name: 'api' } });
    const sink = await followed(rig, CNPS);
    const startMs = rig.platform.clock.nowMs();
    rig.api.unserve(CNPS);
    await until(() => sink.listedCount === 2);
    expect(rig.platform.clock.nowMs() - startMs).toBeGreaterThan(10_000);
    expect(sink.objects.size).toBe(0);
    rig.api.serve(CNPS);
    rig.api.put(CNPS, { metadata: { namespace: 'shop', name: 'api' } });
    await same(rig, sink, CNPS);
  });

  it('for a moment only, as of a server that starts, keeps its objects', async () => {
    const rig = await rigWith(0);
    rig.api.serve(CNPS);
    rig.api.put(CNPS, { metadata: { namespace: 'shop', name: 'api' } });
    const sink = await followed(rig, CNPS);
    const before = rig.api.objectsOf(CNPS);
    rig.api.unserve(CNPS);
    await until(() => rig.api.requests.some(({ path }) => path === '/apis'));
    rig.api.serve(CNPS);
    for (const [, object] of before) rig.api.put(CNPS, object);
    await same(rig, sink, CNPS);
    expect(sink.gone).toEqual([]);
  });

  it('by the word of a page only (404) keeps its objects, and is told', async () => {
    const rig = await rigWith(2);
    const sink = await followed(rig);
    rig.api.fault(isAny, { kind: 'text', code: 404, text: 'not found' }, 1000);
    for (const watch of rig.api.watches) watch.end();
    await until(() => sink.stale !== null);
    expect(sink.objects.size).toBe(2);
    rig.api.clearFaults();
    await same(rig, sink);
  });
});

describe('a kind that we may not see', () => {
  it('is told at once, is asked for more and more slowly, and is taken up when we may', async () => {
    const rig = await rigWith(2);
    const message = 'pods is forbidden: User "u" cannot list resource "pods"';
    rig.api.fault(isAny, { kind: 'status', code: 403, reason: 'Forbidden', message }, 7);
    const sink = rig.follow(PODS);
    const problem = `pods: the API server says 403 Forbidden: ${message}`;
    await until(() => sink.stale?.problem === problem);
    expect(sink.listedCount).toBe(0);
    const startMs = rig.platform.clock.nowMs();
    await same(rig, sink);
    expect(rig.platform.clock.nowMs() - startMs).toBeGreaterThan(60_000);
  });
});

describe('a list', () => {
  it.each([true, false])(
    'of too many objects is given up and told (streaming: %s)',
    async (streamsLists) => {
      const rig = await rigWith(1200, {
        api: { streamsLists },
        limits: { kubeObjectCountMax: 1100 },
      });
      const sink = rig.follow(PODS);
      const problem = 'pods: there are more than kubeObjectCountMax allows (1100)';
      await until(() => sink.stale?.problem === problem);
      expect(sink.listedCount).toBe(0);
      for (let i = 0; i < 100; i++)
        rig.api.remove(PODS, { namespace: `ns-${i % 3}`, name: `pod-${i}` });
      await same(rig, sink);
    },
  );

  it('whose pages come round again is given up', async () => {
    const rig = await rigWith(0);
    const page = {
      kind: 'PodList',
      metadata: { resourceVersion: '7', continue: 'same' },
      items: [],
    };
    rig.api.handler = ({ isWatch: is }) => (is ? null : { code: 200, object: page });
    const { platform, client, limits } = rig;
    const { signal } = new AbortController();
    const options = { kind: PODS, selection: {}, timers: platform.timers, limits, signal };
    const result = await listAll(client, options, { object: () => {}, again: () => {} });
    expect(result).toEqual({ kind: 'unreachable', message: 'the list does not go on' });
  });

  it.each(['', '0', null])('of the version %j is none', async (resourceVersion) => {
    const rig = await rigWith(0, { api: { streamsLists: false } });
    const list = { kind: 'PodList', metadata: { resourceVersion }, items: [] };
    rig.api.handler = ({ isWatch: is }) => (is ? null : { code: 200, object: list });
    const sink = rig.follow(PODS);
    await until(() => sink.stale?.problem === 'pods: the list has no resourceVersion');
    expect(sink.listedCount).toBe(0);
  });
});

describe('an object that cannot be read', () => {
  const deep = JSON.stringify(pod(1)).replace(
    '}}',
    `},"spec":${'['.repeat(200)}${']'.repeat(200)}}`,
  );
  const withVersion = (text: string): string =>
    text.replace('"name"', '"resourceVersion":"900","name"');

  it.each([
    ['too deep', withVersion(deep)],
    ['no JSON', withVersion(JSON.stringify(pod(1))).replace('}}', '},"spec":}')],
    ['too large', withVersion(JSON.stringify(pod(1, { spec: 'x'.repeat(200_000) })))],
    ['without a version', JSON.stringify(pod(1))],
  ])('(%s) is skipped, keeps its form, and is told until it can be read', async (_, text) => {
    const rig = await rigWith(3, { limits: { kubeObjectBytesMax: 100_000 } });
    const sink = await followed(rig);
    const before = sink.objects.get('ns-1/pod-1');
    for (const watch of rig.api.watches) watch.send(`{"type":"MODIFIED","object":${text}}\n`);
    rig.api.put(PODS, pod(5));
    await until(() => sink.objects.has('ns-2/pod-5'));
    expect(sink.stale?.problem).toContain(
      'objects that cannot be read keep the form they had: ns-1/pod-1: ',
    );
    expect(sink.objects.get('ns-1/pod-1')).toBe(before);
    rig.api.put(PODS, pod(1));
    await same(rig, sink);
    expect(sink.listedCount).toBe(1);
  });

  it.each([true, false])('in a list is kept, too (streaming: %s)', async (streamsLists) => {
    const rig = await rigWith(3, {
      api: { streamsLists },
      limits: { kubeObjectBytesMax: 100_000 },
    });
    const sink = await followed(rig);
    const before = sink.objects.get('ns-1/pod-1')?.version;
    rig.api.fault(isWatch, { kind: 'status', code: 410 });
    for (const watch of rig.api.watches) watch.end();
    await settled();
    rig.api.put(PODS, pod(1, { spec: 'x'.repeat(200_000) }));
    rig.api.put(PODS, pod(5));
    await until(() => sink.objects.has('ns-2/pod-5'));
    await until(() => sink.stale !== null);
    expect(sink.objects.get('ns-1/pod-1')?.version).toBe(before);
    rig.api.remove(PODS, { namespace: 'ns-1', name: 'pod-1' });
    await same(rig, sink);
  });

  it('and has no name is listed for, once', async () => {
    const rig = await rigWith(3);
    const sink = await followed(rig);
    for (const watch of rig.api.watches)
      watch.send('{"type":"ADDED","object":{"metadata":{}}}\nnonsense\n');
    await until(() => sink.listedCount === 2);
    await same(rig, sink);
  });

  it.each([true, false])(
    'and has no name is told as long as it is there, and no longer (streaming: %s)',
    async (streamsLists) => {
      const rig = await rigWith(3, { api: { streamsLists } });
      rig.api.put(PODS, { metadata: { namespace: 'ns-1', name: '' } });
      const sink = rig.follow(PODS);
      await until(() => sink.stale?.problem.includes('without a name') ?? false);
      rig.api.remove(PODS, { namespace: 'ns-1', name: '' });
      for (const watch of rig.api.watches) watch.end();
      await same(rig, sink);
    },
  );

  it('because of a fault of ours is told, and all others go on', async () => {
    const rig = await rigWith(3);
    const sink = await followed(rig);
    const put = sink.put.bind(sink);
    sink.put = (seen) => {
      if (seen.name === 'pod-7') throw new Error('a fault');
      put(seen);
    };
    rig.api.put(PODS, pod(7));
    rig.api.put(PODS, pod(8));
    await until(() => sink.objects.has('ns-2/pod-8'));
    expect(sink.stale?.problem).toContain('ns-1/pod-7: internal error: a fault');
  });
});

describe('a reflector that is stopped', () => {
  it('leaves no connection and tells nothing more', async () => {
    const rig = await rigWith(3);
    const sink = await followed(rig);
    await rig.stopFollowing();
    await until(() => rig.api.watches.length === 0);
    rig.api.put(PODS, pod(8));
    await settled();
    expect(sink.objects.size).toBe(3);
  });

  it.each<[string, Fault]>([
    ['an answer', { kind: 'hang' }],
    ['its next attempt', { kind: 'status', code: 500 }],
    ['a right', { kind: 'status', code: 403 }],
  ])('while it waits for %s is stopped at once', async (_, fault) => {
    const rig = await rigWith(3, { speed: 1 });
    rig.api.fault(isAny, fault, 100);
    const sink = rig.follow(PODS);
    await until(() => rig.api.requests.length > 0);
    await settled();
    await rig.stopFollowing();
    expect(sink.listedCount).toBe(0);
  });
});

function NODES_OF({ api }: KubeRig): typeof NODES {
  api.serve(NODES);
  return NODES;
}
