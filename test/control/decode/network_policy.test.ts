/** NetworkPolicy (networking.k8s.io/v1): what it is read as, and what the API server refuses. */
import { describe, expect, it } from 'vitest';
import { lintSpecs } from '../../../src/policy/lint/lint.ts';
import type { Peer, PortSelector } from '../../../src/policy/rule.ts';
import { problemsOf, ruleOf, specOf, valid, warningsOf } from './decoding.ts';

const OWN = 'k8s:io.kubernetes.pod.namespace in shop';
const LABELS = 'k8s:io.cilium.k8s.namespace.labels.';

describe('the subject', () => {
  it.each([
    ['{}', [OWN]],
    ['{ matchLabels: { app: api } }', ['k8s:app in api', OWN]],
    ['{ matchLabels: { io.kubernetes.pod.namespace: other } }', [OWN]],
    [
      '{ matchExpressions: [{ key: io.kubernetes.pod.namespace, operator: In, values: [other] }] }',
      ['k8s:io.kubernetes.pod.namespace in other', OWN],
    ],
    [
      '{ matchExpressions: [{ key: a, operator: NotIn, values: [x, y] }, { key: b, operator: Exists }] }',
      ['k8s:a not-in x,y', 'k8s:b exists', OWN],
    ],
    ['{ matchLabels: { app: } }', ['k8s:app in ', OWN]],
  ])('podSelector: %s', (selector, read) => {
    const { subject, origin, namespace } = specOf(np(`{ podSelector: ${selector} }`));
    expect(shown(subject.selector)).toBe(read.join('; '));
    expect([origin.policy, namespace]).toEqual(['NetworkPolicy shop/p', 'shop']);
  });

  it('a label without a value is the empty text, not nothing, and that is told', () => {
    expect(warningsOf(np('{ podSelector: { matchLabels: { app: } } }'))).toEqual([
      expect.stringContaining('spec.podSelector.matchLabels.app: has no value and so is the empty'),
    ]);
  });
});

describe('peers', () => {
  it.each([
    ['{}', ['entity all']],
    ['{ from: [] }', ['entity all']],
    ['{ from: }', ['entity all']],
    ['{ from: [{ podSelector: {} }] }', [OWN]],
    ['{ from: [{ podSelector: { matchLabels: { a: b } } }] }', [`k8s:a in b; ${OWN}`]],
    ['{ from: [{ namespaceSelector: {} }] }', ['k8s:io.kubernetes.pod.namespace exists']],
    ['{ from: [{ namespaceSelector: { matchLabels: { a: b } } }] }', [`${LABELS}a in b`]],
    [
      '{ from: [{ namespaceSelector: { matchExpressions: [{ key: a, operator: DoesNotExist }] }, podSelector: { matchLabels: { c: d } } }] }',
      [`${LABELS}a does-not-exist; k8s:c in d`],
    ],
    [
      '{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { c: d } } }] }',
      ['k8s:io.kubernetes.pod.namespace exists; k8s:c in d'],
    ],
    [
      '{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16] } }, { podSelector: {} }] }',
      ['10.0.0.0/8 but 10.1.0.0/16', OWN],
    ],
    ['{ from: [{ ipBlock: { cidr: "2001:db8::/32" } }] }', ['2001:db8::/32']],
  ])('%s', (rule, read) => {
    expect(ruleOf(np(`{ ingress: [${rule}] }`)).peers?.map(peerText)).toEqual(read);
    const out = rule.replace('from:', 'to:');
    const [egress] = specOf(np(`{ policyTypes: [Egress], egress: [${out}] }`)).rules;
    expect(egress).toMatchObject({ direction: 'egress', action: 'allow' });
    expect(egress?.peers?.map(peerText)).toEqual(read);
  });
});

