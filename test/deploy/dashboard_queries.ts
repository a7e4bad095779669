/**
 * What the dashboards of Cilium's chart ask (1.19, install/kubernetes/cilium/files/hubble/dashboards), with their variables
 * filled in; the settings that they need; and flows of each kind that they show.
 */

const HTTP_LABELS =
  'labelsContext=source_ip,source_namespace,source_workload,destination_ip,destination_namespace,destination_workload,traffic_direction';
const NETWORK_OPTIONS =
  'sourceContext=workload-name|reserved-identity;destinationContext=workload-name|reserved-identity;labelsContext=source_namespace,destination_namespace';

export const DASHBOARD_REQUESTS: readonly string[] = [
  `dns:query;ignoreAAAA;${NETWORK_OPTIONS}`,
  `drop:${NETWORK_OPTIONS}`,
  `tcp:${NETWORK_OPTIONS}`,
  `flow:${NETWORK_OPTIONS}`,
  `icmp:${NETWORK_OPTIONS}`,
  'port-distribution',
  'policy:sourceContext=namespace;destinationContext=namespace',
  'flows-to-world',
  `httpV2:exemplars=true;${HTTP_LABELS}`,
];

const RATE = '[5s]';
const BETWEEN = 'cluster=~"default", source_namespace=~"shop", destination_namespace=~"shop|"';
const BACK = 'cluster=~"default", source_namespace=~"shop|", destination_namespace=~"shop"';
const WORKLOADS =
  'cluster=~"default", reporter="server", source_namespace=~"shop", source_workload=~"web", destination_namespace=~"shop", destination_workload=~"api"';
const QUANTILES = ['0.50', '0.95', '0.99'];

/** By pod, as the first dashboard of Hubble had it. */
const OVERVIEW = [
  ...['avg', 'min', 'max'].map((of) => `${of}(${rate('flows_processed_total', '')})`),
  ...['type', 'verdict'].map((by) => rate('flows_processed_total', '', by)),
  rate('flows_processed_total', 'type="L7"', 'subtype'),
  rate('drop_total', '', 'reason'),
  rate('drop_total', 'reason="POLICY_DENIED"', 'protocol'),
  `topk(10, ${rate('drop_total', 'reason="POLICY_DENIED"', 'source')})`,
  `topk(10, ${rate('drop_total', 'reason="POLICY_DENIED"', 'destination')})`,
  rate('port_distribution_total', '', 'protocol'),
  `topk(10, ${rate('port_distribution_total', 'port!="0"', 'port, protocol')})`,
  rate('tcp_flags_total', 'family="IPv4"', 'flag'),
  `${rate('tcp_flags_total', 'family="IPv4", flag="SYN"')} - ${rate('tcp_flags_total', 'family="IPv4", flag="SYN-ACK"')}`,
  rate('icmp_total', 'family="IPv4"', 'type'),
  `${rate('icmp_total', 'family="IPv4", type="EchoRequest"')} - ${rate('icmp_total', 'family="IPv4", type="EchoReply"')}`,
  rate('http_requests_total', '', 'method'),
  rate('http_requests_total', '', 'protocol'),
  ...['0.5', '0.99'].map(
    (q) => `histogram_quantile(${q}, rate(hubble_http_request_duration_seconds_bucket${RATE}))`,
  ),
  rate('dns_queries_total', '', 'qtypes'),
  `topk(10, sum(rate(hubble_dns_queries_total${RATE})*60) by (query, qtypes))`,
  rate('dns_responses_total', 'rcode="No Error"', 'qtypes'),
  rate('dns_responses_total', 'rcode="No Error"', 'ips_returned'),
  rate('dns_responses_total', 'rcode!="No Error"', 'qtypes, rcode'),
  `topk(10, ${rate('dns_responses_total', 'rcode!="No Error"', 'destination')})`,
  rate('dns_response_types_total', '', 'type'),
  `${rate('dns_queries_total', '', 'qtypes')} - ${rate('dns_responses_total', '', 'qtypes')}`,
];

const DNS = [
  `sum(rate(hubble_dns_queries_total{${BETWEEN}}${RATE})) by (source) > 0`,
  `topk(10, sum(rate(hubble_dns_queries_total{${BETWEEN}}${RATE})*60) by (query))`,
  `sum(rate(hubble_dns_responses_total{${BACK}, rcode!="No Error"}${RATE})) by (destination, rcode) > 0`,
  `round(sum(rate(hubble_dns_queries_total{${BETWEEN}}${RATE})) by (source) - ${answers('dns_responses_total', '')}, 0.001) > 0`,
];

