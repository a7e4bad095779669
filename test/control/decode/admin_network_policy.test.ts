import { describe, expect, it } from 'vitest';
import { decodePolicyObject } from '../../../src/control/decode/policy_object.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';

const SUBJECT = { namespaces: {} };
const FROM = [{ namespaces: {} }];

function problemsOf(kind: string, spec: unknown): readonly string[] {
  const ref = { apiKind: kind, namespace: null, name: 'default', uid: null };
  const apiVersion = 'policy.networking.k8s.io/v1alpha1';
  const object = { apiVersion, kind, metadata: { name: 'default' }, spec };
  const decoded = decodePolicyObject(object, ref, { limits: DEFAULT_LIMITS });
  if (decoded.kind === 'document') return [];
  return decoded.problems.map(({ field, message }) => `${field}: ${message}`);
}

describe('an AdminNetworkPolicy', () => {
  const rule = (parts: object): object => ({
    priority: 1,
    subject: SUBJECT,
    ingress: [{ action: 'Allow', from: FROM, ...parts }],
  });
  const egress = (action: string, peer: object): object => ({
    priority: 1,
    subject: SUBJECT,
    egress: [{ action, to: [peer] }],
  });

  it.each<[string, unknown, readonly string[]]>([
    ['with a rule', rule({}), []],
    [
      'with ports',
      rule({
        ports: [{ portNumber: { port: 80 } }, { portRange: { protocol: 'UDP', start: 1, end: 1 } }],
      }),
      [],
    ],
    ['that allows a name', egress('Allow', { domainNames: ['*.example.com'] }), []],
    ['without a spec', undefined, [': spec is required']],
    ['without a priority', { subject: SUBJECT }, ['spec: priority is required']],
    [
      'with a priority that is too high',
      { priority: 1001, subject: SUBJECT },
      ['spec.priority: must be a whole number from 0 to 1000 (found 1001)'],
    ],
    ['without a subject', { priority: 1 }, ['spec: subject is required']],
    [
      'with the words of a ClusterNetworkPolicy',
      rule({ action: 'Accept', protocols: [] }),
      [
        'spec.ingress[0].protocols: unknown field "protocols" (allowed: name, action, from, ports)',
        'spec.ingress[0].action: must be one of Allow, Deny, Pass (found "Accept")',
      ],
    ],
    [
      'with a peer that is not known',
      rule({ from: [{ sameLabels: ['a'] }] }),
      [
        'spec.ingress[0].from[0].sameLabels: unknown field "sameLabels" (allowed: namespaces, pods)',
        'spec.ingress[0].from[0]: exactly one of namespaces, pods must be given',
      ],
    ],
    ['with nobody', rule({ from: [] }), ['spec.ingress[0].from: must have at least one item']],
    [
      'with a port of two kinds',
      rule({ ports: [{ namedPort: 'a', portNumber: { port: 80 } }] }),
      [
        'spec.ingress[0].ports[0]: exactly one of portNumber, portRange and namedPort must be given',
      ],
    ],
    [
      'with a range that ends before it begins',
      rule({ ports: [{ portRange: { start: 9, end: 8 } }] }),
      ['spec.ingress[0].ports[0].portRange: end must not be less than start 9'],
    ],
    [
      'with a protocol that has no ports',
      rule({ ports: [{ portNumber: { protocol: 'ICMP', port: 8 } }] }),
      [
        'spec.ingress[0].ports[0].portNumber.protocol: must be one of TCP, UDP, SCTP (found "ICMP")',
      ],
    ],
    [
      'that denies a name',
      egress('Deny', { domainNames: ['example.com'] }),
      ['spec.egress[0].to[0].domainNames: names can be accepted only (allowed: action Allow)'],
    ],
  ])('%s', (_, spec, expected) => {
    expect(problemsOf('AdminNetworkPolicy', spec)).toEqual(expected);
  });
});

describe('a BaselineAdminNetworkPolicy', () => {
  it.each<[string, unknown, readonly string[]]>([
    ['without rules', { subject: SUBJECT }, []],
    [
      'with a priority',
      { priority: 1, subject: SUBJECT },
      ['spec.priority: unknown field "priority" (allowed: subject, ingress, egress)'],
    ],
    [
      'that passes',
      { subject: SUBJECT, ingress: [{ action: 'Pass', from: FROM }] },
      ['spec.ingress[0].action: must be one of Allow, Deny (found "Pass")'],
    ],
  ])('%s', (_, spec, expected) => {
    expect(problemsOf('BaselineAdminNetworkPolicy', spec)).toEqual(expected);
  });
});
