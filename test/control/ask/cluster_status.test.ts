import { describe, expect, it } from 'vitest';
import { ClusterStatusReader } from '../../../src/control/ask/cluster_status.ts';
import type { SeenObject } from '../../../src/kube/seen_object.ts';

function seen(name: string, object: object): SeenObject {
  const [first = '', second] = name.split('/');
  const named =
    second === undefined ? { namespace: null, name: first } : { namespace: first, name: second };
  return { ...named, uid: null, version: '1', object };
}

/** Of a release with `nameOverride: guard`. */
const LABELS = {
  'app.kubernetes.io/name': 'guard',
  'app.kubernetes.io/part-of': 'sallyport',
  'app.kubernetes.io/component': 'node',
};

function proxy(node: string, status: object): SeenObject {
  const spec = { nodeName: node, hostNetwork: true };
  return seen(`sys/proxy-${node}`, { metadata: { labels: LABELS }, spec, status });
}

const READY = { conditions: [{ type: 'Ready', status: 'True' }] };

describe('a proxy is', () => {
  const waiting = (reason: string, message = '') => ({
    containerStatuses: [
      { name: 'proxy', restartCount: 2, state: { waiting: { reason, message } } },
    ],
  });
  const cases: readonly [about: string, status: object, ready: boolean, reason: string | null][] = [
    ['ready by its condition', READY, true, null],
    [
      'not ready as a container waits',
      waiting('ImagePullBackOff', 'no such image\nmore'),
      false,
      'proxy: ImagePullBackOff: no such image',
    ],
    [
      'not ready as a container ended',
      {
        containerStatuses: [
          { name: 'proxy', state: { terminated: { reason: 'Error', exitCode: 1 } } },
        ],
      },
      false,
      'proxy: Error',
    ],
    [
      'not ready by the word of kubelet',
      {
        conditions: [
          { type: 'Ready', status: 'False', message: 'containers with unready status: [proxy]' },
        ],
        initContainerStatuses: [
          { name: 'init', state: { terminated: { reason: 'Completed', exitCode: 0 } } },
        ],
      },
      false,
      'containers with unready status: [proxy]',
    ],
    ['not ready as it is pending', { phase: 'Pending' }, false, 'Pending'],
    ['not ready when nothing is known', {}, false, 'unknown'],
  ];
  it.each(cases)('%s', (_, status, ready, reason) => {
    const reader = new ClusterStatusReader();
    reader.pod(proxy('n1', status));
    const result = reader.result({ hasNodes: true });
    expect(result.ready).toBe(ready);
    expect(result.proxies).toMatchObject([{ node: 'n1', pod: 'sys/proxy-n1', ready, reason }]);
  });
});

describe('what became of a policy is', () => {
  const said = (condition: object, generation = 3) => ({
    metadata: { generation },
    status: { conditions: [{ observedGeneration: 3, ...condition }] },
  });
  const cases: readonly [about: string, object: object, expected: object][] = [
    [
      'in force',
      said({ type: 'Valid', status: 'True', reason: 'AcceptedBySallyport' }),
      { inForceCount: 1 },
    ],
    [
      'refused, with why',
      said({ type: 'Valid', status: 'False', reason: 'RefusedBySallyport', message: 'no' }),
      { refused: [{ object: 'CiliumNetworkPolicy shop/api', message: 'no' }] },
    ],
    [
      'refused beside what Cilium says',
      {
        status: {
          conditions: [
            { type: 'Valid', status: 'True', reason: 'Other' },
            {
              type: 'sallyport.io/Enforced',
              status: 'False',
              reason: 'RefusedBySallyport',
              message: 'no',
            },
          ],
        },
      },
      { refused: [{ object: 'CiliumNetworkPolicy shop/api', message: 'no' }] },
    ],
    [
      'unsaid where only Cilium says something',
      said({ type: 'Valid', status: 'True' }),
      { unsaidCount: 1 },
    ],
    [
      'unsaid of a newer form',
      said({ type: 'Valid', status: 'True', reason: 'AcceptedBySallyport' }, 4),
      { unsaidCount: 1 },
    ],
    ['unsaid without a status', {}, { unsaidCount: 1 }],
  ];
  it.each(cases)('%s', (_, object, expected) => {
    const reader = new ClusterStatusReader();
    reader.policy('CiliumNetworkPolicy', seen('shop/api', object));
    const { policies } = reader.result({ hasNodes: true });
    const none = { inForceCount: 0, refused: [], unsaidCount: 0 };
    expect(policies).toEqual({ count: 1, ...none, ...expected });
  });
});

it('counts pods by node, and names nodes without a proxy', () => {
  const reader = new ClusterStatusReader();
  for (const node of ['n1', 'n2', 'n3']) reader.node(seen(node, {}));
  reader.pod(proxy('n2', READY));
  const pod = (name: string, nodeName: string, podIP: string): SeenObject =>
    seen(name, { spec: { nodeName }, status: { podIP } });
  reader.pod(pod('shop/a', 'n2', '10.0.0.1'));
  reader.pod(pod('shop/b', 'n1', '10.0.0.2'));
  reader.pod(pod('shop/c', 'n2', ''));
  const webhook = { ...LABELS, 'app.kubernetes.io/component': 'admission' };
  reader.pod(seen('sys/hook', { metadata: { labels: webhook }, spec: { nodeName: 'n1' } }));
  const result = reader.result({ hasNodes: true });
  expect(result).toMatchObject({ ready: true, podCount: 2, nodesWithout: ['n1', 'n3'] });
  expect(result.proxies).toMatchObject([{ node: 'n2', podCount: 1 }]);
  expect(reader.result({ hasNodes: false }).nodesWithout).toBeNull();
});

it('is not ready without any proxy', () => {
  expect(new ClusterStatusReader().result({ hasNodes: true }).ready).toBe(false);
});