const NETWORK = [
  `sum(rate(hubble_flows_processed_total{${BETWEEN}}${RATE})) by (type, subtype)`,
  `sum(rate(hubble_flows_processed_total{${BETWEEN}}${RATE})) by (verdict)`,
  ...['source', 'destination'].flatMap((side) => [
    `topk(10, sum(rate(hubble_flows_processed_total{${BETWEEN}}${RATE})) by (${side}))`,
    `sum(rate(hubble_drop_total{${BETWEEN}}${RATE})) by (${side}, reason) > 0`,
  ]),
  `sum(rate(hubble_icmp_total{${BETWEEN}, type="EchoRequest"}${RATE})) by (source) - ${answers('icmp_total', ', type="EchoReply"')} > 0`,
  `sum(rate(hubble_tcp_flags_total{${BETWEEN}, flag="SYN"}${RATE})) by (source) - ${answers('tcp_flags_total', ', flag="SYN-ACK"')} > 0`,
];

const HTTP = ['source', 'destination'].flatMap((side) => {
  const by = `cluster, ${side}_namespace, ${side}_workload`;
  const requests = (more: string): string =>
    `sum(rate(hubble_http_requests_total{${WORKLOADS}${more}}${RATE})) by (${by}`;
  return [
    `round(${requests('')}, status), 0.001)`,
    `${requests(', status!~"5.*"')}) / ${requests('')})`,
    ...QUANTILES.map(
      (q) =>
        `histogram_quantile(${q}, sum(rate(hubble_http_request_duration_seconds_bucket{${WORKLOADS}}${RATE})) by (${by}, le))`,
    ),
  ];
});

export const DASHBOARD_QUERIES: readonly string[] = [
  ...OVERVIEW,
  ...DNS,
  ...NETWORK,
  ...HTTP,
  'sum(rate(hubble_policy_verdicts_total[5s])) by (direction, match, action)',
  'sum(rate(hubble_flows_to_world_total[5s])) by (protocol, verdict)',
];

function rate(metric: string, labels: string, by = ''): string {
  return `sum(rate(hubble_${metric}{${labels}}${RATE})) by (pod${by === '' ? '' : `, ${by}`})`;
}

/** What came back, by who asked. */
function answers(metric: string, more: string): string {
  return `sum(label_replace(sum(rate(hubble_${metric}{${BACK}${more}}${RATE})) by (destination), "source", "$1", "destination", "(.*)")) without (destination)`;
}

const WEB = {
  ...{ identity: 7001, namespace: 'shop', pod_name: 'web-0' },
  workloads: [{ name: 'web', kind: 'StatefulSet' }],
};
const API = {
  ...{ identity: 7002, namespace: 'shop', pod_name: 'api-0' },
  workloads: [{ name: 'api', kind: 'Deployment' }],
};
const WORLD = { identity: 2, labels: ['reserved:world'] };
const IP = { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' };
const TO = { source: WEB, destination: API, IP, traffic_direction: 'INGRESS', is_reply: false };
const FROM = { source: API, destination: WEB, IP, traffic_direction: 'INGRESS', is_reply: true };
const L7 = { event_type: { type: 129 }, verdict: 'FORWARDED' };
const TRACE = { event_type: { type: 4 }, verdict: 'FORWARDED' };
const PORTS = { source_port: 40000, destination_port: 80 };
const ASKED = { query: 'api.shop.svc.', qtypes: ['A'], observation_source: 'proxy' };

export const FLOWS: readonly object[] = [
  http(200, '4000000'),
  http(503, '2000000000'),
  { ...TO, ...L7, l7: { type: 'REQUEST', dns: ASKED } },
  { ...TO, ...L7, l7: { type: 'REQUEST', dns: ASKED } },
  { ...TO, ...L7, l7: { type: 'REQUEST', dns: ASKED } },
  dnsAnswer({ ips: ['10.0.0.2'], rrtypes: ['A'] }),
  dnsAnswer({ rcode: 3 }),
  { ...TO, ...TRACE, l4: { TCP: { ...PORTS, flags: { SYN: true } } } },
  { ...TO, ...TRACE, l4: { TCP: { ...PORTS, flags: { SYN: true } } } },
  { ...FROM, ...TRACE, l4: { TCP: { ...PORTS, flags: { SYN: true, ACK: true } } } },
  { ...TO, ...TRACE, l4: { ICMPv4: { type: 8 } } },
  { ...TO, ...TRACE, l4: { ICMPv4: { type: 8 } } },
  { ...FROM, ...TRACE, l4: { ICMPv4: { type: 0 } } },
  {
    ...{ ...TO, l4: { TCP: PORTS }, event_type: { type: 1, sub_type: 133 } },
    ...{ verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENIED' },
  },
  { ...TO, ...TRACE, destination: WORLD, l4: { TCP: PORTS } },
  { ...TO, event_type: { type: 5 }, verdict: 'REDIRECTED', l4: { TCP: PORTS } },
];

function http(code: number, latency: string): object {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  return {
    ...{ ...FROM, ...L7, time: new Date().toISOString() },
    l7: {
      ...{ type: 'RESPONSE', latency_ns: latency },
      http: { code, method: 'GET', protocol: 'HTTP/1.1' },
    },
    trace_context: { parent: { trace_id: traceId } },
  };
}

function dnsAnswer(answer: object): object {
  return { ...FROM, ...L7, l7: { type: 'RESPONSE', dns: { ...ASKED, ...answer } } };
}
