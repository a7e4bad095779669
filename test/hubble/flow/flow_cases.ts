/** Flows of each kind, and what Hubble is to tell of them. */
import type { NodeNaming } from '../../../src/hubble/flow/hubble_flows.ts';
import type { IpText } from '../../../src/model/address.ts';
import type {
  Flow,
  FlowConnection,
  FlowDecision,
  FlowSide,
  HttpFacts,
  KernelFlow,
  ProxyFlow,
} from '../../../src/model/flow.ts';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';

export const NAMING: NodeNaming = { cluster: 'default', node: null, version: '1.2.3' };

const client: FlowSide = {
  ip: '10.0.0.1' as IpText,
  port: 40000 as Port,
  identity: 1001 as Identity,
  labels: ['k8s:app=shop', 'k8s:io.cilium.k8s.policy.cluster=default'],
  namespace: 'shop',
  pod: 'web-1',
  workload: { kind: 'Deployment', name: 'web' },
  names: [],
  service: null,
};
const server: FlowSide = {
  ip: '10.0.0.2' as IpText,
  port: 80 as Port,
  identity: 1002 as Identity,
  labels: ['k8s:app=api'],
  namespace: 'shop',
  pod: 'api-1',
  workload: null,
  names: ['api.example.com'],
  service: { namespace: 'shop', name: 'api' },
};
const connection: FlowConnection = {
  id: 7,
  listener: 'in',
  proxyId: 0 as ProxyId,
  direction: 'ingress',
  source: client,
  destination: server,
  endpoint: 'shop/api-1',
  identitySource: 'endpoints',
};
const rule = { policy: 'shop/api', rule: 'ingress[0].toPorts[0].rules.http[1]', index: 3 };
const allowed: FlowDecision = { verdict: 'allow', layer: 'http', reason: null, rule };
const refused: FlowDecision = {
  verdict: 'deny',
  layer: 'http',
  reason: 'no-http-rule-matched',
  rule: null,
};
const deniedByRule: FlowDecision = {
  verdict: 'deny',
  layer: 'network',
  reason: 'denied-by-rule',
  rule: { policy: 'everywhere', rule: 'ingressDeny[0]', index: 4 },
};
const http: HttpFacts = {
  kind: 'http',
  seen: 'whole',
  version: 'HTTP/1.1',
  method: 'GET',
  scheme: 'http',
  host: 'api.example.com',
  path: '/v1/items',
  isCut: false,
  status: 200,
  serverName: '',
  isGrpc: false,
  grpc: null,
  trace: { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' },
  headers: [['x-request-id', '77']],
};
const proxied: ProxyFlow = {
  origin: 'proxy',
  instance: '7b1d5e1c-0c5e-4a39-9b9e-0123456789ab',
  number: 5,
  node: 'node-1',
  endedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 250) + 0.5,
  direction: 'ingress',
  isReply: null,
  ipProtocol: 6,
  source: client,
  destination: server,
  connection,
  verdict: 'forwarded',
  facts: http,
  decision: allowed,
  shadowDecision: null,
  isDryRun: false,
  isHalfClosed: false,
  policyRevision: 12,
  missing: [],
  rejected: [],
  fault: null,
  cause: null,
  responseSource: 'upstream',
  bytesIn: 100,
  bytesOut: 200,
  durationMs: 12.5,
  overheadMs: 0.1,
};
const kernel: KernelFlow = {
  origin: 'kernel',
  instance: proxied.instance,
  number: 9,
  node: 'node-1',
  endedAtMs: proxied.endedAtMs,
  direction: 'egress',
  isReply: null,
  ipProtocol: 17,
  source: client,
  destination: server,
  verdict: 'denied',
  dropReason: 'denied-egress',
  count: 3,
};

export interface FlowCase {
  readonly name: string;
  readonly flow: Flow;
  readonly expected: readonly object[];
}

const policy = {
  name: 'api',
  namespace: 'shop',
  kind: 'CiliumNetworkPolicy',
  revision: '12',
  labels: [
    'k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy',
    'k8s:io.cilium.k8s.policy.name=api',
    'k8s:io.cilium.k8s.policy.namespace=shop',
    'sallyport:rule=ingress[0].toPorts[0].rules.http[1]',
  ],
};

