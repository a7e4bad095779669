/** What the inventory says of a cluster, object by object. */
import { describe, expect, it } from 'vitest';
import type { ClusterKind } from '../../../../src/control/source/kube/cluster_kinds.ts';
import {
  ClusterState,
  type ClusterStateOptions,
} from '../../../../src/control/source/kube/cluster_state.ts';
import type { SeenObject } from '../../../../src/kube/seen_object.ts';
import type { IpText } from '../../../../src/model/address.ts';
import { DEFAULT_LABEL_FILTER, LabelFilter } from '../../../../src/policy/label_filter.ts';
import {
  ciliumEndpoint,
  ciliumEndpointSlice,
  ciliumIdentity,
  ciliumNode,
  endpointSlice,
  namespace,
  node,
  pod,
  service,
} from './kube_objects.ts';

type Put = readonly [ClusterKind, SeenObject];

const OPTIONS: ClusterStateOptions = {
  cluster: 'default',
  nodeName: 'n1',
  identities: 'own',
  hasNodeLabels: false,
  labelFilter: DEFAULT_LABEL_FILTER,
  nodeLabelFilter: new LabelFilter({ patterns: [], isWhitelist: false }),
};

const SHOP: Put = ['Namespace', namespace('shop', { team: 'a' })];
const SHOP_LABELS = [
  'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
  'k8s:io.cilium.k8s.namespace.labels.team=a',
  'k8s:io.cilium.k8s.policy.cluster=default',
  'k8s:io.kubernetes.pod.namespace=shop',
];
const INIT = ['reserved:init'];

function stateOf(puts: readonly Put[], options: Partial<ClusterStateOptions> = {}): ClusterState {
  const state = new ClusterState({ ...OPTIONS, ...options });
  for (const [kind, seen] of puts) state.put(kind, seen);
  return state;
}

/** What each endpoint has: addresses, labels, identity and whether it is here. */
function shown(state: ClusterState): Record<string, unknown> {
  return Object.fromEntries(
    state
      .inventory()
      .endpoints.map(({ name, ips, labels, identity, isLocal }) => [
        name,
        [ips.map(({ text }) => text).join(' '), [...labels], identity, isLocal],
      ]),
  );
}

/** Which addresses each endpoint has. */
function addresses(state: ClusterState): Record<string, string> {
  return Object.fromEntries(
    state
      .inventory()
      .endpoints.map(({ name, ips }) => [name, ips.map(({ text }) => text).join(' ')]),
  );
}

