/** What was spoken, as Hubble tells it. */
import type { DnsFacts, HttpFacts, ProxyFlow } from '../../model/flow.ts';
import { L7FlowType } from '../generated/flow/flow_pb.ts';
import { goHeaderName, goUrl } from './go_forms.ts';
import type { DnsInit, HttpInit, Layer7Init } from './inits.ts';

const NS_PER_MS = 1e6;
/** Of a year: longer than a clock that was set may make of it. */
const LATENCY_MS_MAX = 366 * 24 * 3600 * 1000;

/** The resolver's way in the agent; we have no other. */
const DNS_SOURCE = 'proxy';
/** What the agent tells of an answer without records. */
const NO_TTL = 0xffff_ffff;

export function requestOf({ facts }: ProxyFlow): Layer7Init {
  const type = L7FlowType.REQUEST;
  switch (facts.kind) {
    case 'http':
      return { type, record: { case: 'http', value: httpOf(facts) } };
    case 'dns':
      return { type, record: { case: 'dns', value: questionOf(facts) } };
    default:
      return { type };
  }
}

/** Null: there was no response. */
export function responseOf({ facts, durationMs }: ProxyFlow): Layer7Init | null {
  const common = {
    type: L7FlowType.RESPONSE,
    latencyNs: BigInt(Math.round(Math.min(Math.max(durationMs, 0), LATENCY_MS_MAX) * NS_PER_MS)),
  };
  switch (facts.kind) {
    case 'http':
      if (facts.status === 0) return null;
      return { ...common, record: { case: 'http', value: httpAnswerOf(facts) } };
    case 'dns':
      if (facts.responseCode === null) return null;
      return { ...common, record: { case: 'dns', value: answerOf(facts) } };
    default:
      return null;
  }
}

function httpOf(http: HttpFacts): HttpInit {
  return {
    method: http.method,
    url: goUrl(http),
    protocol: http.version === 'HTTP/1.0' ? 'HTTP/1' : http.version,
    headers: sorted(http.headers.map(([name, value]) => ({ key: goHeaderName(name), value }))),
  };
}

/** The status of a gRPC response is a header: Hubble has no other place for it. */
function httpAnswerOf(http: HttpFacts): HttpInit {
  const { headers, ...rest } = httpOf(http);
  const status = http.grpc?.status ?? null;
  const own = status === null ? [] : [{ key: 'Grpc-Status', value: String(status) }];
  return { ...rest, code: http.status, headers: sorted([...(headers ?? []), ...own]) };
}

function sorted(headers: NonNullable<HttpInit['headers']>): NonNullable<HttpInit['headers']> {
  return headers.sort((a, b) => ((a.key ?? '') < (b.key ?? '') ? -1 : 1));
}

function questionOf(dns: DnsFacts): DnsInit {
  return {
    query: dns.query.endsWith('.') ? dns.query : `${dns.query}.`,
    observationSource: DNS_SOURCE,
    qtypes: [...dns.types],
  };
}

function answerOf(dns: DnsFacts): DnsInit {
  return {
    ...questionOf(dns),
    ips: [...dns.ips],
    ttl: dns.ips.length === 0 ? NO_TTL : dns.ttlSeconds,
    rcode: dns.responseCode ?? 0,
    rrtypes: [...new Set(dns.ips.map((ip) => (ip.includes(':') ? 'AAAA' : 'A')))],
  };
}
