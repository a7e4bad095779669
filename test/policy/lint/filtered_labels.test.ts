import { describe, expect, it } from 'vitest';
import { filteredLabels } from '../../../src/policy/lint/filtered_labels.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../src/policy/resolve/inventory.ts';
import type { LabelRequirement, PolicySpec } from '../../../src/policy/rule.ts';

const ORIGIN = { policy: 'shop/p', rule: 'ingress[0]' };

function specOf(subject: LabelRequirement, peer: LabelRequirement): PolicySpec {
  return {
    origin: { policy: 'shop/p', rule: '' },
    namespace: 'shop',
    isDryRun: false,
    subject: { kind: 'endpoints', selector: { requirements: [subject] } },
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: { ingress: true, egress: false },
    rules: [
      {
        origin: ORIGIN,
        direction: 'ingress',
        action: 'allow',
        peers: [{ kind: 'selector', selector: { requirements: [peer] }, isLocalCluster: true }],
        ports: null,
        hasIcmps: false,
      },
    ],
  };
}

function demand(key: string): LabelRequirement {
  return { key, operator: 'in', values: ['x'] };
}

const APP = demand('any:app');

function told(spec: PolicySpec, inventory: Inventory | null = null): readonly string[] {
  return filteredLabels([spec], inventory).map(
    ({ origin, message }) => `${origin.rule}: ${message}`,
  );
}

describe('a selector', () => {
  it.each([
    'any:app',
    'any:app.kubernetes.io/name',
    'k8s:io.kubernetes.pod.namespace',
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name',
    'any:io.cilium.k8s.policy.serviceaccount',
    'any:node-role.kubernetes.io/control-plane',
    'reserved:host',
    'node:kubernetes.io/arch',
    'cidr:10.0.0.0/8',
  ])('that asks for %s finds it', (key) => {
    expect(told(specOf(APP, demand(key)))).toEqual([]);
  });

  it.each([
    'any:pod-template-hash',
    'k8s:statefulset.kubernetes.io/pod-name',
    'any:apps.kubernetes.io/pod-index',
    'any:kubernetes.io/arch',
    'any:topology.kubernetes.io/zone',
    'any:beta.kubernetes.io/os',
    'any:batch.kubernetes.io/controller-uid',
    'any:controller-revision-hash',
  ])('that asks for %s selects nobody', (key) => {
    const name = key.slice(key.indexOf(':') + 1);
    expect(told(specOf(APP, demand(key)))).toEqual([
      `ingress[0]: the label ${name} is by default no part of the identity of a pod, so the selector selects nobody, whatever labels pods have`,
    ]);
  });

  it('of the subject is told, too', () => {
    expect(told(specOf(demand('any:pod-template-hash'), APP))).toEqual([
      ': the label pod-template-hash is by default no part of the identity of a pod, so the selector selects nobody, whatever labels pods have',
    ]);
  });

  it('that excludes by such a label excludes nobody', () => {
    const peer: LabelRequirement = {
      key: 'any:pod-template-hash',
      operator: 'not-in',
      values: ['x'],
    };
    expect(told(specOf(APP, peer))).toEqual([
      'ingress[0]: the label pod-template-hash is by default no part of the identity of a pod, so the expression with pod-template-hash excludes nobody, whatever labels pods have',
    ]);
  });

  it('is right where an endpoint that is known has the label', () => {
    const endpoint = {
      ...{ name: 'shop/a', ips: [], identity: null, endpointId: 0, namedPorts: [] },
      ...{ isLocal: true, interface: null, podUid: null, labels: ['k8s:pod-template-hash=x'] },
    };
    const spec = specOf(APP, demand('any:pod-template-hash'));
    expect(told(spec, { ...EMPTY_INVENTORY, endpoints: [endpoint] })).toEqual([]);
    expect(told(spec, EMPTY_INVENTORY)).toHaveLength(1);
  });
});
