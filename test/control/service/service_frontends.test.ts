/** Services and EndpointSlices as a node meets them: which addresses, and which backends behind each. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEndpoints } from '../../../src/control/decode/endpoints/endpoints.ts';
import { ServiceFrontends } from '../../../src/control/service/service_frontends.ts';
import type { ClusterKind } from '../../../src/control/source/kube/cluster_kinds.ts';
import { ClusterState } from '../../../src/control/source/kube/cluster_state.ts';
import { nameKeyOf, type SeenObject } from '../../../src/kube/seen_object.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { ServiceFrontend } from '../../../src/model/service_frontend.ts';
import { DEFAULT_LABEL_FILTER, LabelFilter } from '../../../src/policy/label_filter.ts';
import type { Inventory } from '../../../src/policy/resolve/inventory.ts';
import { runs } from '../../support/property_runs.ts';
import {
  endpointSlice,
  node,
  type ServiceObject,
  type SliceObject,
  service,
} from '../source/kube/kube_objects.ts';

const PORTS = [{ name: '', port: 80, protocol: 'TCP' }];
const HTTP = { port: 80, protocol: 'TCP' };

function clusterOf(nodeName: string | null = 'n1'): ClusterState {
  return new ClusterState({
    cluster: 'default',
    nodeName,
    identities: 'own',
    hasNodeLabels: false,
    labelFilter: DEFAULT_LABEL_FILTER,
    nodeLabelFilter: new LabelFilter({ patterns: [], isWhitelist: false }),
  });
}

/** "kind protocol address:port -> backends [< all backends, when they are others]" */
function shown(frontends: readonly ServiceFrontend[]): readonly string[] {
  return frontends.map(({ kind, protocol, address, family, port, backends, allBackends }) => {
    const texts = (of: typeof backends): string =>
      of.map((one) => `${one.address.text} ${one.port}`).join(', ');
    const all = texts(allBackends) === texts(backends) ? '' : ` < ${texts(allBackends)}`;
    return `${kind} ${protocol} ${address?.text ?? `any${family}`} ${port} -> ${texts(backends)}${all}`;
  });
}

interface Scene {
  readonly service: ServiceObject;
  readonly slices: readonly Omit<SliceObject, 'service'>[];
  readonly zone?: string;
}

function frontendsIn({ service: object, slices, zone }: Scene): readonly ServiceFrontend[] {
  const state = clusterOf();
  const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone };
  state.put('Node', node('n1', { ips: ['10.9.0.1'], labels }));
  state.put('Service', service('shop/web', object));
  slices.forEach((slice, index) => {
    const whole = { ports: PORTS, ...slice, service: 'web' };
    state.put('EndpointSlice', endpointSlice(`shop/web-${index}`, whole));
  });
  expect(state.problems()).toEqual([]);
  return new ServiceFrontends().update(state.inventory()).frontends;
}

const CLUSTER_IP = { clusterIP: '10.96.0.1', ports: [HTTP] };
const READY = { ready: true, serving: true, terminating: false };
const LEAVING = { ready: false, serving: true, terminating: true };
const BROKEN = { ready: false, serving: false, terminating: false };

function at(ip: string, nodeName: string, more: object = {}): object {
  return { addresses: [ip], nodeName, conditions: READY, ...more };
}

