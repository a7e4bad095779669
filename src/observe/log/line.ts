/**
 * hot path
 *
 * A request's record as one line of JSON, in bytes. What stays the same over a connection (addresses,
 * identities, labels, most often rule and host, too) is made once and copied; the rest is appended by hand in a
 * fixed order. Every text
 * from outside goes through `quote`, and through the redaction when it could carry a secret. The
 * fields are listed in docs/observability.md; a golden test holds each shape.
 */
import type { ConnectionMeta, Half } from '../../model/connection_meta.ts';
import type { Decision, LoggedHeader } from '../../model/decision.ts';
import { FAULTS } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Direction, Identity } from '../../model/identity.ts';
import type { PartialRequest } from '../../model/partial_request.ts';
import type { RequestRecord, ResponseSource } from '../../model/record.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { ObservedPolicy } from '../observed_policy.ts';
import { LineBytes } from './bytes.ts';
import { integer, quote, quoteList } from './json_text.ts';
import { Redaction } from './redaction.ts';

export interface LogLineOptions {
  /** Request fields whose values are logged, lower case. */
  readonly headers: readonly string[];
  readonly isQueryLogged: boolean;
}

/** What the line before on the same connection was made of: most often this one is, too. */
interface Remembered {
  readonly meta: ConnectionMeta;
  decision: Decision | null;
  verdict: string;
  isRequest: boolean;
  /** What was decided for whom. */
  judged: Uint8Array;
  version: string;
  method: string;
  scheme: string;
  authority: string;
  /** What was asked of which host. */
  asked: Uint8Array;
}

/** By the low bits of the connection's number; a power of two. About 600 bytes each. */
const REMEMBERED_COUNT_MAX = 1024;
/** A method and a host may be as long as a head: what is longer is made each time, and nobody's memory. */
const REMEMBERED_LENGTH_MAX = 512;

export class LogLineWriter {
  readonly #options: LogLineOptions;
  readonly #time = new TimeText();
  #policy: ObservedPolicy | null = null;
  #redaction = new Redaction([]);
  #secrets: readonly string[] = [];
  /** Of connections that live; the labels in it are those of `#policy`. */
  #connections = new WeakMap<Half, string>();
  #remembered = new Array<Remembered | undefined>(REMEMBERED_COUNT_MAX).fill(undefined);
  readonly #line = new LineBytes();

  constructor(options: LogLineOptions) {
    this.#options = { ...options, headers: [...new Set(options.headers)] };
  }

  policyChanged(policy: ObservedPolicy, secrets: Iterable<string>): void {
    this.#policy = policy;
    // Those of the set before, too: clients go on sending what has just been replaced.
    const before = this.#secrets;
    this.#secrets = [...secrets];
    this.#redaction = new Redaction([...before, ...this.#secrets]);
    this.#connections = new WeakMap();
    this.#remembered.fill(undefined);
  }

