import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { BundleStore } from '../../support/bundle_store.ts';
import { filePlace } from '../../support/file_place.ts';

const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: default/web, ip: 10.0.0.2, labels: { app: web } }
`;

const CIDR_GROUP = `
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: { name: partners }
spec: { externalCIDRs: [192.0.2.0/24] }
`;

const OTHERS = policy('web', 80).replace('app: api', 'app: other');
const DRY_RUN = policy('nobody', 80).replace(
  'name: p',
  'name: p, annotations: { sallyport.dev/dry-run: "true" }',
);

describe('the policy store', () => {
  it('denies everything before the first bundle', () => {
    const store = newStore();
    expect(store.current().revision).toBe(0);
    expect(isAllowed(store, 'web', 80)).toBe(false);
  });

  it('puts an accepted bundle in force, with the next revision', () => {
    const store = newStore();
    expect(store.updateBundle(bundleOf(policy('web', 80)))).toMatchObject({
      kind: 'accepted',
      revision: 1,
    });
    expect(isAllowed(store, 'web', 80)).toBe(true);
    expect(isAllowed(store, 'web', 81)).toBe(false);
  });

  it.each([
    { name: 'no file', policies: [], isOpen: false },
    { name: 'a file of comments', policies: ['# nothing\n'], isOpen: false },
    { name: 'only a CIDR group', policies: [CIDR_GROUP], isOpen: false },
    { name: 'only a policy of another endpoint', policies: [OTHERS], isOpen: true },
    { name: 'only a policy in dry-run', policies: [DRY_RUN], isOpen: true },
  ])('an endpoint that no policy selects, with $name: open is $isOpen', ({ policies, isOpen }) => {
    const bundle = {
      policies: policies.map((text, index) => ({ path: `${index}.yaml`, text })),
      endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
      secrets: null,
    };
    const store = newStore();
    expect(store.updateBundle(bundle)).toMatchObject({ kind: 'accepted', isEmpty: !isOpen });
    expect(isAllowed(store, 'web', 80)).toBe(isOpen);
    const open = newStore(true);
    open.updateBundle(bundle);
    expect(isAllowed(open, 'web', 80)).toBe(true);
  });

  it('a set that becomes empty closes every endpoint, but to the host', () => {
    const store = newStore();
    store.updateBundle(bundleOf(policy('web', 80)));
    expect(isAllowed(store, 'web', 80)).toBe(true);
    store.updateBundle({ ...bundleOf(''), policies: [] });
    expect(isAllowed(store, 'web', 80)).toBe(false);
    expect(isAllowed(store, 'host', 80)).toBe(true);
  });

  it('takes the revision that it is given', () => {
    const store = newStore();
    expect(store.updateBundle(bundleOf(policy('web', 80)), 7)).toMatchObject({ revision: 7 });
    expect(store.current().revision).toBe(7);
  });

  it('does nothing for the same bundle', () => {
    const store = newStore();
    const first = store.updateBundle(bundleOf(policy('web', 80)));
    const snapshot = store.current();
    expect(store.updateBundle(bundleOf(policy('web', 80)))).toEqual(first);
    expect(store.current()).toBe(snapshot);
  });

  it('keeps the last good set when a bundle is rejected, and takes it up again', () => {
    const store = newStore();
    store.updateBundle(bundleOf(policy('web', 80)));
    const snapshot = store.current();
    const result = store.updateBundle(bundleOf('kind: Nonsense'));
    expect(result.kind).toBe('rejected');
    expect(store.current()).toBe(snapshot);
    expect(store.updateBundle(bundleOf(policy('web', 80))).kind).toBe('accepted');
    expect(isAllowed(store, 'web', 80)).toBe(true);
  });

  const rejected: readonly [about: string, policies: string, endpoints: string, text: string][] = [
    [
      'a policy that is there twice',
      `${policy('web', 80)}\n---\n${policy('web', 81)}`,
      ENDPOINTS,
      'default/p',
    ],
    [
      'one bad document among good ones',
      `${policy('web', 80)}\n---\n${policy('web', 81).replace('ingress', 'ingres')}`,
      ENDPOINTS,
      'ingres',
    ],
    [
      'a bad endpoints file',
      policy('web', 80),
      'endpoints: [{ nme: x }]',
      'endpoints.yaml:1:20: endpoints[0].nme: unknown field',
    ],
    [
      'a number that means two label sets',
      policy('web', 80),
      'endpoints: [{ name: a/b, identity: 5000, labels: { x: a } }, { name: a/c, identity: 5000, labels: { x: c } }]',
      'identity 5000',
    ],
    ['a conflict of L7 rules', conflict(), ENDPOINTS, 'conflicting L7 parsers'],
  ];
  it.each(rejected)('rejects %s', (_, policies, endpoints, text) => {
    const result = newStore().updateBundle(bundleOf(policies, endpoints));
    expect(result.kind).toBe('rejected');
    if (result.kind === 'rejected') {
      expect(result.problems.map(formatProblem).join('\n')).toContain(text);
    }
  });

  it('tells where the rule of a conflict stands', () => {
    const result = newStore().updateBundle(bundleOf(conflict()));
    const [problem] = result.kind === 'rejected' ? result.problems : [];
    const { path, line } = filePlace(problem?.place);
    expect(path).toBe('policies.yaml');
    expect(line).toBeGreaterThan(1);
  });

  it('keeps identities over reloads', () => {
    const store = newStore();
    store.updateBundle(bundleOf(policy('web', 80)));
    const before = store.current().ipcache.lookup('10.0.0.2');
    const more = `${ENDPOINTS}  - { name: default/new, ip: 10.0.0.3, labels: { app: new } }\n`;
    store.updateBundle(bundleOf(policy('web', 80), more));
    expect(store.current().ipcache.lookup('10.0.0.2')).toBe(before);
  });

  it('has a shadow with dry-run policies counted in, and enforces without them', () => {
    const store = newStore();
    const dry = policy('nobody', 80).replace(
      'name: p',
      'name: dry, annotations: { sallyport.dev/dry-run: "true" }',
    );
    store.updateBundle(bundleOf(dry));
    expect(isAllowed(store, 'web', 80)).toBe(true);
    const shadow = store.current().shadow;
    expect(shadow?.policyNames).toEqual(['default/dry']);
    expect(store.current().policyNames).toEqual([]);
    store.updateBundle(bundleOf(policy('web', 80)));
    expect(store.current().shadow).toBeNull();
  });

  it('never lets through what both policies deny, while they flip', () => {
    const store = newStore();
    const flips = [policy('web', 80), policy('web', 81)];
    for (let i = 0; i < 20; i++) {
      store.updateBundle(bundleOf(flips[i % 2] as string));
      expect(isAllowed(store, 'web', 82)).toBe(false);
      expect(isAllowed(store, 'web', i % 2 === 0 ? 80 : 81)).toBe(true);
      expect(isAllowed(store, 'web', i % 2 === 0 ? 81 : 80)).toBe(false);
    }
  });
});

function newStore(isEmptySetOpen = false): BundleStore {
  const regexEngine = createRe2Engine(DEFAULT_LIMITS);
  return new BundleStore({ limits: DEFAULT_LIMITS, regexEngine, isEmptySetOpen });
}

function bundleOf(policies: string, endpoints = ENDPOINTS): SourceBundle {
  return {
    policies: [{ path: 'policies.yaml', text: policies }],
    endpoints: { path: 'endpoints.yaml', text: endpoints },
    secrets: null,
  };
}

function policy(from: string, port: number): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: ${from} } }]
      toPorts: [{ ports: [{ port: "${port}", protocol: TCP }] }]
`;
}

function conflict(): string {
  const one = (name: string, rules: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name} }
spec:
  endpointSelector: { matchLabels: { app: api } }
  egress:
    - toEndpoints: [{ matchLabels: { app: web } }]
      toPorts: [{ ports: [{ port: "53", protocol: TCP }], rules: ${rules} }]
`;
  return `${one('a', '{ http: [{}] }')}\n---\n${one('b', '{ dns: [{ matchPattern: "*" }] }')}`;
}

function isAllowed(store: BundleStore, from: string, port: number): boolean {
  const snapshot = store.current();
  const address = from === 'web' ? '10.0.0.2' : '10.0.0.9';
  const remote = from === 'host' ? 1 : (snapshot.ipcache.lookup(address) ?? 2);
  const compiled = snapshot.endpoint('10.0.0.1').port('ingress', 'TCP', port as Port);
  const view = compiled.view(0 as ProxyId, remote as Identity);
  return decideConnection(view, '').verdict === 'allow';
}