export const flowCases: readonly FlowCase[] = [
  {
    name: 'a request that was allowed, and its response from the other side',
    flow: proxied,
    expected: [
      {
        time: '2026-01-02T03:04:05.238Z',
        emitter: { name: 'Sallyport', version: '1.2.3' },
        verdict: 'FORWARDED',
        IP: { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' },
        l4: { TCP: { source_port: 40000, destination_port: 80 } },
        source: {
          identity: 1001,
          namespace: 'shop',
          labels: client.labels,
          pod_name: 'web-1',
          workloads: [{ name: 'web', kind: 'Deployment' }],
          cluster_name: 'default',
        },
        destination: { identity: 1002, namespace: 'shop', pod_name: 'api-1' },
        destination_names: ['api.example.com'],
        destination_service: { name: 'api', namespace: 'shop' },
        Type: 'L7',
        node_name: 'default/node-1',
        l7: {
          type: 'REQUEST',
          http: {
            method: 'GET',
            url: 'http://api.example.com/v1/items',
            protocol: 'HTTP/1.1',
            headers: [{ key: 'X-Request-Id', value: '77' }],
          },
        },
        event_type: { type: 129 },
        traffic_direction: 'INGRESS',
        is_reply: false,
        trace_context: { parent: { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736' } },
        ingress_allowed_by: [policy],
        Summary: 'HTTP/1.1 GET http://api.example.com/v1/items',
      },
      {
        time: '2026-01-02T03:04:05.250500Z',
        verdict: 'FORWARDED',
        IP: { source: '10.0.0.2', destination: '10.0.0.1' },
        l4: { TCP: { source_port: 80, destination_port: 40000 } },
        source: { pod_name: 'api-1' },
        destination: { pod_name: 'web-1' },
        source_names: ['api.example.com'],
        l7: { type: 'RESPONSE', latency_ns: '12500000', http: { code: 200 } },
        traffic_direction: 'INGRESS',
        is_reply: true,
        reply: true,
        Summary: 'HTTP/1.1 200 12ms (GET http://api.example.com/v1/items)',
      },
    ],
  },
  {
    name: 'a request that no rule allowed, and the answer to it',
    flow: {
      ...proxied,
      verdict: 'denied',
      decision: refused,
      facts: { ...http, status: 403 },
      durationMs: 0.4,
    },
    expected: [
      { verdict: 'DROPPED', l7: { type: 'REQUEST' }, is_reply: false },
      {
        verdict: 'FORWARDED',
        l7: { type: 'RESPONSE', http: { code: 403 } },
        Summary: 'HTTP/1.1 403 0ms (GET http://api.example.com/v1/items)',
      },
    ],
  },
  {
    name: 'a request that policy would deny, were it enforced',
    flow: { ...proxied, isDryRun: true, decision: refused, facts: { ...http, status: 0 } },
    expected: [{ verdict: 'AUDIT' }],
  },
  {
    name: 'a call of gRPC, whose status is a header of the response',
    flow: {
      ...proxied,
      facts: { ...http, isGrpc: true, grpc: { service: 's', method: 'm', status: 5 } },
    },
    expected: [
      { l7: { http: { headers: [{ key: 'X-Request-Id' }] } } },
      { l7: { http: { headers: [{ key: 'Grpc-Status', value: '5' }, { key: 'X-Request-Id' }] } } },
    ],
  },
  {
    name: 'a request that failed without a response',
    flow: { ...proxied, verdict: 'error', facts: { ...http, status: 0 } },
    expected: [{ verdict: 'ERROR' }],
  },
  {
    name: 'a connection that a deny rule refused: the verdict, then the drop',
    flow: { ...proxied, verdict: 'denied', facts: { kind: 'transport' }, decision: deniedByRule },
    expected: [
      {
        verdict: 'DROPPED',
        Type: 'L3_L4',
        event_type: { type: 5 },
        drop_reason: 181,
        drop_reason_desc: 'POLICY_DENY',
        policy_match_type: 1,
        ingress_denied_by: [{ name: 'everywhere', kind: 'CiliumClusterwideNetworkPolicy' }],
        l4: { TCP: { flags: { SYN: true } } },
        Summary: 'TCP Flags: SYN',
      },
      {
        verdict: 'DROPPED',
        event_type: { type: 1, sub_type: 181 },
        drop_reason_desc: 'POLICY_DENY',
      },
    ],
  },
  ...(
    [
      ['shop/api', { name: 'api', namespace: 'shop', kind: 'CiliumNetworkPolicy' }],
      ['NetworkPolicy shop/api', { name: 'api', namespace: 'shop', kind: 'NetworkPolicy' }],
      ['everywhere', { name: 'everywhere', kind: 'CiliumClusterwideNetworkPolicy' }],
      ['AdminNetworkPolicy all', { name: 'all', kind: 'AdminNetworkPolicy' }],
      ['npds/7', { name: 'npds/7' }],
    ] as const
  ).map(([policy, told]) => ({
    name: `a request that ${policy} allowed`,
    flow: { ...proxied, decision: { ...allowed, rule: { ...rule, policy } } },
    expected: [
      {
        ingress_allowed_by: [
          {
            ...told,
            labels: [
              ...('kind' in told
                ? [
                    `k8s:io.cilium.k8s.policy.derived-from=${told.kind}`,
                    `k8s:io.cilium.k8s.policy.name=${told.name}`,
                  ]
                : []),
              ...('namespace' in told
                ? [`k8s:io.cilium.k8s.policy.namespace=${told.namespace}`]
                : []),
              `sallyport:rule=${rule.rule}`,
            ],
          },
        ],
      },
      {},
    ],
  })),
  {
    name: 'TLS that went through',
    flow: { ...proxied, facts: { kind: 'tls', serverName: 'a.example' } },
    expected: [{ Type: 'L7', l7: { type: 'REQUEST' }, Summary: 'TLS a.example' }],
  },
  {
    name: 'a question and its answer',
    flow: {
      ...proxied,
      direction: 'egress',
      ipProtocol: 17,
      facts: {
        kind: 'dns',
        query: 'api.example.com',
        types: ['A'],
        responseCode: 0,
        ips: ['1.2.3.4' as IpText],
        ttlSeconds: 30,
      },
    },
    expected: [
      {
        l4: { UDP: { destination_port: 80 } },
        l7: { dns: { query: 'api.example.com.', observation_source: 'proxy', qtypes: ['A'] } },
        Summary: 'DNS Query api.example.com. A',
      },
      {
        l7: { dns: { ips: ['1.2.3.4'], ttl: 30, rrtypes: ['A'] } },
        Summary: 'DNS Answer "1.2.3.4" TTL: 30 (Proxy api.example.com. A)',
      },
    ],
  },
  {
    name: 'a question about a name that is not there',
    flow: {
      ...proxied,
      facts: {
        kind: 'dns',
        query: 'no.example.',
        types: ['AAAA'],
        responseCode: 3,
        ips: [],
        ttlSeconds: 0,
      },
    },
    expected: [
      {},
      {
        Summary: 'DNS Answer RCode: Non-Existent Domain TTL: 4294967295 (Proxy no.example. AAAA)',
      },
    ],
  },
  {
    name: 'packets that the kernel refused by policy',
    flow: kernel,
    expected: [
      {
        verdict: 'DROPPED',
        event_type: { type: 5 },
        traffic_direction: 'EGRESS',
        drop_reason_desc: 'POLICY_DENIED',
        aggregate: { egress_flow_count: 3 },
        Summary: 'UDP',
      },
      { event_type: { type: 1, sub_type: 133 } },
    ],
  },
  {
    name: 'packets that the kernel refused whatever policy says',
    flow: { ...kernel, dropReason: 'vlan', direction: null, ipProtocol: 1 },
    expected: [
      {
        event_type: { type: 1, sub_type: 182 },
        l4: { ICMPv4: {} },
        aggregate: { unknown_direction_flow_count: 3 },
      },
    ],
  },
  {
    name: 'a connection that the kernel sent to the proxy',
    flow: { ...kernel, verdict: 'redirected', dropReason: null, ipProtocol: 6, count: 1 },
    expected: [{ verdict: 'REDIRECTED', event_type: { type: 5 }, is_reply: false }],
  },
];