describe('a pod', () => {
  const api = (spec: Parameters<typeof pod>[1]): Put => ['Pod', pod('shop/api', spec)];
  const labels = { app: 'api' };

  it('has its labels, those of its namespace, its account and its cluster', () => {
    const state = stateOf([SHOP, api({ ips: ['10.0.0.1'], labels, account: 'robot', node: 'n1' })]);
    expect(shown(state)).toEqual({
      'shop/api': [
        '10.0.0.1',
        [
          'k8s:app=api',
          ...SHOP_LABELS.slice(0, 3),
          'k8s:io.cilium.k8s.policy.serviceaccount=robot',
          ...SHOP_LABELS.slice(3),
        ],
        null,
        true,
      ],
    });
  });

  it.each<[string, Parameters<typeof pod>[1], Record<string, string>]>([
    ['of the network of its host', { ips: ['10.9.0.1'], isHostNetwork: true }, {}],
    ['without an address yet', { phase: 'Pending' }, {}],
    ['that starts', { phase: 'Pending', ips: ['10.0.0.1'] }, { 'shop/api': '10.0.0.1' }],
    ['that is finished', { phase: 'Succeeded', ips: ['10.0.0.1'] }, {}],
    ['that has failed', { phase: 'Failed', ips: ['10.0.0.1'] }, {}],
    ['that terminates', { isTerminating: true, ips: ['10.0.0.1'] }, { 'shop/api': '10.0.0.1' }],
    ['of two families', { ips: ['10.0.0.1', 'FD00::0:1'] }, { 'shop/api': '10.0.0.1 fd00::1' }],
  ])('%s', (_, spec, expected) => {
    expect(addresses(stateOf([SHOP, api(spec)]))).toEqual(expected);
  });

  it('forges no label of the agent, no namespace, no reserved label', () => {
    const forged = {
      'io.cilium.k8s.namespace.labels.team': 'admin',
      'io.cilium.k8s.policy.serviceaccount': 'root',
      'io.cilium.k8s.policy.cluster': 'other',
      'io.cilium.k8sanything': 'x',
      'io.kubernetes.pod.namespace': 'kube-system',
      app: 'api',
    };
    const state = stateOf([SHOP, api({ ips: ['10.0.0.1'], labels: forged })]);
    expect(state.inventory().endpoints[0]?.labels).toEqual(['k8s:app=api', ...SHOP_LABELS]);
    const reserved = stateOf([SHOP, api({ ips: ['10.0.0.1'], labels: { 'reserved:host': '' } })]);
    expect(reserved.inventory().endpoints[0]?.labels).toEqual([
      'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
      'k8s:io.cilium.k8s.namespace.labels.team=a',
      'k8s:io.cilium.k8s.policy.cluster=default',
      'k8s:io.kubernetes.pod.namespace=shop',
    ]);
    expect(reserved.problems()).toMatchObject([
      { field: 'metadata.labels', message: '"reserved:host" is no key of a label' },
    ]);
  });

  it.each([
    ['here it is in default deny', 'n1', INIT],
    ['elsewhere no label selects it', 'n2', []],
  ])('of a namespace that is not known: %s', (_, on, expected) => {
    const state = stateOf([api({ ips: ['10.0.0.1'], labels, node: on })]);
    const isLocal = on === 'n1';
    expect(shown(state)).toEqual({ 'shop/api': ['10.0.0.1', expected, null, isLocal] });
    state.put(...SHOP);
    expect(state.inventory().endpoints[0]?.labels).toEqual(['k8s:app=api', ...SHOP_LABELS]);
    state.removed('Namespace', { namespace: null, name: 'shop' });
    expect(shown(state)).toEqual({ 'shop/api': ['10.0.0.1', expected, null, isLocal] });
  });

  it('of another uid under the same name is another pod', () => {
    const state = stateOf([SHOP, api({ uid: 'a', ips: ['10.0.0.1'], labels: { app: 'api' } })]);
    state.put(
      ...api({ uid: 'b', ips: ['10.0.0.2'], labels: { app: 'web' }, created: 1_800_000_000 }),
    );
    expect(shown(state)).toEqual({
      'shop/api': ['10.0.0.2', ['k8s:app=web', ...SHOP_LABELS], null, false],
    });
  });

  it.each<[string, Parameters<typeof pod>[1], string | null]>([
    ['of this node', { node: 'n1' }, 'u1'],
    ['of another node', { node: 'n2' }, null],
    [
      'of a file',
      { node: 'n1', mirror: '0123456789abcdef0123456789abcdef' },
      '0123456789abcdef0123456789abcdef',
    ],
    [
      'that says it is another',
      { node: 'n1', mirror: '6a9a3c9e-0000-4000-8000-000000000000' },
      'u1',
    ],
  ])('%s is known to the kubelet by its UID', (_, spec, podUid) => {
    const state = stateOf([SHOP, api({ uid: 'u1', ips: ['10.0.0.1'], ...spec })]);
    expect(state.inventory().endpoints[0]?.podUid).toBe(podUid);
  });

  it('is local on every node when none is ours', () => {
    const state = stateOf([SHOP, api({ ips: ['10.0.0.1'], node: 'n7' })], { nodeName: null });
    expect(state.inventory().endpoints.map(({ isLocal }) => isLocal)).toEqual([true]);
  });

  it('names its ports, those of sidecars too, where a container does not use the name', () => {
    const seen = api({ ips: ['10.0.0.1'] })[1];
    const object = structuredClone(seen.object) as { spec: Record<string, unknown> };
    object.spec['initContainers'] = [
      {
        restartPolicy: 'Always',
        ports: [
          { name: 'mesh', containerPort: 15_000 },
          { name: 'http', containerPort: 1 },
        ],
      },
      { ports: [{ name: 'early', containerPort: 9 }] },
    ];
    object.spec['containers'] = [
      { ports: [{ name: 'http', containerPort: 80 }, { containerPort: 81 }] },
      {
        ports: [
          { name: 'dns', containerPort: 53, protocol: 'UDP' },
          { name: 'http', containerPort: 8080 },
        ],
      },
    ];
    const state = stateOf([SHOP, ['Pod', { ...seen, object }]]);
    expect(state.inventory().endpoints[0]?.namedPorts).toEqual([
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'mesh', port: 15_000, protocol: 'TCP' },
    ]);
  });
});

