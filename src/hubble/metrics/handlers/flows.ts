import { enumWord } from '../../flow/enum_word.ts';
import {
  EVENT_TYPES,
  l7Word,
  matchTypeWord,
  observationPoint,
  protocolWord,
} from '../../flow/flow_words.ts';
import {
  DropReasonSchema,
  type Flow,
  TrafficDirectionSchema,
  Verdict,
  VerdictSchema,
} from '../../generated/flow/flow_pb.ts';
import type { MetricHandler } from '../handler.ts';

export const FLOW: MetricHandler = (parts) => {
  const { context } = parts;
  const flows = parts.counter('flows_processed_total', 'Flows that were counted.', [
    ...['protocol', 'type', 'subtype', 'verdict'],
  ]);
  return (flow) => {
    const [type, subtype] = kindOf(flow);
    flows.add([
      ...context.values(flow, false),
      protocolWord(flow),
      type,
      subtype,
      verdictWord(flow),
    ]);
  };
};

const NO_EVENT = { type: 0, subType: 0 };

function verdictWord({ verdict }: Flow): string {
  return enumWord(VerdictSchema, verdict);
}

function kindOf(flow: Flow): readonly [string, string] {
  const { type, subType } = flow.eventType ?? NO_EVENT;
  switch (type) {
    case EVENT_TYPES.l7:
      return ['L7', l7Word(flow) ?? ''];
    case EVENT_TYPES.drop:
      return ['Drop', ''];
    case EVENT_TYPES.capture:
      return ['Capture', ''];
    case EVENT_TYPES.trace:
      return ['Trace', observationPoint(subType) ?? ''];
    case EVENT_TYPES.policyVerdict:
      return ['PolicyVerdict', ''];
    default:
      return ['Unknown', String(type)];
  }
}

/** What was refused, by packets and by requests. A request that was refused has no reason of the kernel's. */
export const DROP: MetricHandler = (parts) => {
  const { context } = parts;
  const drops = parts.counter('drop_total', 'Flows that were dropped.', ['reason', 'protocol']);
  return (flow) => {
    if (flow.verdict !== Verdict.DROPPED) return;
    const reason = enumWord(DropReasonSchema, flow.dropReasonDesc);
    drops.add([...context.values(flow, false), reason, protocolWord(flow)]);
  };
};

const HOST_IDENTITY = 1;

export const POLICY: MetricHandler = (parts) => {
  const { context } = parts;
  const verdicts = parts.counter('policy_verdicts_total', 'Verdicts of network policy.', [
    ...['direction', 'match', 'action'],
  ]);
  return (flow) => {
    const match = matchOf(flow);
    if (match === null) return;
    const direction = enumWord(TrafficDirectionSchema, flow.trafficDirection).toLowerCase();
    verdicts.add([
      ...context.values(flow, false),
      direction,
      match,
      verdictWord(flow).toLowerCase(),
    ]);
  };
};

/** Null: it is no verdict. What comes from the host is always allowed to endpoints of the node. */
function matchOf(flow: Flow): string | null {
  switch (flow.eventType?.type ?? 0) {
    case EVENT_TYPES.policyVerdict:
      if (flow.source?.identity === HOST_IDENTITY) return null;
      return matchTypeWord(flow.policyMatchType).toLowerCase();
    case EVENT_TYPES.l7:
      return `l7/${l7Word(flow)?.toLowerCase() ?? ''}`;
    default:
      return null;
  }
}
