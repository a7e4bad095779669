/**
 * hot path
 *
 * What the parts of a scanned request head mean together, and whether they may stand together
 * (RFC 9112 3.2, 6, 9.3; RFC 9110 7.2, 7.6.1, 7.8, 10.1.1). Pure: a head or what is wrong.
 */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import type { UnderscoreAction } from '../../model/field_alias.ts';
import { isGrpcTypeAt } from '../grpc/content_type.ts';
import {
  areLinesCanonical,
  type ConnectionOptions,
  connectionOptionsOf,
} from './connection_options.ts';
import { CONTENT_TYPE, EXPECT, HOST, TRACEPARENT } from './field_kind.ts';
import { hasUnderscoreName } from './field_lines.ts';
import { FRAMING_CHUNKED, FRAMING_NONE, framingOf } from './framing.ts';
import type { HeadScanner } from './head_scanner.ts';
import { hostCause, isHost } from './host.ts';
import { Http1RequestHead } from './request_head.ts';
import { readTarget, type TargetRules } from './request_target.ts';
import { ASTERISK, equalsIgnoringCase, SLASH } from './syntax.ts';
import { upgradeOf } from './upgrade.ts';

export interface RequestRules extends TargetRules {
  readonly areTrailersForwarded: boolean;
  readonly underscores?: UnderscoreAction;
  /** Protocols that may become tunnels, lower case; by default WebSocket only. */
  readonly upgrades?: readonly string[];
}

/** As Cilium configures Envoy. */
const DEFAULT_UPGRADES: readonly string[] = ['websocket'];

/** `raw` is exactly the head that `scanner` has just scanned. */
export function readRequestHead(
  raw: Buffer,
  scanner: HeadScanner,
  rules: RequestRules,
): Http1RequestHead | Cause {
  const isHostless = isHostlessHttp10(raw, scanner);
  const hostStart = isHostless ? 0 : (scanner.valueStarts[HOST] as number);
  const hostEnd = isHostless ? 0 : (scanner.valueEnds[HOST] as number);
  if (!isHostless) {
    if (scanner.counts[HOST] !== 1) {
      return causeOf(scanner.counts[HOST] === 0 ? 'host-missing' : 'host-repeated');
    }
    if (!isHost(raw, hostStart, hostEnd)) return hostCause(raw, hostStart, hostEnd);
  }
  const target = readTarget(raw, scanner, rules);
  if (target instanceof Cause) return target;
  const framing = framingOf(raw, scanner);
  if (framing instanceof Cause) return framing;
  const options = connectionOptionsOf(raw, scanner);
  if (options instanceof Cause) return options;
  const offered = rules.upgrades ?? DEFAULT_UPGRADES;
  const asked = upgradeOf(raw, scanner, { options, framing, offered });
  if (asked instanceof Cause) return asked;
  const upgrade = asked.protocol;
  const expects = expectsContinueOf(raw, scanner);
  if (expects === null) return causeOf('expectation-unknown');
  const areUnderscoresDropped =
    (rules.underscores ?? 'allow') !== 'allow' && hasUnderscoreName(raw, scanner.fieldsStart);
  if (areUnderscoresDropped && rules.underscores === 'refuse')
    return causeOf('field-name-underscore');
  const connection = connectionValue(options, upgrade);
  const isTrailerKept = rules.areTrailersForwarded;
  const hop = { connection, isUpgradeKept: upgrade !== '', isTrailerKept };
  return new Http1RequestHead({
    raw,
    methodEnd: scanner.methodEnd,
    pathStart: target.pathStart,
    pathEnd: target.pathEnd,
    path: target.path,
    redirectTo: target.redirectTo,
    scheme: target.scheme,
    authorityStart: hostStart,
    authorityEnd: hostEnd,
    fieldsStart: scanner.fieldsStart,
    isHttp10: scanner.isHttp10,
    isCanonical: target.isAsSent && !areUnderscoresDropped && areLinesCanonical(raw, scanner, hop),
    framing: framing >= 0 ? 'length' : framing === FRAMING_CHUNKED ? 'chunked' : 'none',
    contentLength: framing >= 0 ? framing : -1,
    isPersistent: isPersistent(scanner, options),
    // RFC 9110 10.1.1: not by HTTP/1.0, and nothing to wait for without content.
    expectsContinue: expects && !scanner.isHttp10 && framing !== FRAMING_NONE && framing !== 0,
    upgrade,
    isUpgradeRefused: asked.isRefused,
    isGrpc: isGrpc(raw, scanner, options),
    isTraced: scanner.counts[TRACEPARENT] !== 0,
    connection,
    isTrailerKept,
    areUnderscoresDropped,
    nominated: options.nominated,
  });
}

/**
 * HTTP/1.0 need not name a host (`option httpchk` of HAProxy does not): its authority is empty, which no rule
 * on a host matches but one that matches anything. An absolute target names one, and then Host must, too.
 */
function isHostlessHttp10(raw: Buffer, scanner: HeadScanner): boolean {
  if (!scanner.isHttp10 || scanner.counts[HOST] !== 0) return false;
  const first = raw[scanner.targetStart];
  return first === SLASH || first === ASTERISK;
}

/** Null for any expectation but one 100-continue. */
function expectsContinueOf(raw: Buffer, scanner: HeadScanner): boolean | null {
  const count = scanner.counts[EXPECT] as number;
  if (count === 0) return false;
  const start = scanner.valueStarts[EXPECT] as number;
  const end = scanner.valueEnds[EXPECT] as number;
  return count === 1 && equalsIgnoringCase(raw, start, end, '100-continue') ? true : null;
}

/** RFC 9112 9.3. */
function isPersistent(scanner: HeadScanner, options: ConnectionOptions): boolean {
  return !options.isClose && (!scanner.isHttp10 || options.isKeepAlive);
}

function isGrpc(raw: Buffer, scanner: HeadScanner, options: ConnectionOptions): boolean {
  if (scanner.counts[CONTENT_TYPE] === 0 || options.nominated.has('content-type')) return false;
  const start = scanner.valueStarts[CONTENT_TYPE] as number;
  const end = scanner.valueEnds[CONTENT_TYPE] as number;
  return isGrpcTypeAt(raw, start, end);
}

function connectionValue(options: ConnectionOptions, upgrade: string): string {
  if (upgrade !== '') return 'upgrade';
  if (options.isClose) return 'close';
  return options.isKeepAlive ? 'keep-alive' : '';
}
