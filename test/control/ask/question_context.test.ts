import { describe, expect, it } from 'vitest';
import type { RemoteRef } from '../../../src/control/ask/question.ts';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import { decisionOn, open, opened } from '../../support/policy_questions.ts';

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
    - fromCIDR: [192.0.2.0/24]
`;
const ENDPOINTS = `
endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/web, ip: 10.0.0.2, labels: { app: web }, identity: 4000 }
`;
const NAMESPACE = 'k8s:io.kubernetes.pod.namespace=shop';

describe('who the other side is', () => {
  const context = opened(bundleOf(POLICY));
  const cases: readonly [about: string, remote: RemoteRef, allowed: boolean][] = [
    ['by name', { kind: 'name', name: 'shop/web' }, true],
    ['by address', { kind: 'ip', ip: '10.0.0.2' }, true],
    ['by an address of a CIDR', { kind: 'ip', ip: '192.0.2.7' }, true],
    ['by an address that nobody knows', { kind: 'ip', ip: '198.51.100.7' }, false],
    ['by the labels of an endpoint', { kind: 'labels', labels: ['app=web', NAMESPACE] }, true],
    [
      'by labels that nobody has',
      { kind: 'labels', labels: ['k8s:app=web', 'x=y', NAMESPACE] },
      true,
    ],
    ['by labels of another namespace', { kind: 'labels', labels: ['k8s:app=web'] }, false],
    [
      'by a CIDR’s label',
      { kind: 'labels', labels: ['cidr:192.0.2.128/25', 'reserved:world'] },
      true,
    ],
    [
      'by another CIDR’s label',
      { kind: 'labels', labels: ['cidr:192.0.0.0/16', 'reserved:world'] },
      false,
    ],
    ['by a reserved label', { kind: 'labels', labels: ['reserved:host'] }, true],
  ];
  it.each(cases)('%s', (_, remote, allowed) => {
    const found = context.identityOf(remote);
    const identity = found.kind === 'identity' ? found.identity : -1;
    const request = { endpoint: 'shop/api', identity, port: 80 };
    expect(decisionOn(context, request).verdict).toBe(allowed ? 'allow' : 'deny');
  });

  it('is one identity for one set of labels, in any order', () => {
    const one = context.identityOf({ kind: 'labels', labels: ['a=1', 'b=2'] });
    const snapshot = context.snapshot;
    expect(context.identityOf({ kind: 'labels', labels: ['b=2', 'a=1'] })).toEqual(one);
    expect(context.snapshot).toBe(snapshot);
  });

  it.each([
    [{ kind: 'name', name: 'shop/nobody' } as const, 'no endpoint is named'],
    [{ kind: 'labels', labels: ['nope:a=b'] } as const, 'is no label'],
  ])('is an error for %j', (remote, message) => {
    const found = context.identityOf(remote);
    expect(found.kind === 'error' ? found.message : '').toContain(message);
  });
});

describe('wire policies beside an endpoints file', () => {
  const wire =
    '{ "endpoint_ips": ["10.0.0.2"], "endpoint_id": 9, "ingress_per_port_policies": [] }';
  const api = '{ "endpoint_ips": ["10.0.0.1"], "endpoint_id": 9 }';

  it('stand for an endpoint that no policy selects, under its name', () => {
    const context = opened(bundleOf(`${POLICY}\n---\n${wire}`));
    const request = { endpoint: 'shop/web', remote: 'shop/api', port: 80 };
    expect(decisionOn(context, request).verdict).toBe('deny');
    expect(
      decisionOn(context, { ...request, endpoint: undefined, endpointIp: '10.0.0.2' }).verdict,
    ).toBe('deny');
  });

  it('are refused for an endpoint that a policy selects', () => {
    const result = open(bundleOf(`${POLICY}\n---\n${api}`));
    expect(result.kind === 'rejected' ? result.problems.join() : '').toContain(
      'is selected by shop/p',
    );
  });
});

function bundleOf(policies: string): SourceBundle {
  return {
    policies: [{ path: 'policies.yaml', text: policies }],
    endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
    secrets: null,
  };
}