describe('one address that two objects claim', () => {
  const at = (name: string, spec: Parameters<typeof pod>[1]): Put => [
    'Pod',
    pod(`shop/${name}`, { ips: ['10.0.0.1'], ...spec }),
  ];
  it.each<[string, readonly Put[], string | null]>([
    ['the newest has it', [at('a', { created: 10 }), at('b', { created: 20 })], 'shop/b'],
    [
      'one that goes has it no more',
      [at('a', { created: 10 }), at('b', { created: 20, isTerminating: true })],
      'shop/a',
    ],
    [
      'one that is finished never has it',
      [at('a', { created: 10, isTerminating: true }), at('b', { created: 20, phase: 'Failed' })],
      'shop/a',
    ],
    [
      'that of the node whose podCIDRs have it has it, and not the newest',
      [
        ['Node', node('n2', { podCidrs: ['10.0.0.0/24', 'fd00::/64'] })],
        ['Node', node('n3', { podCidrs: ['10.0.1.0/24'] })],
        at('a', { node: 'n2', created: 10 }),
        at('b', { node: 'n3', created: 20 }),
      ],
      'shop/a',
    ],
    [
      'one of a node without podCIDRs comes behind',
      [
        ['Node', node('n2', { podCidrs: ['10.0.0.0/24'] })],
        at('a', { node: 'n2', created: 10 }),
        at('b', { node: 'n3', created: 20 }),
      ],
      'shop/a',
    ],
    [
      'of nodes that both have it the newest has it',
      [
        ['Node', node('n2', { podCidrs: ['10.0.0.0/24'] })],
        ['Node', node('n3', { podCidrs: ['10.0.0.0/16'] })],
        at('a', { node: 'n2', created: 10 }),
        at('b', { node: 'n3', created: 20 }),
      ],
      'shop/b',
    ],
    [
      'one that goes has it no more, whatever its node has',
      [
        ['Node', node('n2', { podCidrs: ['10.0.0.0/24'] })],
        at('a', { node: 'n2', isTerminating: true }),
        at('b', { node: 'n3' }),
      ],
      'shop/b',
    ],
    ['of the same second the first by name', [at('b', {}), at('a', {})], 'shop/a'],
    ['a node has it', [['Node', node('n2', { ips: ['10.0.0.1'] })], at('a', {})], 'Node/n2'],
    [
      'a pod of this node has it, whatever another node says of itself',
      [['Node', node('n2', { ips: ['10.0.0.1'], created: 30 })], at('a', { node: 'n1' })],
      'shop/a',
    ],
    [
      'a pod of this node has it, whatever another node says of its pods',
      [at('a', { node: 'n1', created: 10 }), at('b', { node: 'n2', created: 20 })],
      'shop/a',
    ],
    [
      'a pod of this node that goes has it no more',
      [at('a', { node: 'n1', isTerminating: true }), at('b', { node: 'n2' })],
      'shop/b',
    ],
    [
      'the own node has it, whatever its pods say',
      [['Node', node('n1', { ips: ['10.0.0.1'] })], at('a', { node: 'n1' })],
      'Node/n1',
    ],
    [
      'the own node has it',
      [
        ['Node', node('n2', { ips: ['10.0.0.1'] })],
        ['Node', node('n1', { ips: ['10.0.0.1'], created: 1 })],
      ],
      'Node/n1',
    ],
  ])('%s, whatever came first', (_, puts, owner) => {
    for (const order of [puts, [...puts].reverse()]) {
      const state = stateOf([SHOP, ...order]);
      expect(addresses(state)).toEqual({ [owner as string]: '10.0.0.1' });
    }
  });

  it('is that of a pod of this node, where Cilium’s object says nothing that the pod does not', () => {
    const puts: readonly Put[] = [
      ['Node', node('n2', { ips: ['10.0.0.1'] })],
      ['CiliumEndpoint', ciliumEndpoint('shop/a', { ips: ['10.0.0.1'] })],
      at('a', { node: 'n1', ips: ['10.0.0.1', '10.0.0.5'] }),
    ];
    for (const order of [puts, [...puts].reverse()]) {
      expect(addresses(stateOf([SHOP, ...order]))).toEqual({ 'shop/a': '10.0.0.1 10.0.0.5' });
    }
  });

  it('is another’s when podCIDRs of nodes come and go', () => {
    const state = stateOf([
      SHOP,
      at('a', { node: 'n2', created: 10 }),
      at('b', { node: 'n3', created: 20 }),
    ]);
    expect(addresses(state)).toEqual({ 'shop/b': '10.0.0.1' });
    state.put('Node', node('n2', { podCidrs: ['10.0.0.0/24'] }));
    expect(addresses(state)).toEqual({ 'shop/a': '10.0.0.1' });
    state.removed('Node', { namespace: null, name: 'n2' });
    expect(addresses(state)).toEqual({ 'shop/b': '10.0.0.1' });
  });

  it('is told, with who else claims it, until one is gone', () => {
    const state = stateOf([SHOP, at('a', { created: 10 }), at('b', { created: 20 })]);
    expect(state.problems()).toEqual([
      {
        place: {
          kind: 'object',
          apiKind: 'Pod',
          namespace: 'shop',
          name: 'b',
          uid: null,
          field: 'status',
        },
        field: 'status',
        message: 'has the address 10.0.0.1, which shop/a claims, too',
      },
    ]);
    state.removed('Pod', { namespace: 'shop', name: 'b' });
    expect(state.problems()).toEqual([]);
    expect(addresses(state)).toEqual({ 'shop/a': '10.0.0.1' });
  });
});

