/**
 * What the parts of a scanned response head mean together (RFC 9112 6.3, 9.3; RFC 9110 7.6.1, 15),
 * given the request that it answers. Pure: a head or what is wrong. HTTP/1.0 is accepted, as upstreams
 * that speak it end their content by closing, which has one reading; it is sent on as HTTP/1.1. So is what
 * every client reads though the RFCs forbid it; what is left out ends the connection.
 */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import {
  areLinesCanonical,
  type ConnectionOptions,
  connectionOptionsOf,
  liberalConnectionOptions,
} from './connection_options.ts';
import type { ResponseFraming } from './events.ts';
import { CONNECTION, CONTENT_LENGTH, UPGRADE } from './field_kind.ts';
import { joinedValue } from './field_lines.ts';
import { FRAMING_CHUNKED, FRAMING_NONE } from './framing.ts';
import type { HeadScanner } from './head_scanner.ts';
import { responseLengthOf } from './response_framing.ts';
import { Http1ResponseHead } from './response_head.ts';
import { isProtocol } from './upgrade.ts';

export interface AnsweredRequest {
  readonly method: string;
  readonly isUpgradeAsked: boolean;
  readonly areTrailersForwarded: boolean;
  /** The head was not as it ought to be. */
  readonly isRepaired: boolean;
}

const SWITCHING_PROTOCOLS = 101;

/** `raw` is exactly the head that `scanner` has just scanned. */
export function readResponseHead(
  raw: Buffer,
  scanner: HeadScanner,
  request: AnsweredRequest,
): Http1ResponseHead | Cause {
  const { status } = scanner;
  const length = responseLengthOf(raw, scanner);
  if (length instanceof Cause) return length;
  const { declared } = length;
  const strictOptions = connectionOptionsOf(raw, scanner);
  const isConnectionOdd = strictOptions instanceof Cause;
  const options = isConnectionOdd ? liberalConnectionOptions(raw, scanner) : strictOptions;
  const isBare = status < 200 || status === 204;
  // RFC 9110 8.6, RFC 9112 6.1: neither field may stand here; a zero length says nothing wrong.
  const isFramingDropped = isBare && declared !== FRAMING_NONE;
  const isUnsound = length.isUnsound || (isFramingDropped && declared !== 0);
  if (status === SWITCHING_PROTOCOLS) {
    if (isUnsound) return causeOf('length-forbidden');
    if (options.isClose) return causeOf('informational-final');
    if (!request.isUpgradeAsked) return causeOf('switch-unasked');
  }
  const upgrade = status === SWITCHING_PROTOCOLS ? switchedTo(raw, scanner, options) : '';
  if (upgrade === null) return causeOf('switch-form');
  const hasContent = !isBare && status !== 304 && request.method !== 'HEAD';
  const framing = hasContent ? framingNameOf(declared) : 'none';
  const isInterim = status < 200 && status !== SWITCHING_PROTOCOLS;
  // Nothing that an interim response says of the connection counts: another one follows.
  const connection = isInterim ? '' : connectionValue(scanner, { options, upgrade, framing });
  const isTrailerKept = request.areTrailersForwarded;
  const isOddStatus = status > 599 || (isInterim && (scanner.isHttp10 || options.isClose));
  const isAsRead = !scanner.isHttp10 && !isFramingDropped && !isUnsound;
  const hop = { connection, isUpgradeKept: upgrade !== '', isTrailerKept };
  return new Http1ResponseHead({
    raw,
    status,
    reasonStart: scanner.reasonStart,
    reasonEnd: scanner.reasonEnd,
    fieldsStart: scanner.fieldsStart,
    isHttp10: scanner.isHttp10,
    isCanonical: isAsRead && areLinesCanonical(raw, scanner, hop),
    isLiberal: request.isRepaired || isUnsound || isConnectionOdd || isOddStatus,
    framing,
    contentLength: framing === 'length' ? declared : -1,
    isPersistent:
      isPersistent(scanner, options) && framing !== 'close' && upgrade === '' && !isUnsound,
    upgrade,
    connection,
    sentContentLength:
      scanner.counts[CONTENT_LENGTH] === 0 || declared < 0 || isFramingDropped
        ? null
        : String(declared),
    isCodingDropped: isFramingDropped || (isUnsound && declared !== FRAMING_CHUNKED),
    isTrailerKept,
    nominated: options.nominated,
  });
}

/** RFC 9110 15.2.2: a 101 names the one protocol that begins after it. */
function switchedTo(raw: Buffer, scanner: HeadScanner, options: ConnectionOptions): string | null {
  if (scanner.counts[UPGRADE] !== 1 || !options.isUpgrade || scanner.isHttp10) return null;
  const protocol = joinedValue(raw, scanner.fieldsStart, UPGRADE).toLowerCase();
  return isProtocol(protocol) ? protocol : null;
}

function framingNameOf(declared: number): ResponseFraming {
  if (declared >= 0) return 'length';
  return declared === FRAMING_CHUNKED ? 'chunked' : 'close';
}

/** Content that ends with the connection closes it, whatever the field says. */
function connectionValue(
  scanner: HeadScanner,
  found: {
    readonly options: ConnectionOptions;
    readonly upgrade: string;
    readonly framing: ResponseFraming;
  },
): string {
  if (scanner.counts[CONNECTION] === 0) return '';
  if (found.upgrade !== '') return 'upgrade';
  if (found.options.isClose || found.framing === 'close') return 'close';
  return found.options.isKeepAlive ? 'keep-alive' : '';
}

function isPersistent(scanner: HeadScanner, options: ConnectionOptions): boolean {
  return !options.isClose && (!scanner.isHttp10 || options.isKeepAlive);
}
