/** What stands beside policies in real files: objects of other kinds, lists of them, and what tools write. */

import { describe, expect, it } from 'vitest';
import { decodePolicyFile } from '../../../src/control/decode/policy_file.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { filePlace } from '../../support/file_place.ts';
import { cnp, decodeText, problemsOf, specOf, valid, warningsOf } from './decoding.ts';

const SPEC = '{ endpointSelector: {}, ingress: [{}] }';
const POLICY = cnp(SPEC);

describe('an object of another kind', () => {
  it.each([
    ['apps/v1', 'Deployment'],
    ['v1', 'Secret'],
    ['v1', 'ConfigMapList'],
    ['kustomize.config.k8s.io/v1beta1', 'Kustomization'],
    ['helm.toolkit.fluxcd.io/v2', 'HelmRelease'],
    ['cilium.io/v2', 'CiliumEndpoint'],
    ['cilium.io/v2', 'CiliumLocalRedirectPolicy'],
    ['cilium.io/v2alpha1', 'CiliumL2AnnouncementPolicy'],
    ['projectcalico.org/v3', 'NetworkPolicy'],
    ['crd.projectcalico.org/v1', 'GlobalNetworkPolicy'],
    ['crd.antrea.io/v1beta1', 'ClusterNetworkPolicy'],
    ['policy/v1', 'PodDisruptionBudget'],
  ])('is passed over: %s %s', (apiVersion, kind) => {
    const object = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: x }\nresources: [{ a: b }]\nspec: { toPorts: 1, x: }\n`;
    const decoded = valid(`${object}---\n${POLICY}`);
    const place = { kind: 'file', path: 'policy.yaml', line: 1, column: 1 };
    expect(decoded.others).toEqual([{ kind, place }]);
    expect(decoded.specs).toEqual([specOf(POLICY)]);
    expect(decoded.warnings).toEqual([]);
  });

  it.each([
    ['cilium.io/v2', 'CiliumNetworkPolicys'],
    ['cilium.io/v2', 'ciliumnetworkpolicy'],
    ['cilium.io/v2', 'CiliumNetworkPolicies'],
    ['cilium.io/v2', 'CiliumClusterWideNetworkPolicy'],
    ['cilium.io/v2', 'CiliumPolicy'],
    ['networking.k8s.io/v1', 'NetworkPolcy'],
    ['cilium.io/v3', 'CiliumNetworkPolicy'],
    ['cilium.oi/v2', 'CiliumNetworkPolicy'],
    ['v2', 'CiliumNetworkPolicy'],
    ['extensions/v1beta1', 'NetworkPolicy'],
    ['networking.k8s.io/v1beta1', 'NetworkPolicy'],
    ['networking.k8s.oi/v1', 'NetworkPolicy'],
    ['v1', 'NetworkPolicy'],
    ['cilium.io/v2', 'NetworkPolicy'],
    ['cilium.io/v2', 'ClusterNetworkPolicy'],
    ['policy.networking.k8s.io/v1alpha2', 'AdminNetworkPolicy'],
    ['policy.networking.k8s.io/v1alpha1', 'BaselineAdminNetworkPolicies'],
    ['policy.networking.k8s.io/v1alpha2', 'NetworkPolicy'],
    ['cilium.io/v2', 'cnp'],
    ['cilium.io/v2', 'CCNP'],
    ['networking.k8s.io/v1', 'netpol'],
    ['cillium.io/v2', 'CiliumNetPolicy'],
    ['cilium.io/v2', '"CiliumNetworkPolicy "'],
    ['" cilium.io/v2"', 'CiliumNetPolicy'],
    ['v1', 'List'],
  ])('that was meant as a policy is an error: %s %s', (apiVersion, kind) => {
    const object = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: x }\nspec: ${SPEC}\n`;
    expect(problemsOf(object)).toEqual([
      expect.stringMatching(/^(kind|apiVersion): (is no policy|is no apiVersion of)/),
    ]);
  });

  it.each([
    ['v1', 'list'],
    ['cilium.io/v2', 'CiliumNetworkpolicyList'],
    ['cilium.io/v2', 'CNPList'],
    ['networking.k8s.io/v1', 'NetworkPolicyLists'],
  ])('that was meant as a list of policies is an error: %s %s', (apiVersion, kind) => {
    const list = `apiVersion: ${apiVersion}\nkind: ${kind}\nitems: [{ metadata: { name: a }, spec: ${SPEC} }]\n`;
    expect(problemsOf(list)).toEqual([expect.stringContaining('did you mean')]);
  });

  it('is no list within a list', () => {
    const list = `{ apiVersion: v1, kind: List, items: [{ apiVersion: v1, kind: List, items: [] }] }`;
    expect(problemsOf(list)).toEqual([
      expect.stringMatching(/^items\[0\]\.kind: is a list within a list/),
    ]);
  });

  it('is never what a kustomization without a kind says: one with a spec is a policy', () => {
    const text = `apiVersion: cilium.io/v2\nmetadata: { name: x }\nspec: ${SPEC}\n`;
    const { others, problems } = decodePolicyFile(
      { path: 'a/kustomization.yaml', text },
      { limits: DEFAULT_LIMITS },
    );
    expect([others, problems.map(({ message }) => message)]).toEqual([
      [],
      [expect.stringMatching(/^is no policy/)],
    ]);
  });

  it.each([
    'a: 1',
    'kind: Deployment',
    'kidn: CiliumNetworkPolicy\napiVersion: cilium.io/v2',
    'text',
  ])('is none without kind and apiVersion: %s', (text) => {
    expect(problemsOf(text)).toHaveLength(1);
  });

  it('is counted in one note for the whole set', () => {
    const object = (kind: string) => `apiVersion: v1\nkind: ${kind}\nmetadata: { name: x }\n`;
    const file = (path: string, ...texts: string[]) => ({ path, text: texts.join('---\n') });
    const result = decodeBundle(
      {
        policies: [
          file('a.yaml', POLICY, object('Secret')),
          file('b.yaml', object('Service'), object('Secret')),
        ],
        endpoints: null,
        secrets: null,
      },
      { limits: DEFAULT_LIMITS },
    );
    expect(result.kind === 'ok' ? result.input.warnings : []).toEqual([
      {
        place: { kind: 'file', path: 'a.yaml', line: 6, column: 1 },
        field: '',
        id: 'not-a-policy',
        message: '3 objects of other kinds are no policy and passed over: Secret (2), Service (1)',
      },
    ]);
  });

  it('may be a file of Kustomize without a kind, by its name', () => {
    const text = 'resources:\n  - a.yaml\n';
    const decode = (path: string) => decodePolicyFile({ path, text }, { limits: DEFAULT_LIMITS });
    for (const path of ['kustomization.yaml', 'x/kustomization.yml']) {
      expect(decode(path)).toMatchObject({ problems: [], others: [{ kind: 'Kustomization' }] });
    }
    expect(decode('x-kustomization.yaml').problems).toHaveLength(1);
  });
});

