/**
 * The one place where a denial or a fault becomes bytes. A reply never tells the rules, unless the
 * configuration asks for it.
 *
 * To a gRPC client every reply is HTTP 200 with the status in the head ("trailers-only"), as Envoy
 * converts its local replies: 403 → 7, 503 → 14 and so on.
 */
import type { DenyDecision } from '../model/decision.ts';
import { FAULTS, type Fault } from '../model/fault.ts';
import type { DenialOptions } from './options.ts';

/** What the reply answers, as far as it is known. */
export interface ReplyContext {
  readonly isGrpc: boolean;
  readonly isHeadMethod: boolean;
  /** The connection ends after it. */
  readonly isClosing: boolean;
  /** Where a redirect leads. */
  readonly location: string;
}

export interface LocalReply {
  /** As HTTP says it; 200 for gRPC. */
  readonly status: number;
  readonly grpcStatus: number | null;
  readonly bytes: Buffer;
}

const RETRY_AFTER_SECONDS = '1';

const REASON_PHRASES: ReadonlyMap<number, string> = new Map([
  [307, 'Temporary Redirect'],
  [400, 'Bad Request'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [414, 'URI Too Long'],
  [417, 'Expectation Failed'],
  [426, 'Upgrade Required'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [504, 'Gateway Timeout'],
  [505, 'HTTP Version Not Supported'],
]);

/** Envoy's httpToGrpcStatus. */
const GRPC_STATUSES: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

const GRPC_UNKNOWN = 2;
const GRPC_INTERNAL = 13;

export function denialReply(
  decision: DenyDecision,
  options: DenialOptions,
  context: ReplyContext,
): LocalReply {
  const body = options.body.endsWith('\r\n') ? options.body : `${options.body}\r\n`;
  const fields = options.isReasonShown ? [proxyStatus(decision)] : [];
  return reply({ status: options.status, body, contentType: options.contentType, fields }, context);
}

/** `fault` must be one with a status. */
export function faultReply(fault: Fault, context: ReplyContext): LocalReply {
  const { status } = FAULTS[fault];
  const fields: string[] = [];
  if (status === 307) fields.push(`location: ${context.location}`);
  if (status === 405) fields.push('allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE');
  if (status === 426) fields.push('upgrade: HTTP/1.1');
  if (fault === 'overloaded' || fault === 'draining') {
    fields.push(`retry-after: ${RETRY_AFTER_SECONDS}`);
  }
  const body = status === 307 ? '' : `${phraseOf(status)}\r\n`;
  return reply({ status, body, contentType: 'text/plain', fields }, context);
}

interface Content {
  readonly status: number;
  readonly body: string;
  readonly contentType: string;
  readonly fields: readonly string[];
}

function reply(content: Content, context: ReplyContext): LocalReply {
  return context.isGrpc ? grpcReply(content, context) : httpReply(content, context);
}

function httpReply(content: Content, context: ReplyContext): LocalReply {
  const body = Buffer.from(content.body, 'utf8');
  const lines = [
    `HTTP/1.1 ${content.status} ${phraseOf(content.status)}`,
    `content-length: ${body.length}`,
    ...(body.length === 0 ? [] : [`content-type: ${content.contentType}`]),
    ...content.fields,
    ...(context.isClosing ? ['connection: close'] : []),
  ];
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const bytes = context.isHeadMethod ? head : Buffer.concat([head, body]);
  return { status: content.status, grpcStatus: null, bytes };
}

/** A path that would have to be redirected is an internal error to gRPC, which follows no redirect. */
function grpcReply(content: Content, context: ReplyContext): LocalReply {
  const grpcStatus =
    content.status === 307 ? GRPC_INTERNAL : (GRPC_STATUSES.get(content.status) ?? GRPC_UNKNOWN);
  const lines = [
    'HTTP/1.1 200 OK',
    'content-type: application/grpc',
    `grpc-status: ${grpcStatus}`,
    `grpc-message: ${percentEncoded(content.body)}`,
    'content-length: 0',
    ...content.fields.filter((field) => !field.startsWith('location:')),
    ...(context.isClosing ? ['connection: close'] : []),
  ];
  const bytes = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return { status: 200, grpcStatus, bytes };
}

/** RFC 9209; only the kind of denial and the policy's name. */
function proxyStatus(decision: DenyDecision): string {
  const policy = decision.rule === null ? '' : `; policy=${quoted(decision.rule.policy)}`;
  return `proxy-status: sallyport; error=http_request_denied; details=${quoted(decision.reason)}${policy}`;
}

function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}

/** gRPC over HTTP/2, "Percent-Encoded": printable ASCII but "%". */
function percentEncoded(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

function phraseOf(status: number): string {
  return REASON_PHRASES.get(status) ?? 'Error';
}
