/** The text that the CLI prints in brackets: it has no other source for it. */
import type { Flow, ProxyFlow } from '../../model/flow.ts';
import type { DnsInit, HttpInit, Layer7Init } from './inits.ts';
import type { TcpFlags } from './sides.ts';

const TCP = 6;

/** As the agent's library calls them; a number that it does not know is told as a number. */
export const RCODE_WORDS: readonly string[] = [
  'No Error',
  'Format Error',
  'Server Failure',
  'Non-Existent Domain',
  'Not Implemented',
  'Query Refused',
  'Name Exists when it should not',
  'RR Set Exists when it should not',
  'RR Set that should exist does not',
  'Server Not Authoritative for zone',
  'Name not contained in zone',
];

/** Of a message, or of what it is to be made of. */
type Fields<Init> = Omit<Init, '$typeName'>;

const L4_WORDS: Readonly<Record<number, string>> = {
  1: 'ICMPv4',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  112: 'VRRP',
  132: 'SCTP',
};

export function requestSummary(flow: ProxyFlow, { record }: Layer7Init): string {
  switch (record?.case) {
    case 'http':
      return `${record.value.protocol} ${record.value.method} ${record.value.url}`;
    case 'dns':
      return `DNS Query ${questionOf(record.value)}`;
    default:
      return flow.facts.kind === 'tls' ? `TLS ${flow.facts.serverName}` : '';
  }
}

export function responseSummary(flow: ProxyFlow, { record }: Layer7Init): string {
  switch (record?.case) {
    case 'http':
      return httpAnswer(record.value, Math.floor(flow.durationMs));
    case 'dns':
      return dnsAnswer(record.value);
    default:
      return '';
  }
}

export function layer4Summary({ ipProtocol }: Pick<Flow, 'ipProtocol'>, flags?: TcpFlags): string {
  if (flags?.SYN && ipProtocol === TCP) return 'TCP Flags: SYN';
  return L4_WORDS[ipProtocol] ?? `IP protocol ${ipProtocol}`;
}

function httpAnswer({ protocol, code, method, url }: Fields<HttpInit>, latencyMs: number): string {
  return `${protocol} ${code} ${latencyMs}ms (${method} ${url})`;
}

function dnsAnswer(dns: Fields<DnsInit>): string {
  const { ips = [], rcode = 0, ttl } = dns;
  const parts = ['DNS Answer'];
  if (rcode !== 0) parts.push(`RCode: ${RCODE_WORDS[rcode] ?? `Unknown (${rcode})`}`);
  else if (ips.length > 0) parts.push(`"${ips.join(',')}"`);
  parts.push(`TTL: ${ttl} (Proxy ${questionOf(dns)})`);
  return parts.join(' ');
}

function questionOf({ query, qtypes = [] }: Fields<DnsInit>): string {
  return `${query} ${qtypes.join(',')}`;
}