describe('a list', () => {
  it('may hold objects of any kind', () => {
    const item = (kind: string, version: string) =>
      `{ apiVersion: ${version}, kind: ${kind}, metadata: { name: ${kind.toLowerCase()} }, spec: ${SPEC} }`;
    const items = [item('Deployment', 'apps/v1'), item('CiliumNetworkPolicy', 'cilium.io/v2')];
    const decoded = valid(`{ apiVersion: v1, kind: List, items: [${items.join()}] }`);
    expect(decoded.others.map(({ kind }) => kind)).toEqual(['Deployment']);
    expect(decoded.specs).toHaveLength(1);
  });

  it('of one kind lends it to its items, as the API writes them', () => {
    const item = `{ metadata: { name: p, namespace: shop }, spec: ${SPEC} }`;
    const list = `{ apiVersion: cilium.io/v2, kind: CiliumNetworkPolicyList, metadata: { resourceVersion: "1", continue: }, items: [${item}] }`;
    expect(specOf(list)).toEqual(specOf(POLICY));
    expect(problemsOf(list.replace('cilium.io/v2', 'cilium.io/v1'))).toHaveLength(1);
  });
});

describe('the wire form', () => {
  const WIRE = '{ endpoint_ips: ["10.1.2.3"], endpoint_id: 42 }';
  it.each([
    `resources: [${WIRE}]`,
    `version_info: "1"\nresources: [${WIRE}]`,
    `networkpolicies: [${WIRE}]`,
  ])('is known by what only it has: %j', (text) => {
    expect(valid(text).wirePolicies).toHaveLength(1);
  });

  it('may be a response without anything in it', () => {
    expect(valid('version_info: "1"\nresources: []').wirePolicies).toEqual([]);
  });

  it('is not every list of resources', () => {
    expect(problemsOf('resources: [a.yaml]')).toEqual([expect.stringContaining('no kind')]);
    const misspelt = 'version_info: "1"\nresources: [{ endpoint_ip: ["10.1.2.3"] }]';
    expect(problemsOf(misspelt)).toHaveLength(1);
  });
});

