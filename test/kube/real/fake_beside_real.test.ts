/** The double of an API server beside a real one: what a list, a watch and a refusal look like to a client. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeKubeApi } from '../../support/fake_kube_api.ts';
import { CNPS } from '../../support/kube_rig.ts';
import { until } from '../../support/until.ts';
import { ControlPlane } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';
import type { StoreKind } from './parts/store.ts';

const PATH = '/apis/cilium.io/v2/ciliumnetworkpolicies';
const STREAM =
  'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=';
const CONFIG_MAPS = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  isNamespaced: true,
} as const;

interface Server {
  /** What a request is answered with, without what differs between any two servers. */
  readonly ask: (path: string) => Promise<unknown>;
}

/** Objects of the two kinds are put in this order. */
const NAMES = ['a', 'b', 'c'] as const;

describe.each<[StoreKind, true | 'etcd-3.4']>([
  ['etcd', 'etcd-3.4'],
  ['kine', true],
])('the double and a real API server with %s', (store, streamsLists) => {
  let cluster: ControlPlane;
  let api: FakeKubeApi;
  let servers: readonly [Server, Server];

  beforeAll(async () => {
    cluster = await ControlPlane.start({ store });
    await cluster.applyDefinitions(OPEN_DEFINITIONS);
    api = await FakeKubeApi.start({ streamsLists });
    api.serve(CNPS);
    api.serve(CONFIG_MAPS);
    for (const name of NAMES) {
      const metadata = { namespace: 'default', name };
      await cluster.apply(
        [
          { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec: { n: name } },
          { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { n: name } },
        ]
          .map((object) => JSON.stringify(object))
          .join('\n---\n'),
      );
      api.put(CNPS, { metadata, spec: { n: name } });
      api.put(CONFIG_MAPS, { metadata, data: { n: name } });
    }
    servers = [
      { ask: async (path) => shapeOf(await real(path)) },
      { ask: async (path) => shapeOf(await fake(path)) },
    ];
    // Its cache of a kind is filled when it is first asked for.
    await until(async () => (await real(`${PATH}?${STREAM}&timeoutSeconds=1`)).status !== 429);
  });

  afterAll(async () => {
    await api.close();
    await cluster.stop();
  });

  async function real(path: string): Promise<Answer> {
    const { status, object } = await cluster.ask('GET', path);
    return { status, text: typeof object === 'string' ? object : JSON.stringify(object) };
  }

  async function fake(path: string): Promise<Answer> {
    const response = await fetch(`${api.url}${path}`, { signal: AbortSignal.timeout(60_000) });
    return { status: response.status, text: await response.text() };
  }

  it.each([
    ['a list', `${PATH}`],
    ['a list of a kind of Kubernetes itself', '/api/v1/namespaces/default/configmaps'],
    ['the first page', `${PATH}?limit=2`],
    ['a field that selects', `${PATH}?fieldSelector=metadata.name%3Db`],
    ['a namespace without any', '/api/v1/namespaces/nowhere/configmaps'],
    ['a group that is not there', '/apis/nope.example/v1/things'],
    ['a kind that is not there', '/apis/cilium.io/v2/things'],
    ['the kinds of a group that is not there', '/apis/nope.example/v1'],
    ['a streaming list', `${PATH}?${STREAM}&timeoutSeconds=3`],
    ['a streaming list from the future', `${PATH}?${STREAM}9999999&timeoutSeconds=3`],
    ['a watch from the future', `${PATH}?watch=true&resourceVersion=9999999&timeoutSeconds=1`],
  ])('answer alike to %s', async (_, path) => {
    const [one, other] = servers;
    expect(await other.ask(path)).toEqual(await one.ask(path));
  });

  it('know the same kinds', async () => {
    const has = async ({ text }: Answer): Promise<unknown> => {
      const list = JSON.parse(text);
      const names = list.resources.map(({ name }: { name: string }) => name);
      return [list.kind, list.groupVersion, names.includes('ciliumnetworkpolicies')];
    };
    const path = '/apis/cilium.io/v2';
    expect(await has(await fake(path))).toEqual(await has(await real(path)));
    const groups = ({ text }: Answer): unknown => {
      const list = JSON.parse(text);
      const group = list.groups.find(({ name }: { name: string }) => name === 'cilium.io');
      return [list.kind, group];
    };
    expect(groups(await fake('/apis'))).toEqual(groups(await real('/apis')));
  });
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

function shapeOf({ status, text }: Answer): unknown {
  const values = text
    .split('\n')
    .filter((line) => line.startsWith('{"type"'))
    .map((line) => JSON.parse(line));
  if (values.length > 0) return { status, events: values.filter(isTold).map(eventShape) };
  if (!text.startsWith('{')) return { status, text: text.trim() };
  return { status, object: objectShape(JSON.parse(text)) };
}

/** A bookmark that ends nothing may come before the stream ends, or not: by how far the store says that it is. */
// biome-ignore lint/suspicious/noExplicitAny: objects of the API
function isTold({ type, object }: any): boolean {
  return type !== 'BOOKMARK' || object.metadata.annotations !== undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: objects of the API
function eventShape({ type, object }: any): unknown {
  return { type, object: objectShape(object) };
}

/** Names, kinds and contents; of a refusal its code, its reason and its words. */
// biome-ignore lint/suspicious/noExplicitAny: objects of the API
function objectShape(object: any): unknown {
  const { kind, apiVersion, metadata, items, code, reason, message, details, spec, data } = object;
  if (kind === 'Status') {
    const words = message.replaceAll(/\d+/g, 'N').split('. You can start')[0];
    return { kind, code, reason, words, retry: details?.retryAfterSeconds };
  }
  return {
    ...{ kind, apiVersion, spec, data },
    name: metadata.name,
    hasVersion: metadata.resourceVersion !== undefined,
    hasUid: metadata.uid !== undefined,
    annotations: metadata.annotations,
    hasMore: metadata.continue === undefined ? undefined : metadata.continue !== '',
    remaining: metadata.remainingItemCount,
    items: items?.map(objectShape),
  };
}