describe('a node', () => {
  const nodes: readonly Put[] = [
    [
      'Node',
      node('n1', {
        ips: ['10.9.0.1', 'fd09::1'],
        labels: { pool: 'edge', 'kubernetes.io/arch': 'x' },
      }),
    ],
    ['Node', node('n2', { ips: ['10.9.0.2', '10.9.1.2'], labels: { pool: 'core' } })],
  ];
  const apiServer = (...ips: readonly string[]): readonly Put[] => [
    ['Service', service('default/kubernetes')],
    ['EndpointSlice', endpointSlice('default/kubernetes', { service: 'kubernetes', ips })],
  ];

  it('is the host or a remote node; the host has the labels of the node', () => {
    expect(shown(stateOf(nodes))).toEqual({
      'Node/n1': ['10.9.0.1 fd09::1', ['k8s:pool=edge', 'reserved:host'], null, true],
      'Node/n2': ['10.9.0.2 10.9.1.2', ['reserved:remote-node'], null, false],
    });
  });

  it('has its labels when nodes are selected by them', () => {
    const labels = shown(stateOf(nodes, { hasNodeLabels: true }))['Node/n2'] as unknown[];
    expect(labels[1]).toEqual([
      'k8s:io.cilium.k8s.policy.cluster=default',
      'node:pool=core',
      'reserved:remote-node',
    ]);
  });

  it('with the API server on one of its addresses is that there, and a remote node elsewhere', () => {
    const state = stateOf([...nodes, ...apiServer('10.9.0.1', '10.9.1.2', '192.0.2.7')]);
    expect(shown(state)).toEqual({
      'Node/n1': [
        '10.9.0.1 fd09::1',
        ['k8s:pool=edge', 'reserved:host', 'reserved:kube-apiserver'],
        null,
        true,
      ],
      'Node/n2': ['10.9.0.2', ['reserved:remote-node'], null, false],
      'Node/n2:kube-apiserver': [
        '10.9.1.2',
        ['reserved:kube-apiserver', 'reserved:remote-node'],
        null,
        false,
      ],
    });
    expect(state.inventory().cidrs).toMatchObject([
      { prefix: { text: '192.0.2.7/32' }, identity: null, labels: ['reserved:kube-apiserver'] },
    ]);
    state.put(
      'EndpointSlice',
      endpointSlice('default/kubernetes', { service: 'kubernetes', ips: ['10.9.0.2'] }),
    );
    expect(addresses(state)).toEqual({
      'Node/n1': '10.9.0.1 fd09::1',
      'Node/n2': '10.9.1.2',
      'Node/n2:kube-apiserver': '10.9.0.2',
    });
    expect(state.inventory().cidrs).toEqual([]);
  });

  it('a pod at the address of the API server stays a pod', () => {
    const state = stateOf([
      SHOP,
      ['Pod', pod('shop/api', { ips: ['10.0.0.1'] })],
      ...apiServer('10.0.0.1'),
    ]);
    expect(addresses(state)).toEqual({ 'shop/api': '10.0.0.1' });
    expect(state.inventory().cidrs).toEqual([]);
    state.removed('Pod', { namespace: 'shop', name: 'api' });
    expect(state.inventory().cidrs.map(({ prefix }) => prefix.text)).toEqual(['10.0.0.1/32']);
  });

  it('a namespace and a pod named after it are somebody else', () => {
    const state = stateOf([
      ['Namespace', namespace('node')],
      ['Pod', pod('node/n2', { ips: ['10.0.0.1'] })],
      ...nodes,
    ]);
    expect(Object.keys(addresses(state))).toEqual(['Node/n1', 'Node/n2', 'node/n2']);
  });

  it.each<[string, Parameters<typeof node>[1], string]>([
    [
      'of Calico, which says so',
      {
        annotations: {
          'projectcalico.org/IPv4VXLANTunnelAddr': '10.0.2.64',
          'projectcalico.org/IPv4IPIPTunnelAddr': 'x',
        },
      },
      '10.0.2.64 10.9.0.2',
    ],
    [
      'of flannel, by its range',
      {
        annotations: { 'flannel.alpha.coreos.com/kube-subnet-manager': 'true' },
        podCidrs: ['10.0.2.0/24', 'fd00:2::/64'],
      },
      '10.0.2.0 10.0.2.1 10.9.0.2 fd00:2:: fd00:2::1',
    ],
    ['of nobody else', { podCidrs: ['10.0.2.0/24'] }, '10.9.0.2'],
  ])('has the addresses of its CNI plugin: %s', (_, spec, expected) => {
    const state = stateOf([['Node', node('n2', { ips: ['10.9.0.2'], ...spec })]]);
    expect(addresses(state)).toEqual({ 'Node/n2': expected });
  });

  it('says from which ranges its pods get their addresses, as the node has them and as Cilium does', () => {
    const own = ['10.0.2.0/24', 'fd00:2::/64'];
    const state = stateOf(
      [
        ['Node', node('n1', { ips: ['10.9.0.1'] })],
        ['Node', node('n2', { ips: ['10.9.0.2'], podCidrs: own })],
        ['CiliumNode', ciliumNode('n2', { ips: ['10.0.2.9'], podCidrs: ['10.7.0.0/24', ...own] })],
      ],
      { identities: 'cilium' },
    );
    const ranges = (): readonly string[] | undefined =>
      state.inventory().podPrefixes?.map(({ text }) => text);
    expect(ranges()).toEqual(['10.0.2.0/24', '10.7.0.0/24', 'fd00:2::/64']);
    const before = state.inventory();
    state.put('Node', node('n1', { ips: ['10.9.0.1'] }));
    expect(state.inventory()).toBe(before);
    state.removed('CiliumNode', { namespace: null, name: 'n2' });
    expect(ranges()).toEqual(own);
    state.removed('Node', { namespace: null, name: 'n2' });
    expect(ranges()).toEqual([]);
  });

  it('never takes an address of a pod by what its CNI plugin says', () => {
    const flannel = { 'flannel.alpha.coreos.com/kube-subnet-manager': 'true' };
    const state = stateOf([
      SHOP,
      ['Node', node('n1', { ips: ['10.9.0.1'], annotations: flannel, podCidrs: ['10.0.1.0/24'] })],
      ['Pod', pod('shop/api', { ips: ['10.0.1.1'], created: 5, isTerminating: true })],
    ]);
    expect(addresses(state)).toEqual({ 'Node/n1': '10.0.1.0 10.9.0.1', 'shop/api': '10.0.1.1' });
  });

  it('has what Cilium says of it', () => {
    const state = stateOf(
      [
        ...nodes,
        [
          'CiliumNode',
          ciliumNode('n2', { ips: ['10.0.2.9'], health: '10.0.2.8', ingress: '10.0.2.7' }),
        ],
      ],
      { identities: 'cilium' },
    );
    expect(shown(state)).toMatchObject({
      'Node/n2': ['10.0.2.9 10.9.0.2 10.9.1.2', ['reserved:remote-node'], null, false],
      'Node/n2:health': ['10.0.2.8', ['reserved:health'], null, false],
      'Node/n2:ingress': ['10.0.2.7', ['reserved:ingress'], null, false],
    });
  });
});

