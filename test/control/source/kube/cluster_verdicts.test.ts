/** Policies over a cluster: what the engine says of those whom its API shows, and of those whom it shows not wholly. */
import { describe, expect, it } from 'vitest';
import { parseQuestion } from '../../../../src/control/ask/question.ts';
import type { ClusterKind } from '../../../../src/control/source/kube/cluster_kinds.ts';
import {
  ClusterState,
  type ClusterStateOptions,
} from '../../../../src/control/source/kube/cluster_state.ts';
import type { SeenObject } from '../../../../src/kube/seen_object.ts';
import { DEFAULT_LABEL_FILTER, LabelFilter } from '../../../../src/policy/label_filter.ts';
import { inputOf, judgeOf } from '../../../support/policy_changes.ts';
import {
  ciliumEndpoint,
  ciliumIdentity,
  endpointSlice,
  namespace,
  node,
  pod,
  service,
} from './kube_objects.ts';

type Put = readonly [ClusterKind, SeenObject];

const API: Put = [
  'Pod',
  pod('shop/api', { ips: ['10.0.0.1'], labels: { app: 'api' }, node: 'n1', ports: { http: 8080 } }),
];
const WEB: Put = [
  'Pod',
  pod('shop/web', { uid: 'u1', ips: ['10.0.0.2'], labels: { app: 'web' }, node: 'n2' }),
];
const CLUSTER: readonly Put[] = [
  ['Namespace', namespace('shop', { team: 'a' })],
  ['Node', node('n1', { ips: ['10.9.0.1'] })],
  ['Node', node('n2', { ips: ['10.9.0.2'] })],
  ['Service', service('default/kubernetes')],
  [
    'EndpointSlice',
    endpointSlice('default/kubernetes', { service: 'kubernetes', ips: ['10.9.0.2', '192.0.2.1'] }),
  ],
  API,
];

/** The endpoint that is asked. */
const KNOWN_TO_CILIUM: readonly Put[] = [
  ['CiliumEndpoint', ciliumEndpoint('shop/api', { id: 5000, ips: ['10.0.0.1'] })],
  [
    'CiliumIdentity',
    ciliumIdentity(5000, { 'k8s:app': 'api', 'k8s:io.kubernetes.pod.namespace': 'shop' }),
  ],
];

function policy(spec: object): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { endpointSelector: { matchLabels: { app: 'api' } }, ...spec },
  };
}

function verdict(
  puts: readonly Put[],
  spec: object,
  question: object,
  options: Partial<ClusterStateOptions> = {},
): string {
  const state = new ClusterState({
    ...{ cluster: 'default', nodeName: 'n1', identities: 'own', hasNodeLabels: false },
    labelFilter: DEFAULT_LABEL_FILTER,
    nodeLabelFilter: new LabelFilter({ patterns: [], isWhitelist: false }),
    ...options,
  });
  for (const [kind, seen] of puts) state.put(kind, seen);
  const judge = judgeOf(inputOf([policy(spec)], state.inventory()));
  const parsed = parseQuestion({
    endpoint: 'shop/api',
    direction: 'ingress',
    port: 8080,
    ...question,
  });
  if (parsed.kind === 'error') throw new Error(parsed.message);
  const answer = judge.answer(parsed.question);
  return answer.kind === 'error' ? answer.message : answer.line.verdict;
}

const FROM_WEB = {
  ingress: [
    {
      fromEndpoints: [{ matchLabels: { app: 'web' } }],
      toPorts: [{ ports: [{ port: 'http', protocol: 'TCP' }] }],
    },
  ],
};
const FROM_TEAM = {
  ingress: [{ fromEndpoints: [{ matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'a' } }] }],
};
const from = (...entities: readonly string[]): object => ({
  ingress: [{ fromEntities: entities }],
});
const remoteIp = (ip: string): object => ({ remoteIp: ip });

