/** What a test of redirected connections starts from: a web pod that calls an API on the same node. */
import type { Identity, ProxyId } from '../../src/model/identity.ts';
import type { ListenerOptions } from '../../src/proxy/plane/options.ts';
import {
  identityCheck,
  type RecordedSide,
  type RedirectRecord,
} from '../../src/redirect/layout.ts';

import { address } from './plane_rig.ts';

export const API = 1001 as Identity;
export const WEB = 43 as Identity;
export const OTHER = 44 as Identity;

/** The client of these tests is 127.0.0.1, as they have no other address. */
export const REDIRECTED_ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.7, labels: { app: api }, identity: ${API} }
  - { name: default/web, ip: 127.0.0.1, labels: { app: web }, identity: ${WEB} }
  - { name: default/other, ip: 10.0.0.9, labels: { app: other }, identity: ${OTHER} }
`;

const LABELS: Readonly<Record<number, readonly string[]>> = {
  [API]: labels('api'),
  [WEB]: labels('web'),
  [OTHER]: labels('other'),
};

function labels(app: string): readonly string[] {
  return [
    `k8s:app=${app}`,
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default',
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.kubernetes.pod.namespace=default',
  ];
}

export function sideOf(identity: number, endpoint = 1): RecordedSide {
  return {
    identity: identity as Identity,
    check: identityCheck(LABELS[identity] ?? []),
    endpoint,
  };
}

/** The ingress alone, unless it says otherwise. */
export function recordOf(changes: Partial<RedirectRecord> = {}): RedirectRecord {
  return {
    timeNs: 1n,
    source: sideOf(WEB),
    destination: sideOf(API),
    generation: 1,
    isEgressJudged: false,
    isIngressJudged: true,
    ifindex: 7,
    ...changes,
  };
}

export const BOTH = recordOf({ isEgressJudged: true });

/** Ingress of the API from `from`, and egress of the web pod to it. */
export function policies(ingress: string, egress: string, from = 'web'): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: ${from} } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }]${ingress} }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: web } }
  egress:
    - toEndpoints: [{ matchLabels: { app: api } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }]${egress} }]
`;
}

export function httpRules(...paths: readonly string[]): string {
  return `, rules: { http: [${paths.map((path) => `{ path: ${path} }`).join(', ')}] }`;
}

export const RECORDED_LISTENER: ListenerOptions = {
  name: 'redirected',
  address: address('127.0.0.1:15001'),
  direction: 'by-record',
  isTransparent: true,
  clientAddress: 'always',
  proxyId: 0 as ProxyId,
  destination: { kind: 'local-address' },
  upstream: { kind: 'original-destination' },
  identity: { kind: 'sources', sources: ['redirect-record'] },
  isPortShared: true,
};
