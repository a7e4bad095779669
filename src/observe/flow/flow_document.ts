/** A flow as JSON, for `GET /flows` (docs/json.md). What has nothing to say is left out. */

import { FAULTS } from '../../model/fault.ts';
import type {
  Flow,
  FlowDecision,
  FlowSide,
  HttpFacts,
  KernelFlow,
  ProtocolFacts,
  ProxyFlow,
} from '../../model/flow.ts';
import { flowId } from '../../model/flow.ts';

/** What a Date can hold (ECMA-262 21.4.1.1). */
const DATE_MS_MAX = 8.64e15;
const IP_PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};

export function flowDocument(flow: Flow): object {
  return {
    id: flowId(flow),
    node: flow.node,
    time: timeText(flow.endedAtMs),
    origin: flow.origin,
    verdict: flow.verdict,
    ...filled({ direction: flow.direction, isReply: flow.isReply }),
    source: sideDocument(flow.source),
    destination: sideDocument(flow.destination),
    ...filled({
      source_service: flow.source.service,
      destination_service: flow.destination.service,
    }),
    transport: IP_PROTOCOLS[flow.ipProtocol] ?? String(flow.ipProtocol),
    ...(flow.origin === 'proxy' ? proxyFields(flow) : kernelFields(flow)),
  };
}

function kernelFields({ dropReason, count }: KernelFlow): object {
  return { ...filled({ dropReason }), count };
}

function proxyFields(flow: ProxyFlow): object {
  const { connection, decision, shadowDecision, fault, cause } = flow;
  return {
    ...factsDocument(flow.facts),
    ...(decision === null ? {} : decisionDocument(decision)),
    ...(shadowDecision === null ? {} : { dryRun: shadowDocument(shadowDecision) }),
    ...(flow.isDryRun ? { isEnforced: false } : {}),
    ...headerLists(flow),
    ...(fault === null ? {} : { fault, blame: FAULTS[fault].blame }),
    ...(cause === null ? {} : { detail: cause.detail }),
    ...(flow.isHalfClosed ? { isHalfClosed: true } : {}),
    endpoint: connection.endpoint,
    listener: connection.listener,
    proxyId: connection.proxyId,
    connectionId: connection.id,
    identitySource: connection.identitySource,
    responseSource: flow.responseSource,
    bytesIn: flow.bytesIn,
    bytesOut: flow.bytesOut,
    durationMs: rounded(flow.durationMs),
    overheadMs: rounded(flow.overheadMs),
    revision: flow.policyRevision,
  };
}

function sideDocument(side: FlowSide): object {
  const { ip, port, identity, labels, namespace, pod, workload, names } = side;
  return {
    ip,
    ...(port === 0 ? {} : { port }),
    ...filled({ identity, workload }),
    ...(identity === null ? {} : { labels }),
    ...filledTexts({ namespace, pod }),
    ...(names.length === 0 ? {} : { names }),
  };
}

function decisionDocument(decision: FlowDecision): object {
  const { layer, reason, half, rule, otherRule } = decision;
  return {
    ...filled({ reason, layer, half }),
    ...(rule === null ? {} : { policy: rule.policy, rule: rule.rule }),
    ...(otherRule ? { otherPolicy: otherRule.policy, otherRule: otherRule.rule } : {}),
  };
}

function shadowDocument({ verdict, reason, rule }: FlowDecision): object {
  return {
    verdict,
    ...filled({ reason }),
    ...(rule === null ? {} : { policy: rule.policy, rule: rule.rule }),
  };
}

function factsDocument(facts: ProtocolFacts): object {
  switch (facts.kind) {
    case 'transport':
      return {};
    case 'tls':
      return { tls: { serverName: facts.serverName } };
    case 'http':
      return httpDocument(facts);
    case 'dns': {
      const { kind: _, responseCode, ...dns } = facts;
      return { dns: { ...dns, ...filled({ responseCode }) } };
    }
  }
}

function httpDocument(http: HttpFacts): object {
  const { version, method, scheme, host, path, status, serverName, grpc, trace, headers } = http;
  return {
    http: {
      ...filledTexts({ version, method, scheme, host, path }),
      ...(http.isCut ? { isCut: true } : {}),
      ...(status === 0 ? {} : { status }),
      ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
    },
    ...(serverName === '' ? {} : { tls: { serverName } }),
    ...(grpc === null
      ? {}
      : {
          grpc: { service: grpc.service, method: grpc.method, ...filled({ status: grpc.status }) },
        }),
    ...(trace === null ? {} : { trace }),
  };
}

function headerLists({ missing, rejected }: ProxyFlow): object {
  const listed = (headers: ProxyFlow['missing']): object[] =>
    headers.map(([name, value]) => ({ name, value }));
  return {
    ...(missing.length === 0 ? {} : { missingHeaders: listed(missing) }),
    ...(rejected.length === 0 ? {} : { rejectedHeaders: listed(rejected) }),
  };
}

function filled(fields: Readonly<Record<string, unknown>>): object {
  const known = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(known);
}

function filledTexts(fields: Readonly<Record<string, string>>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== ''));
}

function timeText(atMs: number): string {
  return new Date(Math.abs(atMs) <= DATE_MS_MAX ? atMs : 0).toISOString();
}

/** A clock that was set makes any number of it; JSON has none that is not finite. */
function rounded(ms: number): number {
  const us = Math.round(ms * 1000);
  if (Number.isFinite(us)) return us / 1000;
  return Number.isFinite(ms) ? ms : 0;
}
