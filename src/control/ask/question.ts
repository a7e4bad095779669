/**
 * A question to the engine in the form of `verdict`'s input lines (and of `/explain`, and of policy
 * test files): who asks whom on which port, and what. Parsed strictly: an unknown key is an error,
 * as a misspelt one would silently ask another question.
 */

import { parseIp, parseSocketAddress } from '../../model/address.ts';
import type { L7Protocol } from '../../model/decision.ts';
import {
  type Direction,
  type Identity,
  type PolicyProtocol,
  type Port,
  PROTOCOLS,
  type ProxyId,
  parseIdentity,
  parsePort,
  parseProxyId,
} from '../../model/identity.ts';
import { type IcmpFamily, icmpTypeNamed } from '../decode/cnp/icmp.ts';

export interface Question {
  readonly subject: SubjectRef;
  readonly remote: RemoteRef;
  readonly direction: Direction;
  readonly proxyId: ProxyId;
  /** Of ICMP its type + 1, as in `PortPolicy`. */
  readonly port: Port;
  readonly protocol: AskedProtocol;
  readonly serverName: string;
  readonly ask: Ask;
}

/** What can be asked for: `other` protocols have no rules. */
export type AskedProtocol = Exclude<PolicyProtocol, 'other'>;

/** Whose policy is asked. */
export type SubjectRef =
  | { readonly kind: 'ip'; readonly ip: string }
  | { readonly kind: 'name'; readonly name: string };

/** Who is on the other side. */
export type RemoteRef =
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'ip'; readonly ip: string }
  /** What a client dials, by "namespace/name" and the name or number of its port. */
  | { readonly kind: 'service'; readonly name: string; readonly port: string }
  | { readonly kind: 'labels'; readonly labels: readonly string[] };

/** The connection alone, or what is asked on it. */
export type Ask =
  | { readonly kind: 'connection' }
  | { [P in L7Protocol]: { readonly kind: P } & L7Asks[P] }[L7Protocol];

interface L7Asks {
  readonly http: { readonly request: HttpAsk };
  readonly dns: { readonly name: string };
}

export interface HttpAsk {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** Flat [name, value, ...]. */
  readonly fields: readonly string[];
}

export type QuestionResult =
  | { readonly kind: 'question'; readonly question: Question }
  | { readonly kind: 'error'; readonly message: string };

const KEYS = [
  'endpointIp',
  'endpoint',
  'identity',
  'remote',
  'remoteIp',
  'to',
  'service',
  'labels',
  'direction',
  'proxyId',
  'port',
  'protocol',
  'icmpType',
  'sni',
  'http',
  'dns',
] as const;

const HTTP_KEYS = ['method', 'path', 'authority', 'headers'] as const;

/** Parses a decoded JSON or YAML value. The message of an error names the key and what is allowed. */
export function parseQuestion(value: unknown): QuestionResult {
  try {
    return { kind: 'question', question: questionOf(recordOf(value, 'the request', KEYS)) };
  } catch (error) {
    if (error instanceof QuestionError) return { kind: 'error', message: error.message };
    throw error;
  }
}

class QuestionError extends Error {}

type Fields = ReadonlyMap<string, unknown>;

function questionOf(fields: Fields): Question {
  const dialled = dialledOf(fields);
  return {
    subject: subjectOf(fields),
    remote: dialled?.remote ?? remoteOf(fields),
    direction: directionOf(fields.get('direction') ?? (dialled === null ? 'ingress' : 'egress')),
    proxyId: numberOf(fields.get('proxyId') ?? 0, 'proxyId', parseProxyId, '0 to 65535'),
    ...(dialled === null ? trafficOf(fields) : trafficOf(fields, dialled.port)),
    serverName: textOf(fields.get('sni') ?? '', 'sni'),
    ask: askOf(fields),
  };
}

function subjectOf(fields: Fields): SubjectRef {
  const name = fields.get('endpoint');
  const ip = fields.get('endpointIp');
  if ((name === undefined) === (ip === undefined)) {
    fail('exactly one of endpointIp and endpoint must name the endpoint');
  }
  return name === undefined
    ? { kind: 'ip', ip: ipOf(ip, 'endpointIp') }
    : { kind: 'name', name: textOf(name, 'endpoint') };
}

/** What a client dials; null: somebody is named otherwise. */
function dialledOf(fields: Fields): { readonly remote: RemoteRef; readonly port: Port } | null {
  const key = ['to', 'service'].find((one) => fields.has(one));
  if (key === undefined) return null;
  checkOneRemote(fields);
  if (fields.has('port')) fail(`port stands in ${key} already`);
  if (fields.get('direction') === 'ingress') fail(`${key} is asked at the client: egress`);
  const text = textOf(fields.get(key), key);
  if (key === 'to') {
    const to = parseSocketAddress(text);
    if (to === null) fail(`to must be an address and a port, 10.96.0.10:53 (found ${shown(text)})`);
    return { remote: { kind: 'ip', ip: to.ip }, port: to.port };
  }
  const [, name = '', port = ''] = /^([^/:\s]+\/[^/:\s]+):([^:\s]+)$/.exec(text) ?? [];
  if (name === '') fail(`service must be "namespace/name:port" (found ${shown(text)})`);
  return { remote: { kind: 'service', name, port }, port: (parsePort(Number(port)) ?? 0) as Port };
}

const REMOTE_KEYS = ['identity', 'remote', 'remoteIp', 'to', 'service', 'labels'] as const;

