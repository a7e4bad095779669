/** Records of requests for tests: one that was forwarded, and what differs. */

import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { ConnectionMeta } from '../../src/model/connection_meta.ts';
import type { AllowDecision, DenyDecision, RuleRef } from '../../src/model/decision.ts';
import { NO_HEADERS, NO_MUTATIONS } from '../../src/model/decision.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { RequestRecord } from '../../src/model/record.ts';
import { plainHead } from '../../src/model/request_head.ts';
import type { ObservedPolicy } from '../../src/observe/observed_policy.ts';
import type { Platform } from '../../src/platform/platform.ts';

export const GET_ORDERS: RuleRef = {
  policy: 'default/orders-api',
  rule: 'ingress[0].toPorts[0].rules.http[1]',
  index: 1,
};

export const RULES: readonly RuleRef[] = [
  { policy: 'default/orders-api', rule: 'ingress[0].toPorts[0]', index: 0 },
  GET_ORDERS,
  { policy: 'default/orders-api', rule: 'ingressDeny[0]', index: 2 },
];

export const POLICY: ObservedPolicy = {
  revision: 3,
  rules: RULES,
  policyNames: ['default/orders-api'],
  ipcache: { lookup: (ip) => (ip === '10.0.0.7' ? (1001 as Identity) : null) },
  labels: {
    labelsOf: (identity) => {
      if (identity === 43) return ['k8s:app=client', 'k8s:io.kubernetes.pod.namespace=default'];
      return identity === 1001 ? ['k8s:app=orders'] : [];
    },
  },
  endpoint: (ip) => ({ name: ip === '10.0.0.7' ? 'default/orders' : '' }),
  services: { named: () => null },
  shadow: null,
};

export function meta(changes: Partial<ConnectionMeta> = {}): ConnectionMeta {
  const destination = address('10.0.0.7:8080');
  return {
    connectionId: 12,
    listener: 'api',
    proxyId: 0 as ConnectionMeta['proxyId'],
    transport: 'TCP',
    direction: 'ingress',
    source: address('10.0.1.9:40100'),
    destination,
    upstream: destination,
    endpointIp: destination.ip,
    port: destination.port,
    remoteIdentity: 43 as Identity,
    identitySource: 'endpoints',
    dialled: null,
    second: null,
    recorded: null,
    sender: null,
    ...changes,
  };
}

export function allow(changes: Partial<AllowDecision> = {}): AllowDecision {
  return {
    verdict: 'allow',
    layer: 'http',
    reason: null,
    rule: GET_ORDERS,
    mutations: NO_MUTATIONS,
    judgedFields: [],
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
    ...changes,
  };
}

export function deny(changes: Partial<DenyDecision> = {}): DenyDecision {
  return {
    verdict: 'deny',
    layer: 'http',
    reason: 'no-http-rule-matched',
    rule: null,
    mutations: NO_MUTATIONS,
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
    ...changes,
  };
}

export function record(changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    meta: meta(),
    verdict: 'forwarded',
    decision: allow(),
    shadowDecision: null,
    isDryRun: false,
    policyRevision: 3,
    head: plainHead({ method: 'GET', authority: 'orders:8080', path: '/orders/7?token=x' }),
    partial: null,
    fault: null,
    cause: null,
    status: 200,
    responseSource: 'upstream',
    grpcStatus: null,
    serverName: '',
    bytesIn: 120,
    bytesOut: 340,
    endedAtMs: 1_700_000_000_127.5679,
    durationMs: 4.5678,
    overheadMs: 0.0521,
    ...changes,
  };
}

export function denied(changes: Partial<RequestRecord> = {}): RequestRecord {
  return record({
    verdict: 'denied',
    decision: deny(),
    status: 403,
    responseSource: 'local',
    ...changes,
  });
}

/** Timers that fire when they are told to. */
export class ManualPlatform implements Platform {
  nowMs = 0;
  readonly #every = new Set<() => void>();
  readonly #after = new Set<() => void>();
  readonly clock = { nowMs: () => this.nowMs, wallMs: () => 1_700_000_000_000 + this.nowMs };
  readonly soon = (task: () => void) => add(this.#after, task);
  readonly timers = {
    every: (_intervalMs: number, task: () => void) => add(this.#every, task),
    after: (_delayMs: number, task: () => void) => add(this.#after, task),
  };

  /** Fires every timer once. */
  fire(): void {
    const once = [...this.#after];
    this.#after.clear();
    for (const task of [...once, ...this.#every]) task();
  }
}

export function address(text: string): SocketAddress {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(`no address: ${text}`);
  return parsed;
}

function add(tasks: Set<() => void>, task: () => void): () => void {
  const own = (): void => task();
  tasks.add(own);
  return () => tasks.delete(own);
}
