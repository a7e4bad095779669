import type { Exemplar } from '../../../observe/metrics/exposition.ts';
import { type Flow, L7FlowType, TrafficDirection } from '../../generated/flow/flow_pb.ts';
import type { HandlerParts, MetricHandler } from '../handler.ts';

const REQUESTS = 'HTTP requests.';
const DURATION = 'How long HTTP requests took.';

/** Counts responses, and turns the sides of each: the source is who asked. */
export const HTTP_V2: MetricHandler = (parts) => {
  const { context } = parts;
  const requests = parts.counter('http_requests_total', REQUESTS, [
    ...['method*', 'protocol', 'status', 'reporter'],
  ]);
  const duration = durationOf(parts);
  const hasExemplars = parts.has('exemplars');
  return (flow) => {
    const record = flow.l7?.record;
    if (record?.case !== 'http' || flow.l7?.type !== L7FlowType.RESPONSE) return;
    const { method, protocol, code } = record.value;
    const sides = context.values(flow, true);
    const reporter = reporterOf(flow);
    const seconds = secondsOf(flow);
    requests.add(
      [...sides, method, protocol, String(code), reporter],
      hasExemplars ? exemplarOf(flow, 1) : null,
    );
    duration.observe(
      [...sides, method, reporter],
      seconds,
      hasExemplars ? exemplarOf(flow, seconds) : null,
    );
  };
};

/** Counts requests and responses, each with the sides that it has. */
export const HTTP: MetricHandler = (parts) => {
  const { context } = parts;
  const requests = parts.counter('http_requests_total', REQUESTS, [
    ...['method*', 'protocol', 'reporter'],
  ]);
  const responses = parts.counter('http_responses_total', 'HTTP responses.', [
    ...['method*', 'protocol', 'status', 'reporter'],
  ]);
  const duration = durationOf(parts);
  const hasExemplars = parts.has('exemplars');
  return (flow) => {
    const record = flow.l7?.record;
    if (record?.case !== 'http') return;
    const type = flow.l7?.type;
    if (type !== L7FlowType.REQUEST && type !== L7FlowType.RESPONSE) return;
    const { method, protocol, code } = record.value;
    const sides = context.values(flow, false);
    const reporter = reporterOf(flow);
    const exemplar = hasExemplars ? exemplarOf(flow, 1) : null;
    if (type === L7FlowType.REQUEST) {
      requests.add([...sides, method, protocol, reporter], exemplar);
      return;
    }
    const seconds = secondsOf(flow);
    responses.add([...sides, method, protocol, String(code), reporter], exemplar);
    duration.observe(
      [...sides, method, reporter],
      seconds,
      hasExemplars ? exemplarOf(flow, seconds) : null,
    );
  };
};

function durationOf(parts: HandlerParts) {
  return parts.histogram('http_request_duration_seconds', DURATION, ['method*', 'reporter']);
}

function reporterOf({ trafficDirection }: Flow): string {
  if (trafficDirection === TrafficDirection.EGRESS) return 'client';
  return trafficDirection === TrafficDirection.INGRESS ? 'server' : 'unknown';
}

function secondsOf({ l7 }: Flow): number {
  return Number(l7?.latencyNs ?? 0) / 1e9;
}

/** OpenMetrics allows 128 characters to all labels of an exemplar; a scrape with more is refused whole. */
const TRACE_ID_LENGTH_MAX = 64;

/** By the trace that the caller said the request belongs to: 32 hexadecimal digits (W3C Trace Context 3.2.2.3). */
function exemplarOf({ traceContext, time }: Flow, value: number): Exemplar | null {
  const traceID = traceContext?.parent?.traceId ?? '';
  if (traceID.length === 0 || traceID.length > TRACE_ID_LENGTH_MAX) return null;
  const timestamp = Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
  return { labelSet: { traceID }, value, timestamp };
}