function checkOneRemote(fields: Fields): string {
  const given = REMOTE_KEYS.filter((key) => fields.has(key));
  const [only] = given;
  if (given.length === 1 && only !== undefined) return only;
  const found = given.length === 0 ? 'none' : given.join(' and ');
  return fail(
    `exactly one of identity, remote, remoteIp, to, service and labels must name the other side (found ${found})`,
  );
}

function remoteOf(fields: Fields): RemoteRef {
  const key = checkOneRemote(fields);
  const value = fields.get(key);
  switch (key) {
    case 'identity':
      return { kind: 'identity', identity: numberOf(value, key, parseIdentity, '0 to 4294967295') };
    case 'remote':
      return { kind: 'name', name: textOf(value, key) };
    case 'remoteIp':
      return { kind: 'ip', ip: ipOf(value, key) };
    default:
      return { kind: 'labels', labels: textsOf(value, key) };
  }
}

function askOf(fields: Fields): Ask {
  const http = fields.get('http');
  const dns = fields.get('dns');
  if (http !== undefined && dns !== undefined) fail('http and dns cannot both be asked');
  if (dns !== undefined) {
    return { kind: 'dns', name: textOf(recordOf(dns, 'dns', ['name']).get('name'), 'dns.name') };
  }
  return http === undefined ? { kind: 'connection' } : { kind: 'http', request: httpOf(http) };
}

function httpOf(value: unknown): HttpAsk {
  const fields = recordOf(value, 'http', HTTP_KEYS);
  return {
    method: latin1Of(fields.get('method'), 'http.method'),
    path: latin1Of(fields.get('path'), 'http.path'),
    authority: latin1Of(fields.get('authority') ?? '', 'http.authority'),
    fields: headersOf(fields.get('headers') ?? []),
  };
}

function headersOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) fail('http.headers must be a list of [name, value] pairs');
  return value.flatMap((pair: unknown, index) => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      fail(`http.headers[${index}] must be a [name, value] pair`);
    }
    return [
      latin1Of(pair[0], `http.headers[${index}][0]`),
      latin1Of(pair[1], `http.headers[${index}][1]`),
    ];
  });
}

function directionOf(value: unknown): Direction {
  if (value === undefined || value === 'ingress' || value === 'egress') return value ?? 'ingress';
  return fail(`direction must be ingress or egress (found ${shown(value)})`);
}

const ICMP_FAMILIES = { ICMP: 'IPv4', ICMPv6: 'IPv6' } as const;

/** ICMP has types in place of ports, and only the message itself can be judged. */
function trafficOf(fields: Fields, dialled?: Port): Pick<Question, 'port' | 'protocol'> {
  const protocol = protocolOf(fields.get('protocol'));
  const type = fields.get('icmpType');
  if (protocol !== 'ICMP' && protocol !== 'ICMPv6') {
    if (type !== undefined) fail('icmpType is of protocol ICMP and ICMPv6 only');
    const port = dialled ?? numberOf(fields.get('port'), 'port', parsePort, '0 to 65535');
    return { protocol, port };
  }
  for (const key of ['port', 'to', 'service', 'http', 'dns', 'sni']) {
    if (fields.has(key)) fail(`${key} and protocol ${protocol} cannot both be asked`);
  }
  const number = icmpTypeOf(type, ICMP_FAMILIES[protocol]);
  if (number === null) {
    fail(`icmpType must be 0 to 255 or a name such as EchoRequest (found ${shown(type)})`);
  }
  return { protocol, port: (number + 1) as Port };
}

function icmpTypeOf(value: unknown, family: IcmpFamily): number | null {
  if (typeof value === 'number')
    return Number.isInteger(value) && value >= 0 && value <= 255 ? value : null;
  if (typeof value !== 'string') return null;
  return /^[0-9]{1,3}$/.test(value)
    ? icmpTypeOf(Number(value), family)
    : icmpTypeNamed(value, family);
}

const ASKED_PROTOCOLS: readonly AskedProtocol[] = [...PROTOCOLS, 'ICMP', 'ICMPv6'];

function protocolOf(value: unknown): AskedProtocol {
  const protocol = ASKED_PROTOCOLS.find((known) => known === (value ?? 'TCP'));
  return (
    protocol ??
    fail(`protocol must be one of ${ASKED_PROTOCOLS.join(', ')} (found ${shown(value)})`)
  );
}

function numberOf<T>(
  value: unknown,
  key: string,
  parse: (value: unknown) => T | null,
  allowed: string,
): T {
  return parse(value) ?? fail(`${key} must be a whole number, ${allowed} (found ${shown(value)})`);
}

function ipOf(value: unknown, key: string): string {
  const ip = parseIp(textOf(value, key));
  return ip === null ? fail(`${key} must be an IP address (found ${shown(value)})`) : ip.text;
}

function textsOf(value: unknown, key: string): readonly string[] {
  if (!Array.isArray(value)) fail(`${key} must be a list of strings (found ${shown(value)})`);
  return value.map((item, index) => textOf(item, `${key}[${index}]`));
}

/** One byte a char, as on the wire: what is not latin1 is taken as its UTF-8 bytes. */
function latin1Of(value: unknown, key: string): string {
  return Buffer.from(textOf(value, key), 'utf8').toString('latin1');
}

function textOf(value: unknown, key: string): string {
  return typeof value === 'string'
    ? value
    : fail(`${key} must be a string (found ${shown(value)})`);
}

function recordOf(value: unknown, what: string, keys: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    fail(`${what} must be an object (found ${shown(value)})`);
  }
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const key of fields.keys()) {
    if (!keys.includes(key)) fail(`${what}: unknown key "${key}" (allowed: ${keys.join(', ')})`);
  }
  return fields;
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function fail(message: string): never {
  throw new QuestionError(message);
}