describe('a service', () => {
  it('stands for whom it selects in its namespace, or for what is behind it', () => {
    const state = stateOf([
      ['Service', service('shop/api', { labels: { tier: 'x' }, selector: { app: 'api' } })],
      ['EndpointSlice', endpointSlice('shop/api-1', { service: 'api', ips: ['10.0.0.1'] })],
      [
        'EndpointSlice',
        endpointSlice('shop/old-1', { service: 'old', ips: ['192.0.2.2', '192.0.2.1'] }),
      ],
      [
        'EndpointSlice',
        endpointSlice('shop/old-2', { service: 'old', ips: ['2001:db8::1'], type: 'IPv6' }),
      ],
      [
        'EndpointSlice',
        endpointSlice('shop/old-3', { service: 'old', ips: ['x.example'], type: 'FQDN' }),
      ],
      ['Service', service('shop/old')],
      ['EndpointSlice', endpointSlice('other/old-1', { service: 'old', ips: ['192.0.2.9'] })],
    ]);
    expect(state.problems()).toEqual([]);
    expect(
      state.inventory().services.map(({ spec: _, slices: __, ...one }) => ({
        ...one,
        ips: one.ips.map(({ text }) => text),
      })),
    ).toEqual([
      {
        namespace: 'shop',
        name: 'api',
        labels: ['k8s:tier=x'],
        ips: [],
        selector: {
          requirements: [
            { key: 'k8s:app', operator: 'in', values: ['api'] },
            { key: 'k8s:io.kubernetes.pod.namespace', operator: 'in', values: ['shop'] },
          ],
        },
      },
      {
        namespace: 'shop',
        name: 'old',
        labels: [],
        ips: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
        selector: null,
      },
    ]);
  });
});