describe('ports', () => {
  it.each([
    ['{}', '0/TCP'],
    ['{ protocol: UDP }', '0/UDP'],
    ['{ port: 80 }', '80/TCP'],
    ['{ port: 65535, protocol: SCTP }', '65535/SCTP'],
    ['{ port: 80, endPort: 80 }', '80/TCP'],
    ['{ port: 80, endPort: 90, protocol: UDP }', '80-90/UDP'],
    ['{ port: http-alt }', 'http-alt/TCP'],
    ['~', '0/TCP'],
  ])('%s', (port, read) => {
    const rule = ruleOf(np(`{ ingress: [{ ports: [${port}] }] }`));
    expect(rule.ports?.flatMap(({ ports }) => ports?.map(portText))).toEqual([read]);
  });

  it.each(['{}', '{ ports: [] }', '{ ports: }'])('none are every port: %s', (rule) => {
    expect(ruleOf(np(`{ ingress: [${rule}] }`)).ports).toBeNull();
  });
});

describe('isolation', () => {
  it.each([
    ['{}', { ingress: true, egress: false }],
    ['{ policyTypes: [] }', { ingress: true, egress: false }],
    ['{ policyTypes: [Ingress] }', { ingress: true, egress: false }],
    ['{ policyTypes: [Egress] }', { ingress: false, egress: true }],
    ['{ policyTypes: [Egress, Ingress] }', { ingress: true, egress: true }],
    ['{ egress: [{}] }', { ingress: true, egress: true }],
    ['{ policyTypes: [Ingress], egress: [] }', { ingress: true, egress: false }],
    // The agent enforces rules whose direction policyTypes does not name.
    ['{ policyTypes: [Ingress], egress: [{}] }', { ingress: true, egress: true }],
    ['{ policyTypes: [Egress], ingress: [{}] }', { ingress: true, egress: true }],
  ])('%s', (spec, isolated) => {
    const { enableDefaultDeny, rules } = specOf(np(spec));
    expect(enableDefaultDeny).toEqual(isolated);
    const directions = new Set(rules.map(({ direction }) => direction));
    expect({ ingress: directions.has('ingress'), egress: directions.has('egress') }).toEqual(
      isolated,
    );
  });

  it('rules whose direction policyTypes does not name are told', () => {
    expect(warningsOf(np('{ policyTypes: [Ingress], egress: [{}] }'))).toEqual([
      expect.stringContaining('spec.egress: policyTypes does not name Egress'),
    ]);
  });
});

