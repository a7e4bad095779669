/** What is counted, by which labels, and how much of it there can be. Equality with Hubble: test/conformance. */
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { type Flow, FlowSchema } from '../../../src/hubble/generated/flow/flow_pb.ts';
import { HubbleMetrics } from '../../../src/hubble/metrics/hubble_metrics.ts';
import {
  type HubbleMetricRequest,
  hubbleMetricsProblem,
  parseHubbleMetric,
} from '../../../src/model/hubble_metric_request.ts';
import { expositionText } from '../../../src/observe/metrics/exposition.ts';

const RESPONSE = {
  time: '2026-03-01T10:00:00.25Z',
  verdict: 'FORWARDED',
  is_reply: true,
  event_type: { type: 129 },
  traffic_direction: 'INGRESS',
  source: {
    namespace: 'shop',
    pod_name: 'api-0',
    workloads: [{ name: 'api', kind: 'Deployment' }],
  },
  destination: { namespace: 'shop', pod_name: 'web-0' },
  l7: {
    type: 'RESPONSE',
    latency_ns: '30000000',
    http: { code: 200, method: 'GET', protocol: 'HTTP/1.1' },
  },
  trace_context: { parent: { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736' } },
};

describe('what is counted', () => {
  it.each([
    [
      'the sides of a response are those of its request',
      'httpV2:sourceContext=workload|pod;destinationContext=dns|pod',
      'hubble_http_requests_total{source="shop/web-0",destination="shop/api",method="GET",protocol="HTTP/1.1",status="200",reporter="server"} 1',
    ],
    [
      'http counts responses as they are',
      'http:sourceContext=pod',
      'hubble_http_responses_total{source="shop/api-0",method="GET",protocol="HTTP/1.1",status="200",reporter="server"} 1',
    ],
    [
      'a duration falls into the buckets above it',
      'httpV2',
      'hubble_http_request_duration_seconds_bucket{method="GET",reporter="server",le="0.05"} 1',
    ],
    [
      'a flow',
      'flow:labelsContext=destination_namespace,source_namespace',
      'hubble_flows_processed_total{source_namespace="shop",destination_namespace="shop",protocol="HTTP",type="L7",subtype="HTTP",verdict="FORWARDED"} 1',
    ],
    [
      'a verdict about a request',
      'policy',
      'hubble_policy_verdicts_total{direction="ingress",match="l7/http",action="forwarded"} 1',
    ],
  ])('%s', async (_, request, line) => {
    expect(await linesOf([request], [flowOf(RESPONSE)])).toContain(line);
  });

  it('a histogram has its exemplar where it was asked for, in OpenMetrics', async () => {
    const metrics = metricsOf(['httpV2:exemplars=true']);
    metrics.count(flowOf(RESPONSE));
    const text = await expositionText(metrics.families(), 'openmetrics');
    expect(text).toContain(
      'hubble_http_requests_total{method="GET",protocol="HTTP/1.1",status="200",reporter="server"} 1 # {traceID="4bf92f3577b34da6a3ce929d0e0e4736"} 1 1772359200.25\n',
    );
    expect(text).toContain('le="0.05"} 1 # {traceID=');
    expect(text.endsWith('# EOF\n')).toBe(true);
  });

  it('what was lost on the way is told', async () => {
    const metrics = metricsOf([]);
    metrics.lost('observer_events_queue', 3);
    const text = await expositionText(metrics.families(), 'prometheus');
    expect(text).toContain('hubble_lost_events_total{source="observer_events_queue"} 3');
  });
});

describe('how much is counted', () => {
  const request = 'dns:query;sourceContext=pod';

  it('series beyond the bound are one, with what this program says left as it is', async () => {
    const metrics = metricsOf([request], { countMax: 2 });
    for (let i = 0; i < 5; i++) metrics.count(queryOf(`n${i}.test.`));
    const text = await expositionText(metrics.families(), 'prometheus');
    const lines = text.split('\n').filter((line) => line.startsWith('hubble_dns_queries_total{'));
    expect(lines).toEqual([
      'hubble_dns_queries_total{source="shop/web",rcode="",qtypes="A",ips_returned="0",query="n0.test."} 1',
      'hubble_dns_queries_total{source="shop/web",rcode="",qtypes="A",ips_returned="0",query="n1.test."} 1',
      'hubble_dns_queries_total{source="other",rcode="",qtypes="other",ips_returned="other",query="other"} 3',
    ]);
    expect(text).toContain(
      'sallyport_hubble_series_cut_total{metric="hubble_dns_queries_total"} 3',
    );
  });

  it('a series that nobody counts in gives its place to a new one', async () => {
    let nowMs = 0;
    const metrics = metricsOf([request], { countMax: 1, idleMs: 1000, nowMs: () => nowMs });
    metrics.count(queryOf('old.test.'));
    nowMs = 5000;
    metrics.count(queryOf('new.test.'));
    const text = await expositionText(metrics.families(), 'prometheus');
    expect(text).toContain('query="new.test."} 1');
    expect(text).not.toContain('query="old.test."');
    expect(text).toContain(
      'sallyport_hubble_series_evicted_total{metric="hubble_dns_queries_total"} 1',
    );
  });

  it.each([
    ['a\u001b[31mred\u0007', 'a\\\\u001b[31mred\\\\u0007'],
    ['a"} 1\nhubble_forged_total 9', 'a\\"} 1\\\\nhubble_forged_total 9'],
    ['\ud800', '\ufffd'],
    ['x'.repeat(5000), 'x'.repeat(1024)],
  ])('a label says no more than it may: case %#', async (query, shown) => {
    const lines = await linesOf([request], [queryOf(query)]);
    const forged = lines.filter((line) => line.startsWith('hubble_forged'));
    expect(forged).toEqual([]);
    expect(lines.some((line) => line.includes(`query="${shown}"`))).toBe(true);
  });
});

describe('what may be asked for', () => {
  it.each([
    ['dsn', 'unknown metric "dsn"; did you mean dns?'],
    ['sctp2000', /^unknown metric "sctp2000"; there are dns, drop/],
    ['dns:quarry', /^dns: unknown option "quarry"; there are sourceContext/],
    ['drop:query', /^drop: unknown option "query"/],
    ['flow:sourceContext=pod|nobody', /^flow: sourceContext: "nobody" is none of identity/],
    ['flow:labelsContext=source_moon', /^flow: labelsContext: "source_moon" is none of source_ip/],
  ])('%s is refused', (text, message) => {
    expect(parseHubbleMetric(text)).toMatchObject({
      kind: 'error',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
  });

  it.each([
    [['http', 'httpV2'], /same names/],
    [['dns', 'dns:query'], /asked for twice/],
  ])('%j together are refused', (texts, message) => {
    expect(hubbleMetricsProblem(texts.map(requestOf))).toMatch(message);
  });
});

function metricsOf(
  texts: readonly string[],
  bounds: { countMax?: number; idleMs?: number; nowMs?: () => number } = {},
): HubbleMetrics {
  const { countMax = 100, idleMs = 60_000, nowMs = () => 0 } = bounds;
  return new HubbleMetrics(texts.map(requestOf), { countMax, idleMs, nowMs });
}

function requestOf(text: string): HubbleMetricRequest {
  const parsed = parseHubbleMetric(text);
  if (parsed.kind === 'error') throw new Error(parsed.message);
  return parsed.request;
}

async function linesOf(texts: readonly string[], flows: readonly Flow[]): Promise<string[]> {
  const metrics = metricsOf(texts);
  for (const flow of flows) metrics.count(flow);
  return (await expositionText(metrics.families(), 'prometheus')).split('\n');
}

function flowOf(json: JsonValue): Flow {
  return fromJson(FlowSchema, json);
}

function queryOf(query: string): Flow {
  const flow = flowOf({
    verdict: 'FORWARDED',
    event_type: { type: 129 },
    source: { namespace: 'shop', pod_name: 'web' },
    l7: { type: 'REQUEST', dns: { qtypes: ['A'] } },
  });
  if (flow.l7?.record.case === 'dns') flow.l7.record.value.query = query;
  return flow;
}
