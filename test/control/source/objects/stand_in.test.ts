/** Whom a policy closes that was refused and never had a good form. */

import { describe, expect, it } from 'vitest';
import type { DecodeOptions } from '../../../../src/control/decode/context.ts';
import { decodePolicyObject } from '../../../../src/control/decode/policy_object.ts';
import { PolicyChecker } from '../../../../src/control/set/policy_checker.ts';
import { ObjectSet } from '../../../../src/control/source/objects/object_set.ts';
import type { Identity, Port, ProxyId } from '../../../../src/model/identity.ts';
import type { InvalidPolicy } from '../../../../src/model/invalid_policy.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { decideConnection } from '../../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../../src/regex/re2_engine.ts';
import { inventoryOf } from '../../../support/inventory.ts';
import { cnpObject, opens, refOf } from '../../../support/objects.ts';

const regexEngine = createRe2Engine(DEFAULT_LIMITS);
const decode: DecodeOptions = { limits: DEFAULT_LIMITS, regexEngine };
const ENDPOINTS = ['shop/api', 'shop/web', 'bank/api', 'host/host'];
const inventory = inventoryOf(`endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/web, ip: 10.0.0.2, labels: { app: web } }
  - { name: bank/api, ip: 10.0.0.3, labels: { app: api } }
  - { name: host/host, ip: 10.0.0.4, labels: ["reserved:host"] }
`);

const CNP = 'CiliumNetworkPolicy';
const CCNP = 'CiliumClusterwideNetworkPolicy';
const SELECTS_API = { endpointSelector: { matchLabels: { app: 'api' } } };
const BAD_RULE = { ingress: [{ fromEntities: ['nobody'] }] };
const DRY = { 'sallyport.dev/dry-run': 'true' };

interface Case {
  readonly about: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly rest: object;
  readonly annotations?: object;
  readonly closed: readonly string[];
}

const CASES: readonly Case[] = [
  {
    about: 'a bad rule closes what the selector selects',
    kind: CNP,
    namespace: 'shop',
    rest: { spec: { ...SELECTS_API, ...BAD_RULE } },
    closed: ['shop/api'],
  },
  {
    about: 'each of several specs closes its own',
    kind: CNP,
    namespace: 'shop',
    rest: {
      spec: { ...SELECTS_API, ...BAD_RULE },
      specs: [{ endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{}] }],
    },
    closed: ['shop/api', 'shop/web'],
  },
  {
    about: 'a bad selector closes the namespace',
    kind: CNP,
    namespace: 'shop',
    rest: { spec: { endpointSelector: { matchLabel: {} }, ingress: [{}] } },
    closed: ['shop/api', 'shop/web'],
  },
  {
    about: 'no selector closes the namespace',
    kind: CNP,
    namespace: 'shop',
    rest: { spec: 'nonsense' },
    closed: ['shop/api', 'shop/web'],
  },
  {
    about: 'nothing at all closes the namespace',
    kind: CNP,
    namespace: 'shop',
    rest: {},
    closed: ['shop/api', 'shop/web'],
  },
  {
    about: 'a clusterwide one closes what it selects everywhere',
    kind: CCNP,
    rest: { spec: { ...SELECTS_API, ...BAD_RULE } },
    closed: ['shop/api', 'bank/api'],
  },
  {
    about: 'a clusterwide one with a bad selector closes all endpoints',
    kind: CCNP,
    rest: { spec: { endpointSelector: [], ingress: [{}] } },
    closed: ['shop/api', 'shop/web', 'bank/api'],
  },
  {
    about: 'a clusterwide one that shows no selector closes endpoints and nodes',
    kind: CCNP,
    rest: { spec: 7 },
    closed: ['shop/api', 'shop/web', 'bank/api', 'host/host'],
  },
  {
    about: 'one for nodes closes nodes',
    kind: CCNP,
    rest: { spec: { nodeSelector: 7, ingress: [{}] } },
    closed: ['host/host'],
  },
  {
    about: 'a NetworkPolicy closes its pods',
    kind: 'NetworkPolicy',
    namespace: 'shop',
    rest: { spec: { podSelector: { matchLabels: { app: 'web' } }, ingress: 5 } },
    closed: ['shop/web'],
  },
  {
    about: 'a NetworkPolicy with a bad selector closes its namespace',
    kind: 'NetworkPolicy',
    namespace: 'shop',
    rest: { spec: { podSelector: 1 } },
    closed: ['shop/api', 'shop/web'],
  },
  {
    about: 'a ClusterNetworkPolicy closes its subject',
    kind: 'ClusterNetworkPolicy',
    rest: {
      spec: {
        tier: 'Admin',
        subject: {
          namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'bank' } },
        },
      },
    },
    closed: ['bank/api'],
  },
  {
    about: 'a ClusterNetworkPolicy with a bad subject closes all namespaces',
    kind: 'ClusterNetworkPolicy',
    rest: { spec: { subject: { pods: 3 } } },
    closed: ['shop/api', 'shop/web', 'bank/api'],
  },
  {
    about: 'an AdminNetworkPolicy closes its subject',
    kind: 'AdminNetworkPolicy',
    rest: {
      spec: {
        priority: -1,
        subject: { namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'bank' } } },
      },
    },
    closed: ['bank/api'],
  },
  {
    about: 'a BaselineAdminNetworkPolicy of any name with a bad subject closes all namespaces',
    kind: 'BaselineAdminNetworkPolicy',
    rest: { spec: { subject: {} } },
    closed: ['shop/api', 'shop/web', 'bank/api'],
  },
  {
    about: 'one in dry-run closes nobody',
    kind: CNP,
    namespace: 'shop',
    rest: { spec: { ...SELECTS_API, ...BAD_RULE } },
    annotations: DRY,
    closed: [],
  },
  {
    about: 'one whose dry-run is no truth value closes',
    kind: CNP,
    namespace: 'shop',
    rest: { spec: { ...SELECTS_API, ...BAD_RULE } },
    annotations: { 'sallyport.dev/dry-run': 'perhaps' },
    closed: ['shop/api'],
  },
  {
    about: 'a CIDR group selects nobody',
    kind: 'CiliumCIDRGroup',
    rest: { spec: { externalCIDRs: ['x'] } },
    closed: [],
  },
];

