/**
 * The one place where a denial or a fault becomes bytes. A reply never tells the rules, unless the
 * configuration asks for it.
 *
 * To a gRPC client every reply is HTTP 200 with the status in the head ("trailers-only"), as Envoy
 * converts its local replies: 403 → 7, 503 → 14 and so on.
 */
import { GRPC_STATUSES, type GrpcStatus, grpcStatusOf } from '../../codec/grpc/status.ts';
import { trailersOnlyFields } from '../../codec/grpc/trailers_only.ts';
import type { DenyDecision } from '../../model/decision.ts';
import { FAULTS, type Fault } from '../../model/fault.ts';
import type { DenialOptions } from '../plane/options.ts';

/** What the reply answers, as far as it is known. */
export interface ReplyContext {
  readonly isGrpc: boolean;
  readonly isHeadMethod: boolean;
  /** The connection ends after it. */
  readonly isClosing: boolean;
  /** Where a redirect leads. */
  readonly location: string;
}

/** To bytes that were no request. */
export const NOTHING_READ: ReplyContext = Object.freeze({
  isGrpc: false,
  isHeadMethod: false,
  isClosing: true,
  location: '',
});

export interface LocalReply {
  /** As HTTP says it; 200 for gRPC. */
  readonly status: number;
  readonly grpcStatus: number | null;
  /** Flat, names in lower case, without those of the connection. */
  readonly fields: readonly string[];
  readonly body: Buffer;
}

const RETRY_AFTER_SECONDS = '1';

const REASON_PHRASES: ReadonlyMap<number, string> = new Map([
  [200, 'OK'],
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

export function denialReply(
  decision: DenyDecision,
  options: DenialOptions,
  context: ReplyContext,
): LocalReply {
  const body = options.body.endsWith('\r\n') ? options.body : `${options.body}\r\n`;
  const fields = options.isReasonShown ? ['proxy-status', proxyStatus(decision)] : [];
  return reply({ status: options.status, body, contentType: options.contentType, fields }, context);
}

/** `fault` must be one with a status. */
export function faultReply(fault: Fault, context: ReplyContext): LocalReply {
  const { status } = FAULTS[fault];
  const fields: string[] = [];
  if (status === 307) fields.push('location', context.location);
  if (status === 405) fields.push('allow', 'GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE');
  if (status === 426) fields.push('upgrade', 'HTTP/1.1');
  if (fault === 'overloaded' || fault === 'draining') {
    fields.push('retry-after', RETRY_AFTER_SECONDS);
  }
  const body = status === 307 ? '' : `${phraseOf(status)}\r\n`;
  const grpcStatus = isTooLarge(fault) ? GRPC_STATUSES.RESOURCE_EXHAUSTED : undefined;
  return reply({ status, body, contentType: 'text/plain', fields, grpcStatus }, context);
}

interface Content {
  readonly status: number;
  readonly body: string;
  readonly contentType: string;
  readonly fields: readonly string[];
  /** By default what gRPC makes of `status`. */
  readonly grpcStatus?: GrpcStatus | undefined;
}

/** gRPC's own word for metadata beyond a bound, whose HTTP statuses it would show as UNKNOWN. */
function isTooLarge(fault: Fault): boolean {
  return fault === 'head-too-large' || fault === 'response-head-too-large';
}

function reply(content: Content, context: ReplyContext): LocalReply {
  return context.isGrpc ? grpcReply(content) : httpReply(content);
}

/** The reply as HTTP/1.1 has it. */
export function http1Bytes(
  { status, fields, body }: LocalReply,
  context: { readonly isHeadMethod: boolean; readonly isClosing: boolean },
): Buffer {
  let head = `HTTP/1.1 ${status} ${phraseOf(status)}\r\n`;
  for (let i = 0; i + 1 < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  if (context.isClosing) head += 'connection: close\r\n';
  const bytes = Buffer.from(`${head}\r\n`, 'latin1');
  return context.isHeadMethod ? bytes : Buffer.concat([bytes, body]);
}

function httpReply(content: Content): LocalReply {
  const body = Buffer.from(content.body, 'utf8');
  const type = body.length === 0 ? [] : ['content-type', content.contentType];
  return {
    status: content.status,
    grpcStatus: null,
    fields: ['content-length', String(body.length), ...type, ...content.fields],
    body,
  };
}

/** A path that would have to be redirected is an internal error to gRPC, which follows no redirect. */
function grpcReply(content: Content): LocalReply {
  const isRedirect = content.status === 307;
  const mapped = content.grpcStatus ?? grpcStatusOf(content.status);
  const grpcStatus = isRedirect ? GRPC_STATUSES.INTERNAL : mapped;
  return {
    status: 200,
    grpcStatus,
    fields: [
      ...trailersOnlyFields(grpcStatus, content.body),
      'content-length',
      '0',
      ...(isRedirect ? [] : content.fields),
    ],
    body: NOTHING,
  };
}

const NOTHING = Buffer.alloc(0);

/** The value of RFC 9209's field: only the kind of denial and the policy's name. */
function proxyStatus(decision: DenyDecision): string {
  const policy = decision.rule === null ? '' : `; policy=${quoted(decision.rule.policy)}`;
  return `sallyport; error=http_request_denied; details=${quoted(decision.reason)}${policy}`;
}

function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}

function phraseOf(status: number): string {
  return REASON_PHRASES.get(status) ?? 'Error';
}