describe('with the numbers of Cilium', () => {
  const LABELS = { 'k8s:app': 'api', 'k8s:io.kubernetes.pod.namespace': 'shop' };
  const CANONICAL = ['k8s:app=api', 'k8s:io.kubernetes.pod.namespace=shop'];
  const API: Put = [
    'Pod',
    pod('shop/api', { uid: 'u1', ips: ['10.0.0.1'], labels: { app: 'api' } }),
  ];
  const by = (puts: readonly Put[]): ClusterState =>
    stateOf([SHOP, ...puts], { identities: 'cilium' });
  const cep = (spec: Partial<Parameters<typeof ciliumEndpoint>[1]> = {}): Put => [
    'CiliumEndpoint',
    ciliumEndpoint('shop/api', { id: 4000, ips: ['10.0.0.1'], uid: 'u1', ...spec }),
  ];
  const ID: Put = ['CiliumIdentity', ciliumIdentity(4000, LABELS)];

  it.each<[string, readonly Put[], unknown[]]>([
    ['number and labels come from Cilium', [API, cep(), ID], ['10.0.0.1', CANONICAL, 4000, false]],
    ['a number that nobody explains is nobody', [API, cep()], ['10.0.0.1', [], null, false]],
    [
      'a reserved number explains itself',
      [API, cep({ id: 4 })],
      ['10.0.0.1', ['reserved:health'], 4, false],
    ],
    ['without a word of Cilium it is nobody', [API, ID], ['10.0.0.1', [], null, false]],
    [
      'but for an identity that has just its labels',
      [
        API,
        ['CiliumIdentity', ciliumIdentity(5000, explicit())],
        ['CiliumIdentity', ciliumIdentity(5001, explicit(), 9)],
      ],
      ['10.0.0.1', ['k8s:app=api', ...SHOP_LABELS], 5001, false],
    ],
    [
      'what it says of a former pod counts not',
      [API, cep({ uid: 'u0' }), ID],
      ['10.0.0.1', [], null, false],
    ],
    [
      'a slice says it, too',
      [
        API,
        [
          'CiliumEndpointSlice',
          ciliumEndpointSlice('ces-1', 'shop', {
            api: { id: 4000, ips: ['10.0.0.1', 'fd00::1'], uid: 'u1' },
          }),
        ],
        ID,
      ],
      ['10.0.0.1 fd00::1', CANONICAL, 4000, false],
    ],
    ['a pod that is gone, or not seen yet, is nobody', [cep(), ID], ['10.0.0.1', [], null, false]],
  ])('%s', (_, puts, expected) => {
    for (const order of [puts, [...puts].reverse()])
      expect(shown(by(order))).toEqual({ 'shop/api': expected });
  });

  it('an address that Cilium knows of a pod that is gone is the next pod that has it', () => {
    const state = by([
      cep(),
      ID,
      ['Pod', pod('shop/web', { uid: 'u2', ips: ['10.0.0.1'], created: 5 })],
    ]);
    expect(addresses(state)).toEqual({ 'shop/web': '10.0.0.1' });
  });

  it('a pod that is finished has no endpoint, whatever Cilium says', () => {
    expect(
      addresses(
        by([
          ['Pod', pod('shop/api', { uid: 'u1', ips: ['10.0.0.1'], phase: 'Failed' })],
          cep(),
          ID,
        ]),
      ),
    ).toEqual({});
  });

  it('an identity that goes leaves nobody, and its number is listed while it is there', () => {
    const state = by([API, cep(), ID]);
    expect(state.inventory().identities).toEqual([{ identity: 4000, labels: CANONICAL }]);
    state.removed('CiliumIdentity', { namespace: null, name: '4000' });
    expect(state.inventory().identities).toEqual([]);
    expect(shown(state)).toEqual({ 'shop/api': ['10.0.0.1', [], null, false] });
  });

  it.each(['1', '255', 'x', '0300', '99999999999'])(
    'no object gives the number %s a meaning',
    (name) => {
      const seen = { ...ciliumIdentity(4000, LABELS), name };
      const state = by([['CiliumIdentity', seen]]);
      expect(state.inventory().identities).toEqual([]);
      expect(state.problems()).toHaveLength(1);
    },
  );

  function explicit(): Record<string, string> {
    return Object.fromEntries(
      ['k8s:app=api', ...SHOP_LABELS].map((label) => {
        const at = label.indexOf('=');
        return [label.slice(0, at), label.slice(at + 1)];
      }),
    );
  }
});

