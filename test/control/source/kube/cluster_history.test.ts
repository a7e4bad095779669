/** Histories of a cluster: what counts is what there is at the end, and what did not change is the same object. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterKind } from '../../../../src/control/source/kube/cluster_kinds.ts';
import { ClusterState } from '../../../../src/control/source/kube/cluster_state.ts';
import { nameKeyOf, type SeenObject } from '../../../../src/kube/seen_object.ts';
import type { IpText } from '../../../../src/model/address.ts';
import { DEFAULT_LABEL_FILTER, LabelFilter } from '../../../../src/policy/label_filter.ts';
import type { Inventory } from '../../../../src/policy/resolve/inventory.ts';
import { runs } from '../../../support/property_runs.ts';
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

/** Few names and few addresses, so that everything meets everything. */
const ip = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', 'fd00::1');
const ips = fc.uniqueArray(ip, { maxLength: 2 });
const space = fc.constantFrom('a', 'b');
const name = fc.constantFrom('x', 'y', 'z');
const nodeName = fc.constantFrom('n1', 'n2', 'n3');
const labels = fc.oneof(
  fc.constant({ app: 'v' }),
  fc.dictionary(
    fc.constantFrom('app', 'tier', 'pod-template-hash', 'io.cilium.k8s.policy.cluster'),
    fc.constantFrom('', 'v', 'w'),
  ),
);
const annotations = fc.constantFrom<Record<string, string>>(
  {},
  { 'projectcalico.org/IPv4VXLANTunnelAddr': '10.0.0.1' },
  { 'flannel.alpha.coreos.com/kube-subnet-manager': 'true' },
);
const podCidrs = fc.constantFrom<readonly string[]>([], ['10.0.0.0/24'], ['10.0.0.2/31']);
const created = fc.constantFrom(100, 200, 300);
const uid = fc.constantFrom('u1', 'u2');
const IDENTITY_LABELS = fc.constantFrom<Record<string, string>>(
  { 'k8s:app': 'v' },
  { 'k8s:app': 'w' },
  {
    'k8s:app': 'v',
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'a',
    'k8s:io.cilium.k8s.policy.cluster': 'default',
    'k8s:io.kubernetes.pod.namespace': 'a',
  },
);
const number = fc.constantFrom(4, 300, 301);

const somePod = fc
  .record({
    space,
    name,
    ips,
    labels,
    created,
    uid,
    node: fc.constantFrom('n1', 'n2', ''),
    account: fc.constantFrom('', '', 'robot'),
    phase: fc.constantFrom('Running', 'Running', 'Pending', 'Succeeded'),
    isHostNetwork: fc.constantFrom(false, false, false, true),
    isTerminating: fc.boolean(),
    ports: fc.constantFrom<Record<string, number>>({}, { http: 80 }, { http: 8080 }),
  })
  .map((spec): Put => ['Pod', pod(`${spec.space}/${spec.name}`, spec)]);

type Put = readonly [ClusterKind, SeenObject];

/** One that is odd: of another type, or with too much in it. */
const oddObject = fc.constantFrom<unknown>(
  null,
  7,
  'text',
  [],
  {},
  { metadata: [] },
  { metadata: { labels: { 'not:a:key': '' } }, status: { podIPs: [{ ip: '10.0.0.1' }] } },
  { metadata: { labels: 7 }, status: { podIP: '10.0.0.2', addresses: 7 }, spec: 7 },
);

const put: fc.Arbitrary<Put> = fc.oneof(
  { weight: 8, arbitrary: somePod },
  {
    weight: 3,
    arbitrary: fc
      .tuple(space, fc.constantFrom<Record<string, string>>({}, {}, { team: 'v' }))
      .map(([a, b]): Put => ['Namespace', namespace(a, b)]),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ nodeName, ips, labels, created, annotations, podCidrs })
      .map((spec): Put => ['Node', node(spec.nodeName, spec)]),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(nodeName, ips, ip)
      .map(([a, b, health]): Put => ['CiliumNode', ciliumNode(a, { ips: b, health })]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('a/x', 'default/kubernetes'),
        labels,
        fc.constantFrom(undefined, { app: 'v' }),
        fc.constantFrom<object>(
          { clusterIP: '10.96.0.9', ports: [{ port: 80, targetPort: 8080 }] },
          { clusterIP: '10.96.0.9', sessionAffinity: 'ClientIP' },
          { clusterIP: 'None' },
        ),
      )
      .map(
        ([full, own, selector, spec]): Put => [
          'Service',
          service(full, { labels: own, spec, ...(selector === undefined ? {} : { selector }) }),
        ],
      ),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom('a/x-1', 'a/x-2', 'default/kubernetes', 'default/k-2'),
        fc.constantFrom('x', 'kubernetes'),
        ips,
        fc.constantFrom<readonly object[]>([], [{ name: '', port: 8080, protocol: 'TCP' }]),
      )
      .map(
        ([full, of, addresses, ports]): Put => [
          'EndpointSlice',
          endpointSlice(full, { service: of, ips: addresses, ports }),
        ],
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(300, 301), IDENTITY_LABELS, created)
      .map(([id, own, at]): Put => ['CiliumIdentity', ciliumIdentity(id, own, at)]),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ space, name, ips, uid, created, id: number })
      .map((spec): Put => ['CiliumEndpoint', ciliumEndpoint(`${spec.space}/${spec.name}`, spec)]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('s1', 's2'),
        space,
        fc.dictionary(name, fc.record({ ips, uid, id: number }), { maxKeys: 2 }),
      )
      .map(([a, b, entries]): Put => ['CiliumEndpointSlice', ciliumEndpointSlice(a, b, entries)]),
  },
);