  /**
   * Ends in a line feed and has no other; printable ASCII. To be copied before the next one is made.
   * `suppressed`: lines of the same source that were left out before it.
   */
  line(record: RequestRecord, suppressed = 0): Uint8Array {
    const { head } = record;
    const line = this.#line;
    const remembered = this.#rememberedOf(record.meta);
    line.clear();
    line.bytes(record.verdict === 'forwarded' ? INFO_START : WARN_START);
    this.#time.append(line, record.endedAtMs);
    line.bytes(this.#judged(remembered, record, head !== null || record.status > 0));
    if (record.serverName !== '') line.text(`,"sni":${quote(record.serverName)}`);
    if (head !== null) this.#appendHead(head, record, remembered);
    else if (record.partial !== null) line.text(this.#partialText(record.partial, record.status));
    else if (record.status > 0) line.text(`,"http":{"status":${integer(record.status)}}`);
    if (record.decision !== null) line.text(this.#loggedHeaders(record.decision));
    appendCounts(line, record);
    if (record.fault !== null) {
      line.text(`,"fault":"${record.fault}","blame":"${FAULTS[record.fault].blame}"`);
      if (record.cause !== null) line.text(causeText(record.cause));
    }
    line.bytes(REVISION);
    line.integer(record.policyRevision);
    if (record.isDryRun) line.text(',"enforced":false');
    if (record.isHalfClosed === true) line.text(',"half_closed":true');
    if (record.shadowDecision !== null) line.text(shadowText(record.shadowDecision));
    if (suppressed > 0) line.text(`,"suppressed":${integer(suppressed)}`);
    line.bytes(LINE_END);
    return line.view();
  }

  /** Of a source that has become quiet: so many of its lines were left out. */
  leftOut(source: string, count: number, atMs: number): Uint8Array {
    const line = this.#line;
    line.clear();
    line.bytes(WARN_START);
    this.#time.append(line, atMs);
    line.text(`Z","msg":"lines left out","src":{"ip":${quote(source)}}`);
    line.text(`,"suppressed":${integer(count)}`);
    line.bytes(LINE_END);
    return line.view();
  }

  #rememberedOf(meta: ConnectionMeta): Remembered {
    const index = meta.connectionId & (REMEMBERED_COUNT_MAX - 1);
    let remembered = this.#remembered[index];
    if (remembered?.meta !== meta) {
      remembered = nothingOf(meta);
      this.#remembered[index] = remembered;
    }
    return remembered;
  }

  #judged(last: Remembered, record: RequestRecord, isRequest: boolean): Uint8Array {
    const { verdict, decision, meta } = record;
    const isSame =
      last.decision === decision && last.verdict === verdict && last.isRequest === isRequest;
    if (isSame) return last.judged;
    let text = `Z","msg":"${isRequest ? 'request' : 'connection'}","verdict":"${verdict}"`;
    if (decision !== null) text += decisionText(decision);
    text += this.#connectionText(meta, decision?.half);
    const judged = ascii(text);
    if (decision !== null && hasValues(decision)) return judged;
    last.decision = decision;
    last.verdict = verdict;
    last.isRequest = isRequest;
    last.judged = judged;
    return judged;
  }

  #connectionText(meta: ConnectionMeta, by: Direction | undefined): string {
    const half = by === 'ingress' ? (meta.second ?? meta) : meta;
    let text = this.#connections.get(half);
    if (text === undefined) {
      text = connectionText(meta, half, this.#policy);
      this.#connections.set(half, text);
    }
    return text;
  }

  #appendHead(head: RequestHead, record: RequestRecord, remembered: Remembered): void {
    const line = this.#line;
    const redaction = this.#redaction;
    const { path } = head;
    const query = path.indexOf('?');
    const shownPath = query === -1 || this.#options.isQueryLogged ? path : path.slice(0, query);
    line.bytes(this.#asked(remembered, head));
    line.text(quote(redaction.text(shownPath)));
    if (record.status > 0) {
      line.bytes(STATUS);
      line.integer(record.status);
    }
    line.bytes(OBJECT_END);
    if (record.grpcStatus !== null || head.isGrpc) {
      line.text(grpcText(redaction.text(shownPath), record.grpcStatus));
    }
    if (this.#options.headers.length > 0) line.text(this.#fieldsText(head));
    const traceparent = head.field('traceparent');
    if (traceparent !== null) line.text(traceText(traceparent));
  }

  /** What was not seen is left out. */
  #partialText(partial: PartialRequest, status: number): string {
    const redaction = this.#redaction;
    const { version, method, authority, path, isCut } = partial;
    const query = this.#options.isQueryLogged ? -1 : path.indexOf('?');
    const shownPath = query === -1 ? path : path.slice(0, query);
    let text = '';
    if (method !== '') text += `,"version":"${version}","method":${quote(method)}`;
    if (authority !== '') text += `,"host":${quote(redaction.text(authority))}`;
    if (shownPath !== '') text += `,"path":${quote(redaction.text(shownPath))}`;
    if (isCut) text += ',"truncated":true';
    if (status > 0) text += `,"status":${integer(status)}`;
    return text === '' ? '' : `,"http":{${text.slice(1)}}`;
  }

  #asked(last: Remembered, { version, method, scheme, authority }: RequestHead): Uint8Array {
    const isSame =
      last.authority === authority &&
      last.method === method &&
      last.scheme === scheme &&
      last.version === version;
    if (isSame) return last.asked;
    let text = `,"http":{"version":"${version}","method":${quote(method)}`;
    text += `,"scheme":${quote(scheme)},"host":${quote(this.#redaction.text(authority))},"path":`;
    if (text.length > REMEMBERED_LENGTH_MAX) return ascii(text);
    last.version = version;
    last.method = method;
    last.scheme = scheme;
    last.authority = authority;
    last.asked = ascii(text);
    return last.asked;
  }