describe('a policy over a cluster', () => {
  it.each<[string, readonly Put[], object, object, string]>([
    ['a pod by its label and a port by its name', [WEB], FROM_WEB, remoteIp('10.0.0.2'), 'allow'],
    ['not on another port', [WEB], FROM_WEB, { ...remoteIp('10.0.0.2'), port: 80 }, 'deny'],
    ['a pod by a label of its namespace', [WEB], FROM_TEAM, remoteIp('10.0.0.2'), 'allow'],
    ['the host may always', [], FROM_WEB, remoteIp('10.9.0.1'), 'allow'],
    ['another node may not', [], FROM_WEB, remoteIp('10.9.0.2'), 'deny'],
    ['another node by its entity', [], from('remote-node'), remoteIp('10.9.0.2'), 'allow'],
    ['the API server on a node', [], from('kube-apiserver'), remoteIp('10.9.0.2'), 'allow'],
    ['the API server elsewhere', [], from('kube-apiserver'), remoteIp('192.0.2.1'), 'allow'],
    ['which is the world, too', [], from('world'), remoteIp('192.0.2.1'), 'allow'],
    ['the world', [], from('world'), remoteIp('198.51.100.1'), 'allow'],
    ['a pod is not the world', [WEB], from('world'), remoteIp('10.0.0.2'), 'deny'],
  ])('%s', (_, puts, spec, question, expected) => {
    expect(verdict([...CLUSTER, ...puts], spec, question)).toBe(expected);
  });
});

describe('whom the API does not show wholly', () => {
  const lost: Put = [
    'Pod',
    pod('gone/web', { ips: ['10.0.0.2'], labels: { app: 'web' }, node: 'n2' }),
  ];
  const odd: Put = [
    'Pod',
    { ...WEB[1], object: { metadata: { labels: 7 }, status: { podIP: '10.0.0.2' } } },
  ];
  const stale: readonly Put[] = [
    ['CiliumEndpoint', ciliumEndpoint('shop/web', { id: 4000, ips: ['10.0.0.2'], uid: 'u0' })],
    [
      'CiliumIdentity',
      ciliumIdentity(4000, { 'k8s:app': 'web', 'k8s:io.kubernetes.pod.namespace': 'shop' }),
    ],
  ];
  const NAMES: readonly [string, readonly Put[], 'own' | 'cilium'][] = [
    ['of a namespace that is not known', [lost], 'own'],
    [
      'whose number nobody explains',
      [
        WEB,
        ['CiliumEndpoint', ciliumEndpoint('shop/web', { id: 4000, ips: ['10.0.0.2'], uid: 'u1' })],
      ],
      'cilium',
    ],
    ['of whom Cilium says nothing', [WEB], 'cilium'],
    ['of whose name another pod was before', [WEB, ...stale], 'cilium'],
    ['of whose address another pod was before', stale, 'cilium'],
  ];
  it.each(NAMES)('a pod elsewhere, %s, is nobody', (_, puts, identities) => {
    const ask = (spec: object): string =>
      verdict([...CLUSTER, ...KNOWN_TO_CILIUM, ...puts], spec, remoteIp('10.0.0.2'), {
        identities,
      });
    for (const spec of [
      FROM_WEB,
      FROM_TEAM,
      { ingress: [{ fromEndpoints: [{}] }] },
      from('world', 'cluster', 'host', 'remote-node'),
      { ingress: [{ fromCIDR: ['0.0.0.0/0'] }] },
    ]) {
      expect([spec, ask(spec)]).toEqual([spec, 'deny']);
    }
    expect(ask(from('all'))).toBe('allow');
  });

  it('a pod elsewhere whose object cannot be read is of its namespace, and has no label of its own', () => {
    const ask = (spec: object): string => verdict([...CLUSTER, odd], spec, remoteIp('10.0.0.2'));
    expect(ask(FROM_WEB)).toBe('deny');
    expect(ask(FROM_TEAM)).toBe('allow');
    const { ingress } = FROM_TEAM;
    expect(ask({ ...from('all'), ingressDeny: ingress })).toBe('deny');
    expect(ask(from('world'))).toBe('deny');
  });

  it('a pod here, of a namespace that is not known, is in default deny both ways', () => {
    const puts = CLUSTER.filter(([kind]) => kind !== 'Namespace');
    for (const direction of ['ingress', 'egress']) {
      expect(verdict(puts, from('world'), { direction, ...remoteIp('198.51.100.1') })).toBe('deny');
    }
  });

  it('a pod that is finished leaves its address to the world, and to the next pod', () => {
    const done: Put = [
      'Pod',
      pod('shop/web', { ips: ['10.0.0.2'], labels: { app: 'web' }, phase: 'Succeeded' }),
    ];
    const next: Put = [
      'Pod',
      pod('shop/job', { ips: ['10.0.0.2'], labels: { app: 'job' }, created: 5 }),
    ];
    expect(verdict([...CLUSTER, done], FROM_WEB, remoteIp('10.0.0.2'))).toBe('deny');
    expect(verdict([...CLUSTER, done, next], FROM_WEB, remoteIp('10.0.0.2'))).toBe('deny');
    expect(verdict([...CLUSTER, done, next], from('world'), remoteIp('10.0.0.2'))).toBe('deny');
  });
});