describe('what tools write', () => {
  it.each([
    'creationTimestamp: null',
    'creationTimestamp: , labels: , annotations: ~, managedFields: null',
    'generation: 3, uid: x',
  ])('says nothing: %s', (metadata) => {
    const text = `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: shop, ${metadata} }\nspec: ${SPEC}\nstatus: null\n`;
    expect(warningsOf(text)).toEqual([]);
    expect(specOf(text)).toEqual(specOf(POLICY));
  });

  it('a namespace without a value is the default one, and that is told', () => {
    const text = `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: }\nspec: ${SPEC}\n`;
    expect(specOf(text).namespace).toBe('default');
    expect(warningsOf(text)).toEqual(['metadata.namespace: has no value and so counts as absent']);
  });

  it.each([
    ['CiliumClusterwideNetworkPolicy', 'cilium.io/v2', SPEC],
    ['CiliumCIDRGroup', 'cilium.io/v2', '{ externalCIDRs: [10.0.0.0/8] }'],
  ])('a namespace of a %s is none', (kind, version, spec) => {
    const text = `apiVersion: ${version}\nkind: ${kind}\nmetadata: { name: p, namespace: kube-system }\nspec: ${spec}\n`;
    const { names, warnings } = valid(text);
    expect(names.map(({ name }) => name)).toEqual(['p']);
    expect(warnings).toEqual([]);
  });
});

describe('JSON documents one after another', () => {
  const one = (name: string, entity = 'host') =>
    JSON.stringify({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { name },
      spec: { endpointSelector: {}, description: '}{"', ingress: [{ fromEntities: [entity] }] },
    });

  it.each(['\n', '', ' ', '\r\n\t', '\n\n'])('are read, with %j between them', (between) => {
    const { names } = valid(['a', 'b', 'c'].map((name) => one(name)).join(between));
    expect(names.map(({ name }) => name)).toEqual(['default/a', 'default/b', 'default/c']);
  });

  it('have their places in the file', () => {
    const { problems } = decodeText(`\ufeff${one('a')}\n  ${one('b', 'x')} ${one('c', 'y')}\n`);
    const column = one('b', 'x').indexOf('"x"');
    expect(problems.map(({ place }) => [filePlace(place).line, filePlace(place).column])).toEqual([
      [2, 3 + column],
      [2, 3 + one('b', 'x').length + 1 + column],
    ]);
  });

  it('that are cut are no documents', () => {
    expect(problemsOf(`${one('a')}\n${one('b').slice(0, -1)}`).length).toBeGreaterThan(0);
    expect(problemsOf(`${one('a')}\n${one('b')}x`).length).toBeGreaterThan(0);
  });
});

describe('merge keys', () => {
  const of = (labels: string) =>
    `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: shop, labels: &l { app: api, tier: back }, annotations: &m { app: other, zone: z } }\nspec: { endpointSelector: { matchLabels: ${labels} }, ingress: [{}] }\n`;
  const labelsOf = (labels: string) =>
    Object.fromEntries(
      specOf(of(labels))
        .subject.selector.requirements.slice(0, -1)
        .map(({ key, values }) => [key.replace('any:', ''), values[0]]),
    );

  it.each([
    ['{ <<: *l }', { app: 'api', tier: 'back' }],
    ['{ <<: *l, tier: front }', { app: 'api', tier: 'front' }],
    ['{ zone: a, <<: *l }', { zone: 'a', app: 'api', tier: 'back' }],
    ['{ <<: { x: y } }', { x: 'y' }],
    ['{ <<: [*m, *l] }', { app: 'other', zone: 'z', tier: 'back' }],
    ['{ <<: [*l, *m], x: y }', { app: 'api', tier: 'back', zone: 'z', x: 'y' }],
    ['{ <<: { <<: *l, app: inner } }', { app: 'inner', tier: 'back' }],
  ])('%s', (written, read) => {
    expect(labelsOf(written)).toEqual(read);
  });

  it.each([
    ['{ app: mine, <<: *l }', '"app" is also in what << brings in'],
    ['{ <<: text }', '<< takes a map or a list of maps'],
    ['{ <<: [text] }', 'must be a map'],
    ['{ "<<": x }', 'is no label key'],
    ['{ <<: *nowhere }', 'has no anchor'],
  ])('%s is refused', (written, told) => {
    expect(problemsOf(of(written)).join('\n')).toContain(told);
  });

  it('cannot go round in circles', () => {
    expect(problemsOf('a: &a { <<: *a }\nkind: x\n').length).toBeGreaterThan(0);
    const text = of('&c { <<: { <<: *c } }');
    expect(problemsOf(text).join('\n')).toContain('is merged into itself');
  });
});