it('who ends and serves is sent nobody, and keeps who is connected', () => {
  const all = [
    at('10.0.0.1', 'n1'),
    at('10.0.0.2', 'n2'),
    at('10.0.0.3', 'n1', { conditions: LEAVING }),
    at('10.0.0.4', 'n1', { conditions: BROKEN }),
  ];
  const spec = { ...CLUSTER_IP, internalTrafficPolicy: 'Local' };
  const [found] = frontendsIn({ service: { spec }, slices: [{ endpoints: all }] });
  const texts = (of: ServiceFrontend['backends'] = []) => of.map(({ address }) => address.text);
  expect(texts(found?.backends)).toEqual(['10.0.0.1']);
  expect(texts(found?.servingBackends)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
});

describe('a Service', () => {
  it.each<[string, Scene, readonly string[]]>([
    [
      'has an address of the cluster',
      { service: { spec: CLUSTER_IP }, slices: [{ ips: ['10.0.0.2', '10.0.0.1'] }] },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80, 10.0.0.2 80'],
    ],
    [
      'without endpoints refuses',
      { service: { spec: CLUSTER_IP }, slices: [] },
      ['ClusterIP TCP 10.96.0.1 80 -> '],
    ],
    [
      'of two families has the backends of each',
      {
        service: {
          spec: {
            ...CLUSTER_IP,
            clusterIPs: ['10.96.0.1', 'fd96::1'],
            ipFamilies: ['IPv4', 'IPv6'],
          },
        },
        slices: [{ ips: ['10.0.0.1'] }, { ips: ['fd00::1'], type: 'IPv6' }],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80', 'ClusterIP TCP fd96::1 80 -> fd00::1 80'],
    ],
    [
      'has external addresses, those of load balancers that are no proxies, and ports of the node',
      {
        service: {
          spec: {
            ...CLUSTER_IP,
            type: 'LoadBalancer',
            externalIPs: ['198.51.100.1', 'fd99::1', 'nonsense'],
            ports: [{ ...HTTP, nodePort: 30080 }],
          },
          status: {
            loadBalancer: {
              ingress: [
                { ip: '198.51.100.2' },
                { ip: '198.51.100.3', ipMode: 'VIP' },
                { ip: '198.51.100.4', ipMode: 'Proxy' },
                { hostname: 'lb.example' },
              ],
            },
          },
        },
        slices: [{ ips: ['10.0.0.1'] }],
      },
      [
        'ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80',
        'ExternalIP TCP 198.51.100.1 80 -> 10.0.0.1 80',
        'LoadBalancer TCP 198.51.100.2 80 -> 10.0.0.1 80',
        'LoadBalancer TCP 198.51.100.3 80 -> 10.0.0.1 80',
        'NodePort TCP any4 30080 -> 10.0.0.1 80',
      ],
    ],
    [
      'leaves a load balancer for some clients to the node’s own NAT',
      {
        service: {
          spec: {
            ...{ ...CLUSTER_IP, type: 'LoadBalancer' },
            loadBalancerSourceRanges: [' 192.0.2.0/24 '],
          },
          status: { loadBalancer: { ingress: [{ ip: '198.51.100.2' }] } },
        },
        slices: [{ ips: ['10.0.0.1'] }],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80'],
    ],
    [
      'that is headless is untouched',
      { service: { spec: { clusterIP: 'None', ports: [HTTP] } }, slices: [{ ips: ['10.0.0.1'] }] },
      [],
    ],
    [
      'of an external name is untouched',
      { service: { spec: { ...CLUSTER_IP, type: 'ExternalName' } }, slices: [] },
      [],
    ],
    [
      'of another proxy is untouched',
      {
        service: {
          spec: CLUSTER_IP,
          labels: { 'service.kubernetes.io/service-proxy-name': 'other' },
        },
        slices: [{ ips: ['10.0.0.1'] }],
      },
      [],
    ],
    [
      'takes the number of a named port from each slice, by name and protocol',
      {
        service: {
          spec: {
            clusterIP: '10.96.0.1',
            ports: [
              { name: 'dns', port: 53, protocol: 'UDP', targetPort: 'dns' },
              { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 'dns-tcp' },
            ],
          },
        },
        slices: [
          {
            ips: ['10.0.0.1'],
            ports: [
              { name: 'dns', port: 5353, protocol: 'UDP' },
              { name: 'dns-tcp', port: 5354, protocol: 'TCP' },
            ],
          },
          { ips: ['10.0.0.2'], ports: [{ name: 'dns', port: 1053, protocol: 'UDP' }] },
        ],
      },
      [
        'ClusterIP UDP 10.96.0.1 53 -> 10.0.0.1 5353, 10.0.0.2 1053',
        'ClusterIP TCP 10.96.0.1 53 -> 10.0.0.1 5354',
      ],
    ],
    [
      'has an endpoint of two slices once',
      { service: { spec: CLUSTER_IP }, slices: [{ ips: ['10.0.0.1'] }, { ips: ['10.0.0.1'] }] },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80'],
    ],
    [
      'sends to none that is not ready, while one is',
      {
        service: { spec: CLUSTER_IP },
        slices: [
          {
            endpoints: [
              at('10.0.0.1', 'n1'),
              at('10.0.0.2', 'n1', { conditions: LEAVING }),
              at('10.0.0.3', 'n1', { conditions: BROKEN }),
            ],
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80'],
    ],
    [
      'sends to those that leave and serve when none is ready',
      {
        service: { spec: CLUSTER_IP },
        slices: [
          {
            endpoints: [
              at('10.0.0.2', 'n2', { conditions: LEAVING }),
              at('10.0.0.3', 'n1', { conditions: BROKEN }),
            ],
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.2 80'],
    ],
    [
      'with internal policy Local sends to those of the node, and elsewhere to others',
      {
        service: { spec: { ...CLUSTER_IP, internalTrafficPolicy: 'Local' } },
        slices: [
          {
            endpoints: [
              at('10.0.0.1', 'n1', { conditions: LEAVING }),
              at('10.0.0.2', 'n2'),
              at('10.0.0.3', 'n2', { conditions: LEAVING }),
            ],
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80 < 10.0.0.1 80, 10.0.0.2 80'],
    ],
    [
      'with external policy Local sends its own pods to all that are ready',
      {
        service: {
          spec: {
            ...{ ...CLUSTER_IP, type: 'NodePort', externalTrafficPolicy: 'Local' },
            ports: [{ ...HTTP, nodePort: 30080 }],
          },
        },
        slices: [
          { endpoints: [at('10.0.0.1', 'n1', { conditions: LEAVING }), at('10.0.0.2', 'n2')] },
        ],
      },
      [
        'ClusterIP TCP 10.96.0.1 80 -> 10.0.0.2 80',
        'NodePort TCP any4 30080 -> 10.0.0.2 80 < 10.0.0.1 80, 10.0.0.2 80',
      ],
    ],
    [
      'prefers those that are meant for the zone',
      {
        service: { spec: CLUSTER_IP },
        zone: 'a',
        slices: [
          {
            endpoints: [
              at('10.0.0.1', 'n1', { hints: { forZones: [{ name: 'a' }] } }),
              at('10.0.0.2', 'n2', { hints: { forZones: [{ name: 'b' }] } }),
            ],
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80 < 10.0.0.1 80, 10.0.0.2 80'],
    ],
    [
      'and ignores hints where one has none',
      {
        service: { spec: CLUSTER_IP },
        zone: 'a',
        slices: [
          {
            endpoints: [
              at('10.0.0.1', 'n1', { hints: { forZones: [{ name: 'a' }] } }),
              at('10.0.0.2', 'n2'),
            ],
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80, 10.0.0.2 80'],
    ],
    [
      'prefers the node to the zone',
      {
        service: { spec: CLUSTER_IP },
        zone: 'a',
        slices: [
          {
            endpoints: ['10.0.0.1', '10.0.0.2'].map((ip, index) =>
              at(ip, `n${index + 1}`, {
                hints: { forNodes: [{ name: `n${index + 1}` }], forZones: [{ name: 'a' }] },
              }),
            ),
          },
        ],
      },
      ['ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 80 < 10.0.0.1 80, 10.0.0.2 80'],
    ],
  ])('%s', (_, scene, expected) => {
    expect(shown(frontendsIn(scene))).toEqual(expected);
  });

  it.each<[string, ServiceObject, Partial<ServiceFrontend>]>([
    [
      'by client address, for three hours if it does not say how long',
      { spec: { ...CLUSTER_IP, sessionAffinity: 'ClientIP' } },
      { affinityMs: 10_800_000, isConsistentlyHashed: false },
    ],
    [
      'by client address, as long as it says',
      {
        spec: {
          ...{ ...CLUSTER_IP, sessionAffinity: 'ClientIP' },
          sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } },
        },
      },
      { affinityMs: 5000 },
    ],
    [
      'by a hash',
      { spec: CLUSTER_IP, annotations: { 'service.cilium.io/lb-algorithm': 'maglev' } },
      { affinityMs: null, isConsistentlyHashed: true },
    ],
  ])('chooses %s', (_, object, expected) => {
    expect(frontendsIn({ service: object, slices: [] })).toMatchObject([expected]);
  });
});

describe('an address that two Services claim', () => {
  const spec = (clusterIP: string): object => ({
    ...{ clusterIP, ports: [HTTP], externalIPs: ['198.51.100.1'] },
  });

  it('is that of the older one, then of the first by name, and is told', () => {
    const state = clusterOf();
    const frontends = new ServiceFrontends();
    const owner = (): string | undefined =>
      frontends.update(state.inventory()).frontends.find(({ kind }) => kind === 'ExternalIP')
        ?.service;
    state.put('Service', service('shop/a', { spec: spec('10.96.0.1'), created: 200 }));
    state.put('Service', service('shop/b', { spec: spec('10.96.0.2'), created: 100 }));
    expect(owner()).toBe('shop/b');
    expect(frontends.update(state.inventory()).problems).toEqual([
      'TCP 198.51.100.1:80: Service shop/b has it, and shop/a claims it, too',
    ]);
    state.put('Service', service('shop/b', { spec: spec('10.96.0.2'), created: 200 }));
    expect(owner()).toBe('shop/a');
    state.removed('Service', { namespace: 'shop', name: 'a' });
    expect(owner()).toBe('shop/b');
    expect(frontends.update(state.inventory()).problems).toEqual([]);
  });
});

describe('a service of the endpoints file', () => {
  it('has the endpoints that it selects behind it, by number or by name of a port, or its addresses', () => {
    const inventory = fileInventory(`
      endpoints:
        - { name: shop/a, ips: [10.0.0.1, "fd00::1"], labels: { app: web }, namedPorts: { http: 8080 } }
        - { name: shop/b, ip: 10.0.0.2, labels: { app: web }, namedPorts: { http: 9090 } }
        - { name: shop/c, ip: 10.0.0.3, labels: { app: web } }
        - { name: other/d, ip: 10.0.0.4, labels: { app: web }, namedPorts: { http: 8080 } }
      services:
        - name: shop/web
          clusterIPs: [10.96.0.1, "fd96::1"]
          externalIPs: [198.51.100.1]
          ports: [{ name: http, port: 80, targetPort: http, nodePort: 30080 }]
          endpoints: { matchLabels: { app: web } }
          sessionAffinitySeconds: 60
        - { name: shop/db, clusterIPs: [10.96.0.2], ports: [{ port: 53, protocol: UDP, targetPort: 5353 }], ips: [192.0.2.1] }
        - { name: shop/old, ips: [192.0.2.9] }
    `);
    const { frontends, problems } = new ServiceFrontends().update(inventory);
    expect(problems).toEqual([]);
    expect(shown(frontends)).toEqual([
      'ClusterIP TCP 10.96.0.1 80 -> 10.0.0.1 8080, 10.0.0.2 9090',
      'ExternalIP TCP 198.51.100.1 80 -> 10.0.0.1 8080, 10.0.0.2 9090',
      'NodePort TCP any4 30080 -> 10.0.0.1 8080, 10.0.0.2 9090',
      'ClusterIP TCP fd96::1 80 -> fd00::1 8080',
      'NodePort TCP any6 30080 -> fd00::1 8080',
      'ClusterIP UDP 10.96.0.2 53 -> 192.0.2.1 5353',
    ]);
    expect(frontends[0]?.affinityMs).toBe(60_000);
  });
});

function fileInventory(text: string): Inventory {
  const decoded = decodeEndpoints({ path: 'endpoints.yaml', text }, DEFAULT_LIMITS);
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
  return decoded.inventory;
}

type Put = readonly [ClusterKind, SeenObject];

const someEndpoint = fc
  .tuple(
    fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'),
    fc.constantFrom('n1', 'n2'),
    fc.constantFrom(READY, READY, LEAVING, BROKEN),
    fc.constantFrom<object>({}, {}, { hints: { forZones: [{ name: 'a' }] } }),
  )
  .map(([ip, on, conditions, more]) => at(ip, on, { conditions, ...more }));

const put: fc.Arbitrary<Put> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('shop/a', 'shop/b', 'shop/c'),
      fc.constantFrom('10.96.0.1', '10.96.0.2', 'None'),
      fc.constantFrom<object>(
        {},
        { internalTrafficPolicy: 'Local' },
        { externalIPs: ['192.0.2.1'] },
      ),
      fc.constantFrom(100, 200),
    )
    .map(
      ([name, clusterIP, more, created]): Put => [
        'Service',
        service(name, { created, spec: { clusterIP, ports: [HTTP], ...more } }),
      ],
    ),
  fc
    .tuple(
      fc.constantFrom('shop/a-1', 'shop/a-2', 'shop/b-1'),
      fc.constantFrom('a', 'b'),
      fc.uniqueArray(someEndpoint, {
        maxLength: 3,
        selector: (one) => JSON.stringify((one as { addresses: unknown }).addresses),
      }),
    )
    .map(
      ([name, of, endpoints]): Put => [
        'EndpointSlice',
        endpointSlice(name, { service: of, ports: PORTS, endpoints }),
      ],
    ),
  fc
    .constantFrom('a', 'b')
    .map((zone): Put => ['Node', node('n1', { labels: { 'topology.kubernetes.io/zone': zone } })]),
);

describe('any history of Services', () => {
  it('ends where one that is read whole is, and what did not change is the same object', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(put, fc.boolean()), { maxLength: 40 }), (steps) => {
        const state = clusterOf();
        const frontends = new ServiceFrontends();
        let before = frontends.update(state.inventory());
        for (const [[kind, seen], isThere] of steps) {
          if (isThere) state.put(kind, seen);
          else state.removed(kind, { namespace: seen.namespace, name: seen.name });
          const after = frontends.update(state.inventory());
          expect(after).toEqual(new ServiceFrontends().update(state.inventory()));
          const known = new Map(before.frontends.map((one) => [JSON.stringify(one), one]));
          for (const one of after.frontends) {
            const former = known.get(JSON.stringify(one));
            if (former !== undefined) expect(one, nameKeyOf(seen)).toBe(former);
          }
          expect(frontends.update(state.inventory())).toBe(after);
          const claims = after.frontends.map(
            (one) => `${one.protocol} ${one.address?.text} ${one.port}`,
          );
          expect(new Set(claims).size).toBe(claims.length);
          before = after;
        }
      }),
      runs(400),
    );
  });
});