describe('what the API server refuses', () => {
  it.each([
    ['{ ingress: [{ ports: [{ port: "80" }] }] }', 'a number stands without quotes'],
    ['{ ingress: [{ ports: [{ port: 0 }] }] }', 'must be a whole number from 1 to 65535'],
    ['{ ingress: [{ ports: [{ port: 65536 }] }] }', 'must be a whole number from 1 to 65535'],
    ['{ ingress: [{ ports: [{ port: HTTP }] }] }', 'is no port'],
    ['{ ingress: [{ ports: [{ port: a--b }] }] }', 'is no port'],
    ['{ ingress: [{ ports: [{ port: abcdefghijklmnop }] }] }', 'is no port'],
    ['{ ingress: [{ ports: [{ protocol: tcp }] }] }', 'must be one of TCP, UDP, SCTP'],
    ['{ ingress: [{ ports: [{ protocol: ANY }] }] }', 'must be one of TCP, UDP, SCTP'],
    ['{ ingress: [{ ports: [{ endPort: 90 }] }] }', 'endPort needs port'],
    ['{ ingress: [{ ports: [{ port: 80, endPort: 79 }] }] }', 'must not be less than port 80'],
    ['{ ingress: [{ ports: [{ port: http, endPort: 79 }] }] }', 'a named port has no range'],
    ['{ ingress: [{ from: [{}] }] }', 'must name a peer'],
    ['{ ingress: [{ from: [~] }] }', 'must name a peer'],
    ['{ ingress: [{ from: [{ podSelector: }] }] }', 'must name a peer'],
    [
      '{ ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: 10.0.0.0/8 } }] }] }',
      'ipBlock cannot stand beside another peer',
    ],
    ['{ ingress: [{ from: [{ ipBlock: {} }] }] }', 'cidr is required'],
    ['{ ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.1 } }] }] }', 'is no CIDR'],
    [
      '{ ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [11.0.0.0/16] } }] }] }',
      'is not within 10.0.0.0/8',
    ],
    [
      '{ ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.0.0.0/8] } }] }] }',
      'is not within 10.0.0.0/8',
    ],
    ['{ policyTypes: [ingress] }', 'must be one of Ingress, Egress'],
    ['{ policyTypes: [~] }', 'must be one of Ingress, Egress'],
    ['{ policyTypes: [Ingress, Egress, Egress] }', 'has more than 2 items'],
    ['{ podSelector: { matchLabels: { "k8s:app": a } } }', 'is no label key'],
    ['{ podSelector: { matchLabels: { a: -b } } }', 'is no label value'],
    [
      '{ podSelector: { matchExpressions: [{ key: a, operator: Gt, values: ["1"] }] } }',
      'must be one of In, NotIn, Exists, DoesNotExist',
    ],
    ['{ podSelector: { matchExpressions: [{ key: a, operator: In }] } }', 'In needs at least one'],
    ['{ endpointSelector: {} }', 'unknown field "endpointSelector"'],
    ['{ ingress: [{ to: [] }] }', 'unknown field "to"'],
    ['{ ingress: [{ toPorts: [] }] }', 'unknown field "toPorts"'],
  ])('%s', (spec, told) => {
    expect(problemsOf(np(spec)).join('\n')).toContain(told);
  });

  it('specs, which only Cilium has', () => {
    expect(problemsOf(`${np('{}')}specs: [{}]\n`).join()).toContain('unknown field "specs"');
  });
});

it('that only isolates is not taken for an empty rule', () => {
  const specs = [specOf(np('{ policyTypes: [Ingress, Egress] }'))];
  const context = { namedPorts: null, known: null, cost: null };
  expect(lintSpecs(specs, context).filter(({ id }) => id === 'empty-rule')).toEqual([]);
});

it('may have the name of a CiliumNetworkPolicy', () => {
  const text = `${np('{}')}---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: shop }\nspec: { endpointSelector: {}, ingress: [{}] }\n`;
  const { names, specs } = valid(text);
  expect(names.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    'NetworkPolicy shop/p',
    'CiliumNetworkPolicy shop/p',
  ]);
  expect(specs.map(({ origin }) => origin.policy)).toEqual(['NetworkPolicy shop/p', 'shop/p']);
});

it('may be a list as the API writes it, whose items have no kind', () => {
  const list =
    '{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicyList, metadata: { resourceVersion: "1" }, items: [{ metadata: { name: p, namespace: shop }, spec: {} }] }';
  expect(specOf(list)).toEqual({
    ...specOf(np('{}')),
    rules: [expect.objectContaining({ direction: 'ingress' })],
  });
});

function np(spec: string): string {
  return `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: shop }\nspec: ${spec}\n`;
}

function peerText(peer: Peer): string {
  switch (peer.kind) {
    case 'selector':
      return shown(peer.selector);
    case 'entity':
      return `entity ${peer.entity}`;
    case 'cidr':
      return [peer.prefix, ...peer.except].map(({ text }) => text).join(' but ');
    default:
      return peer.kind;
  }
}

function shown(selector: (Peer & { kind: 'selector' })['selector']): string {
  return selector.requirements
    .map(({ key, operator, values }) =>
      operator.includes('exist') ? `${key} ${operator}` : `${key} ${operator} ${values.join()}`,
    )
    .join('; ');
}

function portText({ port, endPort, name, protocols }: PortSelector): string {
  const range = endPort === port ? `${port}` : `${port}-${endPort}`;
  return `${name ?? range}/${protocols.join()}`;
}
