/**
 * Our flows as those of Hubble: what its clients filter, print and count. One of ours is of a request and its
 * response; Hubble has a flow for each, and for a connection that policy refused one of the verdict and one of the drop.
 *
 *     Flow ──► hubbleFlows ──► request, response | policy verdict, drop
 *
 * What Hubble has no field for is in `extensions` (extensions.ts), which costs more and is made for who asks for it.
 */
import { create } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Flow, FlowSide, KernelFlow, ProxyFlow } from '../../model/flow.ts';
import {
  FlowSchema,
  FlowType,
  type Flow as HubbleFlow,
  TrafficDirection,
  Verdict,
} from '../generated/flow/flow_pb.ts';
import { dropCodeOf, kernelDropCode } from './drop_codes.ts';
import type { FlowInit } from './inits.ts';
import { requestOf, responseOf } from './layer7.ts';
import { matchTypeOf, policiesOf } from './policies.ts';
import { endpointOf, ipOf, layer4Of } from './sides.ts';
import { layer4Summary, requestSummary, responseSummary } from './summary.ts';
import { flowUuid } from './uuid.ts';

/** How this node calls itself to clients of Hubble. */
export interface NodeNaming {
  /** Cilium's name of the cluster. */
  readonly cluster: string;
  /** Null: as the flow says. */
  readonly node: string | null;
  /** Of ours, for the field `emitter`. */
  readonly version: string;
}

/** Types of events of Cilium's monitor (pkg/monitor/api). */
export const EVENT_DROP = 1;
export const EVENT_POLICY_VERDICT = 5;
export const EVENT_L7 = 129;

const NS_PER_MS = 1e6;
const UINT32_MAX = 0xffff_ffff;
/** The end of 9999: protobuf has no later time. */
const TIME_MS_MAX = 253_402_300_799_999;

/** In the order in which it happened. */
export function hubbleFlows(flow: Flow, naming: NodeNaming): readonly HubbleFlow[] {
  return initsOf(flow, naming).map((init) => create(FlowSchema, init));
}

function initsOf(flow: Flow, naming: NodeNaming): readonly FlowInit[] {
  if (flow.origin === 'kernel') return kernelInits(flow, naming);
  return flow.facts.kind === 'transport' || isRefusedConnection(flow)
    ? connectionInits(flow, naming)
    : exchangeInits(flow, naming);
}

/** Policy refused the connection before anything was asked on it: the server name is all that was said. */
function isRefusedConnection({ facts, decision, verdict }: ProxyFlow): boolean {
  return facts.kind === 'tls' && verdict === 'denied' && decision?.layer === 'network';
}

/** A request, and the response that the client saw. */
function exchangeInits(flow: ProxyFlow, naming: NodeNaming): readonly FlowInit[] {
  const request = requestOf(flow);
  const response = responseOf(flow);
  const common: FlowInit = {
    ...commonOf(flow, naming),
    Type: FlowType.L7,
    eventType: { type: EVENT_L7 },
    ...(flow.facts.kind === 'http' && flow.facts.trace !== null
      ? { traceContext: { parent: { traceId: flow.facts.trace.traceId } } }
      : {}),
  };
  const asked: FlowInit = {
    ...common,
    ...sidesOf(flow, flow.source, flow.destination),
    time: timeOf(flow.endedAtMs - flow.durationMs),
    uuid: flowUuid(flow, 0),
    verdict: requestVerdict(flow),
    isReply: false,
    l7: request,
    Summary: requestSummary(flow, request),
    ...policiesOf(flow),
  };
  if (response === null) return [asked];
  return [
    asked,
    {
      ...common,
      ...sidesOf(flow, flow.destination, flow.source),
      time: timeOf(flow.endedAtMs),
      uuid: flowUuid(flow, 1),
      // As under Cilium, where the answer to a request that is refused is a response like any other.
      verdict: Verdict.FORWARDED,
      isReply: true,
      reply: true,
      l7: response,
      Summary: responseSummary(flow, response),
    },
  ];
}

/** A connection of which only addresses are known: allowed, or refused by policy, or broken. */
function connectionInits(flow: ProxyFlow, naming: NodeNaming): readonly FlowInit[] {
  const { decision } = flow;
  const isDenied = flow.verdict === 'denied';
  const common: FlowInit = {
    ...commonOf(flow, naming),
    ...sidesOf(flow, flow.source, flow.destination),
    ...firstPacketOf(flow),
    Type: FlowType.L3_L4,
    time: timeOf(flow.endedAtMs),
  };
  const judged: FlowInit = {
    ...common,
    uuid: flowUuid(flow, 0),
    eventType: { type: EVENT_POLICY_VERDICT },
    verdict: requestVerdict(flow),
    policyMatchType: matchTypeOf(decision),
    ...(isDenied ? dropFields(dropCodeOf(flow)) : { isReply: false }),
    ...policiesOf(flow),
  };
  return isDenied ? [judged, droppedInit(flow, common, dropCodeOf(flow))] : [judged];
}