  #fieldsText(head: RequestHead): string {
    const { headers } = this.#options;
    let text = '';
    for (let i = 0; i < headers.length; i++) {
      const name = headers[i] as string;
      const value = head.field(name);
      if (value === null) continue;
      text += `${text === '' ? '' : ','}${quote(name)}:${quote(this.#redaction.field(name, value))}`;
    }
    return text === '' ? '' : `,"headers":{${text}}`;
  }

  #loggedHeaders(decision: Decision): string {
    let text = '';
    if (decision.missing.length > 0) {
      text += `,"missing_headers":${this.#pairs(decision.missing)}`;
    }
    if (decision.rejected.length > 0) {
      text += `,"rejected_headers":${this.#pairs(decision.rejected)}`;
    }
    return text;
  }

  /** A list, as in Cilium's log entry: one name can be there more than once. */
  #pairs(headers: readonly LoggedHeader[]): string {
    const pairs = headers.map(
      ([name, value]) =>
        `{"name":${quote(name)},"value":${quote(this.#redaction.field(name.toLowerCase(), value))}}`,
    );
    return `[${pairs.join(',')}]`;
  }
}

function ascii(text: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.write(text, 'latin1');
  return bytes;
}

const INFO_START = ascii('{"level":"info","time":"');
const WARN_START = ascii('{"level":"warn","time":"');
const STATUS = ascii(',"status":');
const OBJECT_END = ascii('}');
const BYTES_IN = ascii(',"bytes_in":');
const BYTES_OUT = ascii(',"bytes_out":');
const DURATION = ascii(',"duration_ms":');
const OVERHEAD = ascii(',"overhead_ms":');
const REVISION = ascii(',"policy_revision":');
const LINE_END = ascii('}\n');
const NOTHING = ascii('');

/** No version, method or authority is ''; no verdict either, so nothing is taken for the same as this. */
function nothingOf(meta: ConnectionMeta): Remembered {
  return {
    meta,
    decision: null,
    verdict: '',
    isRequest: false,
    judged: NOTHING,
    version: '',
    method: '',
    scheme: '',
    authority: '',
    asked: NOTHING,
  };
}

/** The client's, perhaps as long as a head; such a decision is of one request only. */
function hasValues({ missing, rejected }: Decision): boolean {
  return missing.length > 0 || rejected.length > 0;
}

function decisionText(decision: Decision): string {
  const { reason, layer, rule, half } = decision;
  let text = reason === null ? '' : `,"reason":"${reason}"`;
  text += `,"layer":"${layer}"`;
  if (half !== undefined) text += `,"half":"${half}"`;
  if (rule !== null) text += `,"policy":${quote(rule.policy)},"rule":${quote(rule.rule)}`;
  const other = decision.verdict === 'allow' ? decision.otherRule : null;
  if (other) text += `,"other_policy":${quote(other.policy)},"other_rule":${quote(other.rule)}`;
  return text;
}

/** Which rule, and where: offset and value of a byte, never what stands around it. */
function causeText({ detail, offset, byte }: Cause): string {
  if (byte < 0) return `,"detail":"${detail}"`;
  const value = byte.toString(16).padStart(2, '0');
  return `,"detail":"${detail}","offset":${integer(offset)},"byte":"0x${value}"`;
}

function shadowText({ verdict, reason, rule }: Decision): string {
  let text = `,"dry_run":{"verdict":"${verdict}"`;
  if (reason !== null) text += `,"reason":"${reason}"`;
  if (rule !== null) text += `,"policy":${quote(rule.policy)},"rule":${quote(rule.rule)}`;
  return `${text}}`;
}