describe('interfaces', () => {
  const here = (name: string, ip: string): Put => [
    'Pod',
    pod(`shop/${name}`, { ips: [ip], node: 'n1' }),
  ];
  const names = (entries: Record<string, string>): ReadonlyMap<IpText, string> =>
    new Map(Object.entries(entries) as [IpText, string][]);
  const interfaces = (state: ClusterState): Record<string, string | null> =>
    Object.fromEntries(state.inventory().endpoints.map((one) => [one.name, one.interface]));

  it('are those of the addresses of pods of this node, and go when they are named no more', () => {
    const state = stateOf([
      SHOP,
      here('a', '10.0.0.1'),
      ['Pod', pod('shop/b', { ips: ['10.0.0.2'], node: 'n2' })],
    ]);
    const before = state.inventory();
    state.setInterfaces(names({ '10.0.0.1': 'veth1', '10.0.0.2': 'veth2' }));
    expect(interfaces(state)).toEqual({ 'shop/a': 'veth1', 'shop/b': null });
    expect(state.inventory().endpoints[1]).toBe(before.endpoints[1]);
    state.put(...here('c', '10.0.0.3'));
    expect(interfaces(state)).toEqual({ 'shop/a': 'veth1', 'shop/b': null, 'shop/c': null });
    state.setInterfaces(names({ '10.0.0.3': 'veth3' }));
    expect(interfaces(state)).toEqual({ 'shop/a': null, 'shop/b': null, 'shop/c': 'veth3' });
    state.setInterfaces(names({}));
    expect(interfaces(state)).toEqual({ 'shop/a': null, 'shop/b': null, 'shop/c': null });
  });

  it('that two pods seem to have are nobody’s', () => {
    const state = stateOf([SHOP, here('a', '10.0.0.1'), here('b', '10.0.0.2')]);
    state.setInterfaces(names({ '10.0.0.1': 'veth1', '10.0.0.2': 'veth1' }));
    expect(interfaces(state)).toEqual({ 'shop/a': null, 'shop/b': null });
    state.removed('Pod', { namespace: 'shop', name: 'b' });
    expect(interfaces(state)).toEqual({ 'shop/a': 'veth1' });
  });
});