type Step =
  | { readonly kind: 'put'; readonly put: Put }
  | { readonly kind: 'odd'; readonly put: Put; readonly object: unknown }
  | { readonly kind: 'removed'; readonly put: Put }
  /** Only those that were put among the last ones are left. */
  | { readonly kind: 'listed'; readonly of: ClusterKind; readonly kept: readonly Put[] }
  | { readonly kind: 'interfaces'; readonly names: ReadonlyMap<IpText, string> }
  | { readonly kind: 'look' };

const names = fc
  .dictionary(ip, fc.constantFrom('veth1', 'veth2'))

  .map(
    (entries): ReadonlyMap<IpText, string> =>
      new Map(Object.entries(entries).map(([text, one]) => [text as IpText, one])),
  );

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: put.map((one): Step => ({ kind: 'put', put: one })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(put, oddObject)
      .map(([one, object]): Step => ({ kind: 'odd', put: one, object })),
  },
  { weight: 3, arbitrary: put.map((one): Step => ({ kind: 'removed', put: one })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(put, fc.array(put, { maxLength: 6 }))
      .map(([[of], kept]): Step => ({ kind: 'listed', of, kept })),
  },
  { weight: 1, arbitrary: names.map((one): Step => ({ kind: 'interfaces', names: one })) },
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'look' }) },
);

const options = fc.record({
  cluster: fc.constant('default'),
  nodeName: fc.constantFrom('n1', 'n1', null),
  identities: fc.constantFrom('own' as const, 'cilium' as const),
  hasNodeLabels: fc.boolean(),
  labelFilter: fc.constant(DEFAULT_LABEL_FILTER),
  nodeLabelFilter: fc.constant(new LabelFilter({ patterns: [], isWhitelist: false })),
});

/** What the API has, in the simplest way. */
class Model {
  readonly objects = new Map<string, Put>();
  names: ReadonlyMap<IpText, string> = new Map();

  put([kind, seen]: Put): void {
    this.objects.set(`${kind} ${nameKeyOf(seen)}`, [kind, seen]);
  }

  removed([kind, seen]: Put): void {
    this.objects.delete(`${kind} ${nameKeyOf(seen)}`);
  }

  keep(of: ClusterKind, keys: ReadonlySet<string>): void {
    for (const [key, [kind, seen]] of this.objects) {
      if (kind === of && !keys.has(nameKeyOf(seen))) this.objects.delete(key);
    }
  }
}

function apply(one: Step, state: ClusterState, model: Model): void {
  if (one.kind === 'put' || one.kind === 'odd') {
    const [kind, seen] = one.put;
    const told = one.kind === 'put' ? seen : { ...seen, object: one.object };
    state.put(kind, told);
    model.put([kind, told]);
  } else if (one.kind === 'removed') {
    state.removed(one.put[0], one.put[1]);
    model.removed(one.put);
  } else if (one.kind === 'listed') {
    const ofKind = one.kept.filter(([kind]) => kind === one.of);
    const keys = new Set(ofKind.map(([, seen]) => nameKeyOf(seen)));
    state.listed(one.of, keys);
    model.keep(one.of, keys);
  } else if (one.kind === 'interfaces') {
    state.setInterfaces(one.names);
    model.names = one.names;
  } else {
    state.inventory();
  }
}

/** Whatever says the same as before is what it was before. */
function expectKept(before: Inventory, after: Inventory): void {
  for (const part of ['endpoints', 'identities', 'cidrs', 'services'] as const) {
    const known = new Map<string, object>(before[part].map((one) => [JSON.stringify(one), one]));
    for (const one of after[part]) {
      const former = known.get(JSON.stringify(one));
      if (former !== undefined) expect(one).toBe(former);
    }
    if (JSON.stringify(before[part]) === JSON.stringify(after[part])) {
      expect(after[part]).toBe(before[part]);
    }
  }
}

describe('any history', () => {
  it('ends where a cluster that was always so is, in any order', () => {
    fc.assert(
      fc.property(
        options,
        fc.array(step, { minLength: 10, maxLength: 80 }),
        fc.infiniteStream(fc.nat()),
        (given, steps, random) => {
          const state = new ClusterState(given);
          const model = new Model();
          let before = state.inventory();
          for (const one of steps) {
            apply(one, state, model);
            if (one.kind !== 'look') continue;
            const after = state.inventory();
            expectKept(before, after);
            before = after;
          }
          const fresh = new ClusterState(given);
          fresh.setInterfaces(model.names);
          const order = [...model.objects.values()]
            .map((one) => [random.next().value ?? 0, one] as const)
            .sort(([a], [b]) => a - b);
          for (const [, one] of order) fresh.put(...one);
          expect(state.inventory()).toEqual(fresh.inventory());
          expectKept(before, state.inventory());
          expect(state.problems()).toEqual(fresh.problems());
          expect(state.inventory()).toBe(state.inventory());
        },
      ),
      runs(800),
    );
  });

  it('gives no address to two endpoints, and no interface', () => {
    fc.assert(
      fc.property(options, fc.array(step, { minLength: 10, maxLength: 80 }), (given, steps) => {
        const state = new ClusterState(given);
        const model = new Model();
        for (const one of steps) apply(one, state, model);
        const { endpoints, cidrs } = state.inventory();
        const addresses = [
          ...endpoints.flatMap((one) => one.ips.map(({ text }) => text)),
          ...cidrs.map(({ prefix }) => prefix.address.text),
        ];
        expect(new Set(addresses).size).toBe(addresses.length);
        const used = endpoints.flatMap((one) => one.interface ?? []);
        expect(new Set(used).size).toBe(used.length);
        expect(new Set(endpoints.map((one) => one.name)).size).toBe(endpoints.length);
      }),
      runs(800),
    );
  });
});