/** Ingress: the remote is the source; egress: the destination. The other side is the endpoint. */
function connectionText(meta: ConnectionMeta, half: Half, policy: ObservedPolicy | null): string {
  const { source, destination, recorded } = meta;
  const { direction, remoteIdentity, endpointIp } = half;
  const isIngress = direction === 'ingress';
  const known = isIngress ? recorded?.destination : recorded?.source;
  const endpointIdentity = known?.identity ?? policy?.ipcache.lookup(endpointIp) ?? null;
  const from = isIngress ? remoteIdentity : endpointIdentity;
  const to = isIngress ? endpointIdentity : remoteIdentity;
  const name = policy?.endpoint(endpointIp).name ?? '';
  return (
    `,"direction":"${direction}","listener":${quote(meta.listener)}` +
    `,"proxy_id":${integer(meta.proxyId)},"connection_id":${integer(meta.connectionId)}` +
    `,"src":${sideText(source.ip, source.port, { identity: from, policy })}` +
    `,"dst":${sideText(destination.ip, destination.port, { identity: to, policy })}` +
    `,"endpoint":${quote(name === '' ? endpointIp : name)}` +
    `,"identity_source":"${meta.identitySource}"`
  );
}

function sideText(
  ip: string,
  port: number,
  side: { readonly identity: Identity | null; readonly policy: ObservedPolicy | null },
): string {
  const { identity, policy } = side;
  let text = `{"ip":${quote(ip)},"port":${integer(port)}`;
  if (identity !== null) {
    text += `,"identity":${integer(identity)}`;
    text += `,"labels":${quoteList(policy?.labels.labelsOf(identity) ?? [])}`;
  }
  return `${text}}`;
}

function appendCounts(line: LineBytes, record: RequestRecord): void {
  line.bytes(RESPONSE_SOURCES[record.responseSource]);
  line.bytes(BYTES_IN);
  line.integer(record.bytesIn);
  line.bytes(BYTES_OUT);
  line.integer(record.bytesOut);
  line.bytes(DURATION);
  line.milliseconds(record.durationMs);
  line.bytes(OVERHEAD);
  line.milliseconds(record.overheadMs);
}

const RESPONSE_SOURCES: Readonly<Record<ResponseSource, Uint8Array>> = {
  upstream: ascii(',"response_source":"upstream"'),
  local: ascii(',"response_source":"local"'),
  none: ascii(',"response_source":"none"'),
};

/** "/package.Service/Method". */
function grpcText(path: string, status: number | null): string {
  const slash = path.indexOf('/', 1);
  const query = path.indexOf('?');
  const end = query === -1 ? path.length : query;
  const service = path.slice(1, slash === -1 ? end : slash);
  const method = slash === -1 ? '' : path.slice(slash + 1, end);
  const text = `,"grpc":{"service":${quote(service)},"method":${quote(method)}`;
  return status === null ? `${text}}` : `${text},"status":${integer(status)}}`;
}

/** Trace Context level 1: version, trace id, parent id, flags; ids of zeros only are invalid. */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}$/;

function traceText(traceparent: string): string {
  const ids = TRACEPARENT.exec(traceparent);
  return ids === null ? '' : `,"trace_id":"${ids[1]}","span_id":"${ids[2]}"`;
}

/** RFC 3339 in UTC with milliseconds, without its Z. Under load most lines are in the millisecond of the one before. */
class TimeText {
  #second = Number.NaN;
  #prefix = '';
  #millisecond = Number.NaN;
  #bytes = NOTHING;

  append(line: LineBytes, atMs: number): void {
    const whole = Number.isFinite(atMs) ? Math.floor(atMs) : 0;
    if (whole !== this.#millisecond) this.#make(whole);
    line.bytes(this.#bytes);
  }

  #make(whole: number): void {
    const second = Math.floor(whole / 1000);
    if (second !== this.#second) {
      const isValid = Math.abs(whole) <= DATE_MS_MAX;
      this.#prefix = new Date(isValid ? second * 1000 : 0).toISOString().slice(0, 20);
      this.#second = second;
    }
    this.#bytes = ascii(`${this.#prefix}${String(whole - second * 1000).padStart(3, '0')}`);
    this.#millisecond = whole;
  }
}

/** What a Date can hold (ECMA-262 21.4.1.1). */
const DATE_MS_MAX = 8.64e15;