describe('with invalidPolicy: deny', () => {
  it.each(CASES)('$about', (one) => {
    expect(closedBy(one, 'deny')).toEqual(one.closed);
  });
});

describe('with invalidPolicy: absent', () => {
  it.each(CASES)('nobody is closed: $about', (one) => {
    expect(closedBy(one, 'absent')).toEqual([]);
  });
});

describe('a CIDR group that was refused and never had a good form', () => {
  const ref = refOf(null, 'bad', 'CiliumCIDRGroup');
  const metadata = { name: 'bad', labels: { zone: 'outside' } };
  const object = { apiVersion: 'cilium.io/v2', kind: ref.apiKind, metadata };
  const bad = { ...object, spec: { externalCIDRs: ['10.0.0.0/8', 'not a prefix'] } };

  it.each([
    ['deny', [{ name: 'bad', labels: ['cidrgroup:zone=outside'], prefixes: [] }], 'deny'],
    ['absent', [], 'absent'],
  ] as const)('with invalidPolicy: %s', (invalidPolicy, groups, inForce) => {
    const set = new ObjectSet({ decode, invalidPolicy });
    set.put({ ref, version: null, object: bad });
    const input = set.snapshot({ inventory, secrets: new Map(), documents: [], warnings: [] });
    expect(input.documents.flatMap(({ cidrGroups }) => cidrGroups)).toEqual(groups);
    expect(input.refused).toMatchObject([{ inForce }]);
  });
});

function closedBy(
  { kind, namespace: given, rest, annotations = {} }: Case,
  invalidPolicy: InvalidPolicy,
): readonly string[] {
  const namespace = given ?? null;
  const ref = refOf(namespace, 'bad', kind);
  const metadata = { name: 'bad', namespace, annotations };
  const object = { apiVersion: API_VERSIONS[kind], kind, metadata, ...rest };
  expect(decodePolicyObject(object, ref, decode).kind).toBe('refused');
  const set = new ObjectSet({ decode, invalidPolicy });
  set.put({ ref, version: null, object });
  // A set without any policy would close everything.
  set.put(cnpObject('elsewhere', 'good', opens('api', 80)));
  const store = new PolicyChecker({ limits: DEFAULT_LIMITS, regexEngine });
  const input = set.snapshot({ inventory, secrets: new Map(), documents: [], warnings: [] });
  expect(store.update(input).kind).toBe('accepted');
  const snapshot = store.current();
  return ENDPOINTS.filter((name) => {
    const views = (['ingress', 'egress'] as const).map((direction) =>
      snapshot
        .endpointNamed(name)
        ?.port(direction, 'TCP', 80 as Port)
        .view(0 as ProxyId, 2 as Identity),
    );
    const verdicts = views.map((view) => view && decideConnection(view, '').verdict);
    expect(new Set(verdicts).size).toBe(1);
    return verdicts[0] === 'deny';
  });
}

const API_VERSIONS: Readonly<Record<string, string>> = {
  [CNP]: 'cilium.io/v2',
  [CCNP]: 'cilium.io/v2',
  CiliumCIDRGroup: 'cilium.io/v2',
  NetworkPolicy: 'networking.k8s.io/v1',
  ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
  AdminNetworkPolicy: 'policy.networking.k8s.io/v1alpha1',
  BaselineAdminNetworkPolicy: 'policy.networking.k8s.io/v1alpha1',
};
