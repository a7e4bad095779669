/** Flows as Hubble's JSON has them, of every kind and with hostile values: chosen by `random`. */

interface Choice {
  /** Whole, from 0 to below `count`. */
  below(count: number): number;
  oneOf<Value>(values: readonly Value[]): Value;
}

type Json = Readonly<Record<string, unknown>>;

const HOSTILE = ['\u001b[31mred', 'a"b\\c', 'line\nbreak', 'tab\there', 'ünï\u202ecode', '{}=,'];
const NAMESPACES = ['', 'default', 'shop', 'kube-system'];
const PODS = ['', 'api-6d9f7c5b8-x2x7k', 'web-0', 'x'.repeat(63)];
const LABELS = [
  [],
  ['k8s:app=api', 'k8s:io.kubernetes.pod.namespace=shop'],
  ['k8s:app.kubernetes.io/name=web', 'k8s:app=other'],
  ['k8s:k8s-app=kube-dns'],
  ['cidr:10.0.0.0/8', 'reserved:world'],
  ['reserved:world-ipv6'],
  ['reserved:host', 'reserved:kube-apiserver'],
  ['k8s:app='],
];
const IPS = ['10.0.0.1', '10.0.1.2', '192.0.2.7', 'fd00::1', ''];
const PORTS = [0, 53, 80, 443, 33000];
const VERDICTS = [
  ...['FORWARDED', 'FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'TRACED'],
  'VERDICT_UNKNOWN',
];
const DIRECTIONS = ['INGRESS', 'EGRESS', 'TRAFFIC_DIRECTION_UNKNOWN'];
const METHODS = ['GET', 'POST', 'PUT', '', ...HOSTILE];
const NAMES = ['api.example.com.', 'www.test.', ...HOSTILE];
const POLICIES = [
  { name: 'allow-web', namespace: 'shop', kind: 'CiliumNetworkPolicy' },
  { name: 'all', kind: 'CiliumClusterwideNetworkPolicy' },
  { name: '', namespace: 'shop' },
];

export function generatedFlow(random: Choice): Json {
  const eventType = random.oneOf([1, 4, 5, 129, 129, 129, 3, 7, 0, 200]);
  const isL7 = eventType === 129;
  const direction = random.oneOf(DIRECTIONS);
  return {
    time: `2026-03-0${1 + random.below(9)}T1${random.below(10)}:0${random.below(10)}:5${random.below(10)}.${String(random.below(1e9)).padStart(9, '0')}Z`,
    uuid: 'b3e5b8a2-0d8f-4f2d-9a44-0d1a7b1d3c7e',
    verdict: random.oneOf(VERDICTS),
    ...(random.below(3) === 0 ? { drop_reason_desc: dropReason(random) } : {}),
    ...(random.below(12) === 0 ? { auth_type: random.oneOf(['SPIRE', 'TEST_ALWAYS_FAIL']) } : {}),
    ...(random.below(12) === 0
      ? { ethernet: { source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } }
      : { IP: ip(random) }),
    ...(random.below(8) === 0 ? {} : { l4: layer4(random) }),
    ...(random.below(12) === 0 ? {} : { source: endpoint(random) }),
    ...(random.below(12) === 0 ? {} : { destination: endpoint(random) }),
    Type: isL7 ? 'L7' : 'L3_L4',
    node_name: random.oneOf(['kind/worker-1', 'worker-2', '']),
    ...names(random),
    ...(isL7 && random.below(8) !== 0 ? { l7: layer7(random) } : {}),
    ...(eventType === 0 ? {} : { event_type: { type: eventType, sub_type: subType(random) } }),
    ...(random.below(5) === 0 ? services(random) : {}),
    traffic_direction: direction,
    ...(eventType === 5 ? { policy_match_type: random.below(8) } : {}),
    ...reply(random),
    ...(random.below(4) === 0
      ? { trace_context: { parent: { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736' } } }
      : {}),
    ...(eventType === 3 ? { debug_capture_point: 'DBG_CAPTURE_PROXY_PRE' } : {}),
    ...(eventType === 7 ? { sock_xlate_point: socketPoint(random) } : {}),
    ...(random.below(12) === 0 ? { ip_trace_id: { trace_id: '77', ip_option_type: 136 } } : {}),
    Summary: random.oneOf(['HTTP/1.1 GET http://shop/', 'TCP Flags: SYN', '', ...HOSTILE]),
    ...policies(random),
  };
}

/** What a client of GetFlows is sent. */
export function generatedResponse(random: Choice): Json {
  const kind = random.below(12);
  if (kind === 0) return { lost_events: lostEvents(random), node_name: 'kind/worker-1' };
  const flow = generatedFlow(random);
  return { flow, node_name: flow['node_name'], time: flow['time'] };
}

function lostEvents(random: Choice): Json {
  const source = random.oneOf([
    'PERF_EVENT_RING_BUFFER',
    'OBSERVER_EVENTS_QUEUE',
    'HUBBLE_RING_BUFFER',
  ]);
  return {
    source,
    num_events_lost: String(1 + random.below(1000)),
    ...(random.below(2) === 0 ? { cpu: random.below(12) } : {}),
    ...(random.below(2) === 0
      ? { first: '2026-03-01T10:00:00.5Z', last: '2026-03-01T10:00:01Z' }
      : {}),
  };
}

function dropReason(random: Choice): string {
  return random.oneOf(['POLICY_DENIED', 'POLICY_DENY', 'INVALID_SOURCE_IP', 'AUTH_REQUIRED']);
}

function ip(random: Choice): Json {
  return {
    source: random.oneOf(IPS),
    destination: random.oneOf(IPS),
    ipVersion: random.oneOf(['IPv4', 'IPv6', 'IP_NOT_USED']),
  };
}

function layer4(random: Choice): Json {
  const ports = { source_port: random.oneOf(PORTS), destination_port: random.oneOf(PORTS) };
  const flag = (): boolean => random.below(3) === 0;
  const flags = { FIN: flag(), SYN: flag(), RST: flag(), ACK: flag() };
  const icmp = {
    type: random.oneOf([0, 1, 3, 4, 5, 8, 11, 128, 129, 135, 200]),
    code: random.below(4),
  };
  return random.oneOf<Json>([
    { TCP: ports },
    { TCP: { ...ports, flags } },
    { TCP: { ...ports, flags } },
    { UDP: ports },
    { SCTP: ports },
    { ICMPv4: icmp },
    { ICMPv6: icmp },
    { VRRP: { type: 1 } },
    { IGMP: { type: 17 } },
    {},
  ]);
}

function endpoint(random: Choice): Json {
  return {
    identity: random.oneOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 25_698, 16_777_217]),
    namespace: random.oneOf(NAMESPACES),
    labels: random.oneOf(LABELS),
    pod_name: random.oneOf(PODS),
    ...(random.below(2) === 0 ? { workloads: [{ name: 'api', kind: 'Deployment' }] } : {}),
  };
}

function names(random: Choice): Json {
  return {
    ...(random.below(3) === 0 ? { source_names: ['one.test', 'two.test'] } : {}),
    ...(random.below(3) === 0 ? { destination_names: [random.oneOf(NAMES)] } : {}),
  };
}

function services(random: Choice): Json {
  const service = { name: 'checkout', namespace: random.oneOf(NAMESPACES) };
  return random.below(2) === 0 ? { source_service: service } : { destination_service: service };
}

function layer7(random: Choice): Json {
  const type = random.oneOf(['REQUEST', 'RESPONSE', 'RESPONSE', 'SAMPLE', 'UNKNOWN_L7_TYPE']);
  const latency = { latency_ns: String(random.oneOf([0, 5_000_000, 5_000_001, 12_345_678_901])) };
  const code = random.oneOf([0, 200, 403, 503]);
  const protocol = random.oneOf(['HTTP/1.1', 'HTTP/2', '']);
  const http = {
    ...{ code, method: random.oneOf(METHODS), url: 'http://shop/', protocol },
    headers: [{ key: 'X-Request-Id', value: 'v' }],
  };
  const dns = {
    query: random.oneOf(NAMES),
    ips: random.oneOf([[], ['192.0.2.1'], ['192.0.2.1', '192.0.2.2']]),
    observation_source: random.oneOf(['proxy', '']),
    rcode: random.oneOf([0, 2, 3, 5, 12, 23, 99]),
    qtypes: random.oneOf([['A'], ['AAAA'], ['A', 'AAAA'], []]),
    rrtypes: random.oneOf([[], ['A', 'CNAME']]),
  };
  return random.oneOf<Json>([
    { type, ...latency, http },
    { type, ...latency, http },
    { type, dns },
    { type },
    { type, kafka: { topic: 't' } },
  ]);
}

function subType(random: Choice): number {
  return random.oneOf([0, 0, 1, 3, 5, 8, 11, 13, 133, 181, 189, 132]);
}

function socketPoint(random: Choice): string {
  return random.oneOf([
    'SOCK_XLATE_POINT_PRE_DIRECTION_FWD',
    'SOCK_XLATE_POINT_POST_DIRECTION_FWD',
    'SOCK_XLATE_POINT_PRE_DIRECTION_REV',
    'SOCK_XLATE_POINT_POST_DIRECTION_REV',
    'SOCK_XLATE_POINT_UNKNOWN',
  ]);
}

function reply(random: Choice): Json {
  const choice = random.below(3);
  return choice === 0 ? {} : { is_reply: choice === 1 };
}

function policies(random: Choice): Json {
  if (random.below(3) !== 0) return {};
  const field = random.oneOf([
    ...['egress_allowed_by', 'ingress_allowed_by', 'egress_denied_by', 'ingress_denied_by'],
  ]);
  return { [field]: [random.oneOf(POLICIES), random.oneOf(POLICIES)] };
}