function kernelInits(flow: KernelFlow, naming: NodeNaming): readonly FlowInit[] {
  const { dropReason } = flow;
  const isByPolicy =
    dropReason === null || dropReason === 'denied-egress' || dropReason === 'denied-ingress';
  const common: FlowInit = {
    ...commonOf(flow, naming),
    ...sidesOf(flow, flow.source, flow.destination),
    Type: FlowType.L3_L4,
    time: timeOf(flow.endedAtMs),
    Summary: layer4Summary(flow),
    ...(isByPolicy ? firstPacketOf(flow) : {}),
    ...(flow.count > 1 ? { aggregate: countedBy(flow) } : {}),
  };
  const judged: FlowInit = {
    ...common,
    uuid: flowUuid(flow, 0),
    eventType: { type: EVENT_POLICY_VERDICT },
  };
  if (dropReason === null) {
    return [{ ...judged, verdict: Verdict.REDIRECTED, isReply: false, policyMatchType: 0 }];
  }
  const code = kernelDropCode(dropReason);
  const dropped = droppedInit(flow, common, code);
  return isByPolicy
    ? [{ ...judged, verdict: Verdict.DROPPED, ...dropFields(code) }, dropped]
    : [dropped];
}

/** Policy judges a connection at its SYN, which is what Cilium tells of it. */
function firstPacketOf({ ipProtocol, source, destination }: Flow): FlowInit {
  return {
    l4: layer4Of(ipProtocol, source, destination, { SYN: true }),
    Summary: layer4Summary({ ipProtocol }, { SYN: true }),
  };
}

function droppedInit(flow: Flow, common: FlowInit, code: number): FlowInit {
  return {
    ...common,
    uuid: flowUuid(flow, 1),
    eventType: { type: EVENT_DROP, subType: code },
    verdict: Verdict.DROPPED,
    ...dropFields(code),
  };
}

function dropFields(code: number): FlowInit {
  return { dropReason: code, dropReasonDesc: code as NonNullable<FlowInit['dropReasonDesc']> };
}

function commonOf(flow: Flow, naming: NodeNaming): FlowInit {
  return {
    emitter: { name: 'Sallyport', version: naming.version },
    nodeName: nodeNameOf(flow.node, naming),
    trafficDirection: directionOf(flow),
  };
}

/** "cluster/node", as Hubble has it. */
export function nodeNameOf(node: string, naming: NodeNaming): string {
  return `${naming.cluster}/${naming.node ?? node}`;
}

function directionOf({ direction }: Flow): TrafficDirection {
  if (direction === null) return TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN;
  return direction === 'ingress' ? TrafficDirection.INGRESS : TrafficDirection.EGRESS;
}

function sidesOf(flow: Flow, source: FlowSide, destination: FlowSide): FlowInit {
  return {
    IP: ipOf(source, destination),
    l4: layer4Of(flow.ipProtocol, source, destination),
    source: endpointOf(source),
    destination: endpointOf(destination),
    sourceNames: [...source.names],
    destinationNames: [...destination.names],
    ...(source.service === null ? {} : { sourceService: { ...source.service } }),
    ...(destination.service === null ? {} : { destinationService: { ...destination.service } }),
  };
}

function requestVerdict(flow: ProxyFlow): Verdict {
  // What a policy would deny, had it been enforced: as Cilium's audit mode.
  if (flow.isDryRun) return Verdict.AUDIT;
  switch (flow.verdict) {
    case 'forwarded':
      return Verdict.FORWARDED;
    case 'denied':
      return Verdict.DROPPED;
    case 'error':
      return Verdict.ERROR;
  }
}

function countedBy({ direction, count: packets }: KernelFlow): NonNullable<FlowInit['aggregate']> {
  const count = Math.min(packets, UINT32_MAX);
  if (direction === null) return { unknownDirectionFlowCount: count };
  return direction === 'ingress' ? { ingressFlowCount: count } : { egressFlowCount: count };
}

function timeOf(ms: number): Timestamp {
  const whole = Math.min(Math.max(Math.floor(ms), 0), TIME_MS_MAX);
  const time = timestampFromMs(whole);
  if (whole < ms) time.nanos += Math.min(Math.floor((ms - whole) * NS_PER_MS), NS_PER_MS - 1);
  return time;
}
