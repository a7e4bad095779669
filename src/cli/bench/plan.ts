/**
 * Which requests go over HTTP, and by which listener: one for each endpoint, direction, remote, port
 * and proxy id, so that a listener with a fixed identity judges as the question asks. What cannot be
 * sent is judged in process only, and named with its reason.
 *
 *     ingress: destination is the endpoint                       client ──► listener ──► origin
 *     egress:  the source is the endpoint, told by PROXY protocol client ──PROXY──► listener ──► origin
 */

import { isGrpcType } from '../../codec/grpc/content_type.ts';
import { isHost } from '../../codec/http1/host.ts';
import { normalisePath } from '../../codec/path.ts';
import { formatSocketAddress, parseIp } from '../../model/address.ts';
import { DENY_REASONS } from '../../model/decision.ts';
import type { Direction, Identity, Port, ProxyId } from '../../model/identity.ts';
import { GROUP_COUNT_MAX } from './bounds.ts';
import type { JudgedRequest } from './set.ts';
import type { Expected } from './status.ts';

/** Requests that one listener judges. */
export interface RequestGroup {
  /** Of its listener. */
  readonly name: string;
  readonly endpoint: string;
  readonly endpointIp: string;
  readonly direction: Direction;
  readonly remote: Identity;
  readonly port: Port;
  readonly proxyId: ProxyId;
  /** What a client sends first on each connection, "" for nothing. */
  readonly preamble: string;
}

export interface SentRequest {
  readonly judged: JudgedRequest;
  /** Index into `BenchPlan.groups`. */
  readonly group: number;
  readonly expected: Expected;
  readonly method: string;
  readonly path: string;
  /** Flat, Host first. */
  readonly headers: string[];
}

export interface UnsentRequest {
  readonly place: string;
  readonly because: string;
}

export interface BenchPlan {
  readonly groups: readonly RequestGroup[];
  readonly sent: readonly SentRequest[];
  readonly unsent: readonly UnsentRequest[];
}

export function planOf(requests: readonly JudgedRequest[]): BenchPlan {
  const groups = new Map<string, RequestGroup>();
  const indexes = new Map<string, number>();
  const sent: SentRequest[] = [];
  const unsent: UnsentRequest[] = [];
  for (const judged of requests) {
    const { place } = judged;
    const because = unsendable(judged);
    const endpointIp = endpointIpOf(judged);
    if (because !== null || endpointIp === null) {
      unsent.push({ place, because: because ?? 'the endpoint has no address' });
      continue;
    }
    const key = groupKey(judged, endpointIp);
    if (!groups.has(key) && groups.size === GROUP_COUNT_MAX) {
      const because = `it would need listener ${GROUP_COUNT_MAX + 1}: one for each endpoint, direction, remote and port`;
      unsent.push({ place, because });
      continue;
    }
    if (!groups.has(key)) {
      indexes.set(key, groups.size);
      groups.set(key, groupOf(judged, endpointIp, groups.size));
    }
    sent.push(sentRequest(judged, indexes.get(key) ?? 0));
  }
  return { groups: [...groups.values()], sent, unsent };
}

/** The listener's part of the proxy's configuration. */
export function listenerConfig(group: RequestGroup, upstream: string): object {
  return {
    name: group.name,
    address: '127.0.0.1:0',
    direction: group.direction,
    proxyId: group.proxyId,
    destination:
      group.direction === 'ingress'
        ? formatSocketAddress(group.endpointIp, group.port)
        : 'proxy-protocol',
    upstream,
    identity: group.remote,
  };
}

function unsendable({ question, asked }: JudgedRequest): string | null {
  const { ask } = question;
  if (ask.kind === 'dns') return 'it is a DNS question';
  if (ask.kind === 'connection') return 'it has no http: only the connection is judged';
  if (question.serverName !== '') return 'it has a server name (sni), which is TLS';
  if (question.protocol !== 'TCP') return `it is ${question.protocol}`;
  if (question.port === 0) return 'port 0 is none that a connection can have';
  const { method, path, authority, fields } = ask.request;
  if (method === 'CONNECT') return 'CONNECT asks for a tunnel';
  if (!isHost(Buffer.from(authority, 'latin1'), 0, authority.length)) {
    return `"${authority}" is no host: the proxy answers 400 before it judges`;
  }
  const normal = normalisePath(Buffer.from(path, 'latin1'));
  if (normal.kind === 'malformed') return 'its path is malformed: the proxy answers 400 unjudged';
  if (normal.kind === 'redirect') {
    return `its path holds %2F or %5C: the proxy sends the client to ${asked.head?.path}, unjudged`;
  }
  return unsendableField(fields);
}

/** Fields that the client library writes itself; those that it refuses, it names itself. */
function unsendableField(fields: readonly string[]): string | null {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase();
    if (name === 'connection' || name === 'host') {
      return `the client writes the field "${name}" itself`;
    }
    if (name === 'content-length' && fields[i + 1] !== '0') {
      return 'it has a content-length, and requests are sent without content';
    }
  }
  return null;
}

function endpointIpOf({ question, asked }: JudgedRequest): string | null {
  if (question.subject.kind === 'ip') return question.subject.ip;
  return asked.endpoint.endpointIps[0] ?? null;
}

function groupKey({ question, asked }: JudgedRequest, endpointIp: string): string {
  const { direction, port, proxyId } = question;
  return [endpointIp, direction, asked.remote, port, proxyId].join(' ');
}

function groupOf(judged: JudgedRequest, endpointIp: string, index: number): RequestGroup {
  const { question, asked } = judged;
  const { direction, port, proxyId } = question;
  return {
    name: `group-${index + 1}`,
    endpoint: asked.endpoint.name === '' ? endpointIp : asked.endpoint.name,
    endpointIp,
    direction,
    remote: asked.remote,
    port,
    proxyId,
    preamble: direction === 'egress' ? proxyHeader(endpointIp, port) : '',
  };
}

/** Addresses for documentation (RFC 5737, RFC 3849): the identity is fixed, so who it is does not count. */
const ANY_REMOTE = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;
const ANY_PORT = 40_000;

/** PROXY protocol, version 1. */
function proxyHeader(endpointIp: string, port: number): string {
  const family = parseIp(endpointIp)?.family ?? 4;
  return `PROXY TCP${family} ${endpointIp} ${ANY_REMOTE[family]} ${ANY_PORT} ${port}\r\n`;
}

function sentRequest(judged: JudgedRequest, group: number): SentRequest {
  const { ask } = judged.question;
  if (ask.kind !== 'http') throw new TypeError('only HTTP requests are sent');
  const { method, path, authority, fields } = ask.request;
  return {
    judged,
    group,
    expected: expectedOf(judged, fields),
    method,
    path,
    headers: ['host', authority, ...fields],
  };
}

function expectedOf({ decision }: JudgedRequest, fields: readonly string[]): Expected {
  if (decision.verdict === 'allow') return { kind: 'forwarded' };
  const because = DENY_REASONS[decision.reason];
  if (decision.layer === 'network') return { kind: 'reset', because };
  return { kind: isGrpc(fields) ? 'grpc-denied' : 'denied', because };
}

function isGrpc(fields: readonly string[]): boolean {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const isType = (fields[i] as string).toLowerCase() === 'content-type';
    if (isType && isGrpcType(fields[i + 1] as string)) return true;
  }
  return false;
}
