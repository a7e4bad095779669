/**
 * Generated filters of Hubble and flows: which of them pass, by the agent's own code and by us.
 *
 *     node test/conformance/hubble_filters.ts [QUESTIONS] [SEED...]
 *
 * Builds `test/peers/agent/filters` with Go ($GO, or `go`; $FILTERS: one that is built already). Nothing is skipped:
 * without Go it fails. The last line is the sum: "N passed, N failed".
 */
import { spawn } from 'node:child_process';
import { compileFilters } from '../../src/hubble/filter/filters.ts';
import { messageOfJson } from '../../src/hubble/flow/flow_json.ts';
import { FlowFilterSchema, FlowSchema } from '../../src/hubble/generated/flow/flow_pb.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { searchCompiler } from '../../src/regex/search.ts';
import { AGENT_FOLDER, compare, count, goPeer, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

type JsonObject = { [name: string]: Json };
type Json = string | number | boolean | readonly Json[] | JsonObject;

const FLOWS_PER_QUESTION = 12;
const compilePattern = searchCompiler(DEFAULT_LIMITS);

const IPS = ['10.0.0.1', '10.0.0.2', '10.1.0.1', '192.168.0.9', 'fd00::1', 'fd00:0::2'];
const IP_FILTERS = [
  ...IPS,
  '10.0.0.0/8',
  '10.0.0.7/24',
  'fd00::/16',
  '0.0.0.0/0',
  '1.2.3',
  '10.0.0.0/33',
];
const NAMES = ['web-1', 'web-2', 'api-1', ''];
const NAMESPACES = ['default', 'shop', ''];
const NAME_FILTERS = [
  ...['web', 'web-1', 'shop/', 'shop/web', '/api', 'default/api-1', '', 'a/b/c', '/'],
];
const DOMAINS = ['api.example.com', 'example.com', 'a_b.example.com', 'other.org'];
const DOMAIN_FILTERS = [
  ...[
    '*.example.com',
    'EXAMPLE.com',
    ' example.com. ',
    '*',
    'api.*',
    'a.b..',
    '',
    'a(b',
    '_*',
    '*e*',
  ],
];
const LABELS = [
  ...['k8s:app=web', 'k8s:app=api', 'k8s:tier=1', 'k8s:tier=7', 'reserved:world', 'app=web'],
  ...['cidr:10.0.0.0/8', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:empty=', 'node:app=api'],
];
const SELECTORS = [
  ...['app=web', 'k8s:app=web', 'app==api', 'app!=web', 'k8s:app != web', 'app in (web,api)'],
  ...[
    'app notin (web)',
    '!app',
    'app',
    'reserved:world',
    'tier>3',
    'tier<3',
    'tier>x',
    'app=web,tier=1',
  ],
  ...[
    'cidr:10.0.0.0/8',
    'io.kubernetes.pod.namespace=shop',
    'empty=',
    'empty',
    '',
    'app=',
    'app in (web',
  ],
  ...[
    'any:app=web',
    '!k8s:app',
    'a b',
    '=web',
    'app in ()',
    'app=we b',
    '! app',
    'app,app=api',
    'node:app',
  ],
  ...[
    'app in (web, api),tier',
    ' app = web ',
    'x:y:z',
    'app=-web',
    'app in web',
    'notin',
    'in=web',
  ],
];
const CLUSTERS = ['default', 'other', ''];
const NODES = ['node-1', 'default/node-1', 'other/node-2.example', ''];
const NODE_FILTERS = [
  ...[
    'node-1',
    'default/node-1',
    'default/',
    '/node-1',
    'other/*',
    '*',
    'a/b/c',
    '',
    'node-?',
    '/',
    '*/*',
  ],
];
const URLS = [
  ...[
    'http://h/a/b?x=1',
    'http://h/%C3%BC',
    'https://h',
    '/only',
    'http://h/a%2Fb',
    'http://h/%zz',
    '',
  ],
  ...['http:///a', 'http://h:80/A', 'http://h/a#b'],
];
const PATTERNS = [
  ...[
    '^/a',
    'a/b$',
    '(?i)A',
    '.*',
    '/ü',
    '\\d+',
    'a)(b',
    '[',
    'x{2000}',
    'h/a',
    '^$',
    'example\\.com\\.$',
  ],
];
const CODES = ['200', '4+', '50+', '404', '5', '600', 'x', '2+', '100+'];
const PORTS = ['80', '443', '0', '65535', '65536', '-1', 'http', '080', '+80', ''];
const PROTOCOLS = [
  'tcp',
  'UDP',
  'icmp',
  'ICMPv4',
  'icmpv6',
  'sctp',
  'vrrp',
  'igmp',
  'http',
  'dns',
  'kafka',
  'ip',
];
const METHODS = ['GET', 'get', 'POST', ''];
const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS'];
const VERDICTS = ['FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'VERDICT_UNKNOWN'];
const REASONS = ['POLICY_DENIED', 'POLICY_DENY', 'DROP_REASON_UNKNOWN'];
const KINDS = ['Deployment', 'StatefulSet', ''];

/** One value of each field, often one that fits a flow, sometimes one that is none. */
const FILTER_VALUES: { readonly [field: string]: (random: PolicySeed) => Json } = {
  ...both('ip', oneOf(IP_FILTERS)),
  source_ip_xlated: oneOf(IP_FILTERS),
  ...both('pod', oneOf(NAME_FILTERS)),
  ...both('service', oneOf(NAME_FILTERS)),
  ...both('fqdn', oneOf(DOMAIN_FILTERS)),
  ...both('label', oneOf(SELECTORS)),
  node_labels: oneOf(SELECTORS),
  ...both('workload', (random) => ({ name: random.oneOf(NAMES), kind: random.oneOf(KINDS) })),
  ...both('cluster_name', oneOf(CLUSTERS)),
  ...both('identity', (random) => random.below(4)),
  ...both('port', oneOf(PORTS)),
  traffic_direction: oneOf(['INGRESS', 'EGRESS', 'TRAFFIC_DIRECTION_UNKNOWN']),
  verdict: oneOf(VERDICTS),
  drop_reason_desc: oneOf(REASONS),
  interface: (random) => ({ index: random.below(3), name: random.oneOf(['eth0', 'lxc1', '']) }),
  event_type: (random) => ({
    type: random.oneOf([0, 1, 5, 129, 129]),
    match_sub_type: random.below(3) === 0,
    sub_type: random.below(2),
  }),
  http_status_code: oneOf(CODES),
  protocol: oneOf(PROTOCOLS),
  reply: (random) => random.below(2) === 0,
  dns_query: oneOf(PATTERNS),
  http_method: oneOf(METHODS),
  http_path: oneOf(PATTERNS),
  http_url: oneOf(PATTERNS),
  http_header: header,
  tcp_flags: flags,
  node_name: oneOf(NODE_FILTERS),
  ip_version: oneOf(['IPv4', 'IPv6', 'IP_NOT_USED']),
  trace_id: oneOf(['aa', 'bb', '']),
  ip_trace_id: (random) => String(random.below(3)),
  uuid: oneOf(['u1', 'u2', '']),
  encrypted: (random) => random.below(2) === 0,
};
const FILTER_FIELDS = Object.keys(FILTER_VALUES);

await compare(async () => {
  checkFields();
  const peer = spawn(goPeer(AGENT_FOLDER, './filters', 'FILTERS'));
  const lines = new JsonLines(peer);
  for (const { count: questions, random } of seeds(2000, 'questions')) {
    for (let i = 0; i < questions; i++) {
      const question = {
        whitelist: filters(random),
        blacklist: random.below(3) === 0 ? filters(random) : [],
        flows: Array.from({ length: FLOWS_PER_QUESTION }, () => flow(random)),
      };
      const theirs = await lines.ask(JSON.stringify(question));
      const wanted = 'error' in theirs ? 'error' : JSON.stringify(theirs['passes']);
      const own = ownAnswer(question);
      count(own.text === wanted, () => ['---', question, { agent: theirs, own }]);
    }
  }
  peer.stdin.end();
});

/** A field that is added to the filter is added here. */
function checkFields(): void {
  const known = FlowFilterSchema.fields
    .map(({ name }) => name)
    .filter((name) => name !== 'experimental');
  const missing = known.filter((name) => !FILTER_FIELDS.includes(name));
  count(missing.length === 0, () => [`filters of ${missing.join(', ')} are not tried`]);
}

function ownAnswer(question: {
  readonly whitelist: readonly JsonObject[];
  readonly blacklist: readonly JsonObject[];
  readonly flows: readonly JsonObject[];
}): { readonly text: string; readonly message?: string } {
  const filtersOf = (list: readonly JsonObject[]) =>
    list.map((one) => messageOfJson(FlowFilterSchema, one as never));
  const { whitelist, blacklist } = question;
  const compiled = compileFilters(
    { whitelist: filtersOf(whitelist), blacklist: filtersOf(blacklist) },
    compilePattern,
  );
  if (compiled.kind === 'error') return { text: 'error', message: compiled.message };
  const flows = question.flows.map((one) => messageOfJson(FlowSchema, one as never));
  return { text: JSON.stringify(flows.map((one) => compiled.passes(one))) };
}

function filters(random: PolicySeed): readonly JsonObject[] {
  return Array.from({ length: random.below(3) }, () => filter(random));
}

function filter(random: PolicySeed): JsonObject {
  const set: JsonObject = {};
  for (let i = 1 + random.below(3); i > 0; i--) {
    const field = random.oneOf(FILTER_FIELDS);
    const value = FILTER_VALUES[field] as (random: PolicySeed) => Json;
    set[field] = Array.from({ length: 1 + random.below(3) }, () => value(random));
  }
  return set;
}

/** Each part is absent at times. */
function flow(random: PolicySeed): JsonObject {
  return {
    ...maybe(random, 'IP', () => ({
      source: random.oneOf([...IPS, '']),
      destination: random.oneOf([...IPS, '']),
      source_xlated: random.oneOf([...IPS, '']),
      ipVersion: random.oneOf(['IPv4', 'IPv6']),
      encrypted: random.below(2) === 0,
    })),
    ...maybe(random, 'l4', () => layer4(random)),
    ...maybe(random, 'l7', () => layer7(random)),
    ...maybe(random, 'source', () => endpoint(random)),
    ...maybe(random, 'destination', () => endpoint(random)),
    ...maybe(random, 'source_service', () => service(random)),
    ...maybe(random, 'destination_service', () => service(random)),
    ...maybe(random, 'event_type', () => ({
      type: random.oneOf([1, 5, 129]),
      sub_type: random.below(2),
    })),
    ...maybe(random, 'is_reply', () => random.below(2) === 0),
    ...maybe(random, 'interface', () => ({ index: random.below(3), name: 'eth0' })),
    ...maybe(random, 'trace_context', () => ({ parent: { trace_id: random.oneOf(['aa', 'bb']) } })),
    ...maybe(random, 'ip_trace_id', () => ({ trace_id: String(random.below(3)) })),
    source_names: some(random, DOMAINS),
    destination_names: some(random, DOMAINS),
    node_labels: some(random, LABELS),
    node_name: random.oneOf(NODES),
    uuid: random.oneOf(['u1', 'u2']),
    verdict: random.oneOf(VERDICTS),
    drop_reason_desc: random.oneOf(REASONS),
    traffic_direction: random.oneOf(['INGRESS', 'EGRESS']),
  };
}

function endpoint(random: PolicySeed): JsonObject {
  return {
    identity: random.below(4),
    namespace: random.oneOf(NAMESPACES),
    pod_name: random.oneOf(NAMES),
    labels: some(random, LABELS),
    cluster_name: random.oneOf(CLUSTERS),
    workloads: Array.from({ length: random.below(3) }, () => ({
      name: random.oneOf(NAMES),
      kind: random.oneOf(KINDS),
    })),
  };
}

function service(random: PolicySeed): JsonObject {
  return { namespace: random.oneOf(NAMESPACES), name: random.oneOf(NAMES) };
}

function layer4(random: PolicySeed): JsonObject {
  const ports = {
    source_port: random.oneOf([80, 443, 0, 65535]),
    destination_port: random.oneOf([80, 443, 0]),
  };
  switch (random.below(9)) {
    case 0:
      return { UDP: ports };
    case 1:
      return { SCTP: ports };
    case 2:
      return { ICMPv4: { type: 8 } };
    case 3:
      return { ICMPv6: {} };
    case 4:
      return { VRRP: {} };
    case 5:
      return { IGMP: {} };
    default:
      return { TCP: { ...ports, ...maybe(random, 'flags', () => flags(random)) } };
  }
}

function layer7(random: PolicySeed): JsonObject {
  switch (random.below(6)) {
    case 0:
      return { type: 'REQUEST' };
    case 1:
      return { dns: { query: `${random.oneOf(DOMAINS)}.` } };
    case 2:
      return { kafka: {} };
    default:
      return {
        http: {
          code: random.oneOf([0, 200, 404, 503, 99]),
          method: random.oneOf(METHODS),
          url: random.oneOf(URLS),
          headers: Array.from({ length: random.below(3) }, () => header(random)),
        },
      };
  }
}

function header(random: PolicySeed): JsonObject {
  return { key: random.oneOf(['Etag', 'etag', 'X-A']), value: random.oneOf(['1', '2']) };
}

function flags(random: PolicySeed): JsonObject {
  return Object.fromEntries(FLAGS.map((flag) => [flag, random.below(4) === 0]));
}

function maybe(random: PolicySeed, name: string, value: () => Json): JsonObject {
  return random.below(5) === 0 ? {} : { [name]: value() };
}

function some(random: PolicySeed, values: readonly string[]): readonly string[] {
  return values.filter(() => random.below(3) === 0);
}

function oneOf(values: readonly Json[]): (random: PolicySeed) => Json {
  return (random) => random.oneOf(values);
}

function both(name: string, value: (random: PolicySeed) => Json): typeof FILTER_VALUES {
  return { [`source_${name}`]: value, [`destination_${name}`]: value };
}
