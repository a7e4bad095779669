/**
 * hot path
 *
 * A flow as one line of JSON, in bytes. What stays the same over a connection (addresses,
 * identities, labels, most often rule and host, too) is made once and copied; the rest is appended by hand in a
 * fixed order. Every text
 * from outside goes through `quote`; secrets are out of it already (observe/flow/record_flow.ts). The
 * fields are listed in docs/observability.md; a golden test holds each shape.
 */
import type { LoggedHeader } from '../../model/decision.ts';
import { rcodeName } from '../../model/dns_words.ts';
import { FAULTS } from '../../model/fault.ts';
import type {
  DnsFacts,
  FlowCause,
  FlowConnection,
  FlowDecision,
  GrpcFacts,
  HttpFacts,
  ProtocolFacts,
  ProxyFlow,
} from '../../model/flow.ts';
import type { ResponseSource } from '../../model/record.ts';
import { LineBytes } from './bytes.ts';
import { DatagramWords } from './datagram_words.ts';
import { integer, quote } from './json_text.ts';
import { connectionText, decisionText } from './line_text.ts';

/** What the line before on the same connection was made of: most often this one is, too. */
interface Remembered {
  /** Also stands for the policy: another one makes another of it. */
  readonly connection: FlowConnection;
  decision: FlowDecision | null;
  verdict: string;
  message: string;
  /** What was decided for whom. */
  judged: Uint8Array;
  version: string;
  method: string;
  scheme: string;
  host: string;
  /** What was asked of which host. */
  asked: Uint8Array;
}

/** By the low bits of the connection's number; a power of two. About 600 bytes each. */
const REMEMBERED_COUNT_MAX = 1024;
/** A method and a host may be as long as a head: what is longer is made each time, and nobody's memory. */
const REMEMBERED_LENGTH_MAX = 512;

export class LogLineWriter {
  readonly #time = new TimeText();
  readonly #remembered = new Array<Remembered | undefined>(REMEMBERED_COUNT_MAX).fill(undefined);
  readonly #datagrams = new DatagramWords();
  readonly #line = new LineBytes();

  /**
   * Ends in a line feed and has no other; printable ASCII. To be copied before the next one is made.
   * `suppressed`: lines of the same source that were left out before it.
   */
  line(flow: ProxyFlow, suppressed = 0): Uint8Array {
    const { facts } = flow;
    const line = this.#line;
    line.clear();
    line.bytes(flow.verdict === 'forwarded' ? INFO_START : WARN_START);
    this.#time.append(line, flow.endedAtMs);
    if (facts.kind === 'dns' && flow.ipProtocol === UDP) {
      this.#datagrams.append(line, flow);
    } else {
      const remembered = this.#rememberedOf(flow.connection);
      line.bytes(this.#judged(remembered, flow, messageOf(facts)));
      const serverName = facts.kind === 'http' || facts.kind === 'tls' ? facts.serverName : '';
      if (serverName !== '') line.text(`,"sni":${quote(serverName)}`);
      if (facts.kind === 'http') this.#appendHttp(facts, remembered);
    }
    if (facts.kind === 'dns') appendQuestion(line, facts, flow.ipProtocol);
    if (flow.decision !== null) line.text(loggedHeaders(flow));
    appendCounts(line, flow);
    if (flow.fault !== null) {
      line.text(`,"fault":"${flow.fault}","blame":"${FAULTS[flow.fault].blame}"`);
      if (flow.cause !== null) line.text(causeText(flow.cause));
    }
    line.bytes(REVISION);
    line.integer(flow.policyRevision);
    if (flow.isDryRun) line.text(',"enforced":false');
    if (flow.isHalfClosed) line.text(',"half_closed":true');
    if (flow.shadowDecision !== null) line.text(shadowText(flow.shadowDecision));
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

  #rememberedOf(connection: FlowConnection): Remembered {
    const index = connection.id & (REMEMBERED_COUNT_MAX - 1);
    let remembered = this.#remembered[index];
    if (remembered?.connection !== connection) {
      remembered = nothingOf(connection);
      this.#remembered[index] = remembered;
    }
    return remembered;
  }

  #judged(last: Remembered, flow: ProxyFlow, message: string): Uint8Array {
    const { verdict, decision } = flow;
    const isSame =
      last.decision === decision && last.verdict === verdict && last.message === message;
    if (isSame) return last.judged;
    let text = `Z","msg":"${message}","verdict":"${verdict}"`;
    if (decision !== null) text += decisionText(decision);
    text += connectionText(last.connection);
    const judged = ascii(text);
    if (isOfOneRequest(flow)) return judged;
    last.decision = decision;
    last.verdict = verdict;
    last.message = message;
    last.judged = judged;
    return judged;
  }

  #appendHttp(http: HttpFacts, remembered: Remembered): void {
    const line = this.#line;
    const { status } = http;
    if (http.seen === 'part') {
      line.text(partialText(http));
      return;
    }
    if (http.seen === 'nothing') {
      line.text(`,"http":{"status":${integer(status)}}`);
      return;
    }
    line.bytes(this.#asked(remembered, http));
    line.text(quote(http.path));
    if (status > 0) {
      line.bytes(STATUS);
      line.integer(status);
    }
    line.bytes(OBJECT_END);
    if (http.isGrpc) line.text(grpcText(http.grpc));
    const { headers, trace } = http;
    if (headers.length > 0) line.text(fieldsText(headers));
    if (trace !== null) line.text(`,"trace_id":"${trace.traceId}","span_id":"${trace.spanId}"`);
  }

  #asked(last: Remembered, http: HttpFacts): Uint8Array {
    const { version, method, scheme, host } = http;
    const isSame =
      last.host === host &&
      last.method === method &&
      last.scheme === scheme &&
      last.version === version;
    if (isSame) return last.asked;
    let text = `,"http":{"version":"${version}","method":${quote(method)}`;
    text += `,"scheme":${quote(scheme)},"host":${quote(host)},"path":`;
    if (text.length > REMEMBERED_LENGTH_MAX) return ascii(text);
    last.version = version;
    last.method = method;
    last.scheme = scheme;
    last.host = host;
    last.asked = ascii(text);
    return last.asked;
  }
}

function messageOf(facts: ProtocolFacts): string {
  if (facts.kind === 'dns') return 'question';
  return facts.kind === 'http' && isRequest(facts) ? 'request' : 'connection';
}

/** A connection that was refused before its first request may have been seen a part of one. */
function isRequest({ seen, status }: HttpFacts): boolean {
  return seen === 'whole' || status > 0;
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
const QUESTION_UDP = ascii(',"dns":{"transport":"udp"');
const QUESTION_TCP = ascii(',"dns":{"transport":"tcp"');
const QUERY = ascii(',"query":');
const TYPE = ascii(',"type":');
const RCODE = ascii(',"rcode":');
const IPS = ascii(',"ips":[');
const TTL = ascii('],"ttl":');
const LINE_END = ascii('}\n');
const NOTHING = ascii('');

/** No version, method or host is ''; no verdict either, so nothing is taken for the same as this. */
function nothingOf(connection: FlowConnection): Remembered {
  return {
    connection,
    decision: null,
    verdict: '',
    message: '',
    judged: NOTHING,
    version: '',
    method: '',
    scheme: '',
    host: '',
    asked: NOTHING,
  };
}

/** Values of the client's, perhaps as long as a head; such a decision is of one request only. */
function isOfOneRequest({ missing, rejected }: ProxyFlow): boolean {
  return missing.length > 0 || rejected.length > 0;
}

/** Which rule, and where: offset and value of a byte, never what stands around it. */
function causeText({ detail, offset, byte }: FlowCause): string {
  if (byte < 0) return `,"detail":"${detail}"`;
  const value = byte.toString(16).padStart(2, '0');
  return `,"detail":"${detail}","offset":${integer(offset)},"byte":"0x${value}"`;
}

function shadowText({ verdict, reason, rule }: FlowDecision): string {
  let text = `,"dry_run":{"verdict":"${verdict}"`;
  if (reason !== null) text += `,"reason":"${reason}"`;
  if (rule !== null) text += `,"policy":${quote(rule.policy)},"rule":${quote(rule.rule)}`;
  return `${text}}`;
}

function appendCounts(line: LineBytes, flow: ProxyFlow): void {
  line.bytes(RESPONSE_SOURCES[flow.responseSource]);
  line.bytes(BYTES_IN);
  line.integer(flow.bytesIn);
  line.bytes(BYTES_OUT);
  line.integer(flow.bytesOut);
  line.bytes(DURATION);
  line.milliseconds(flow.durationMs);
  line.bytes(OVERHEAD);
  line.milliseconds(flow.overheadMs);
}

const RESPONSE_SOURCES: Readonly<Record<ResponseSource, Uint8Array>> = {
  upstream: ascii(',"response_source":"upstream"'),
  local: ascii(',"response_source":"local"'),
  none: ascii(',"response_source":"none"'),
};

/** What was not seen is left out. */
function partialText(http: HttpFacts): string {
  const { version, method, host, path, isCut, status } = http;
  let text = '';
  if (method !== '') text += `,"version":"${version}","method":${quote(method)}`;
  if (host !== '') text += `,"host":${quote(host)}`;
  if (path !== '') text += `,"path":${quote(path)}`;
  if (isCut) text += ',"truncated":true';
  if (status > 0) text += `,"status":${integer(status)}`;
  return text === '' ? '' : `,"http":{${text.slice(1)}}`;
}

/** A name that could not be read is left out. */
function appendQuestion(
  line: LineBytes,
  { query, types, responseCode, ips, ttlSeconds }: DnsFacts,
  ipProtocol: number,
): void {
  line.bytes(ipProtocol === UDP ? QUESTION_UDP : QUESTION_TCP);
  if (query !== '') {
    line.bytes(QUERY);
    line.quoted(query);
    line.bytes(TYPE);
    line.quoted(types.length === 1 ? (types[0] as string) : types.join(' '));
  }
  if (responseCode !== null) {
    line.bytes(RCODE);
    line.quoted(rcodeName(responseCode));
  }
  if (ips.length > 0) {
    line.bytes(IPS);
    for (let i = 0; i < ips.length; i++) {
      if (i > 0) line.text(',');
      line.quoted(ips[i] as string);
    }
    line.bytes(TTL);
    line.integer(ttlSeconds);
  }
  line.bytes(OBJECT_END);
}

/** Of IP. */
const UDP = 17;

function fieldsText(headers: readonly LoggedHeader[]): string {
  const fields = headers.map(([name, value]) => `${quote(name)}:${quote(value)}`);
  return `,"headers":{${fields.join(',')}}`;
}

function loggedHeaders({ missing, rejected }: ProxyFlow): string {
  let text = '';
  if (missing.length > 0) text += `,"missing_headers":${pairs(missing)}`;
  if (rejected.length > 0) text += `,"rejected_headers":${pairs(rejected)}`;
  return text;
}

/** A list, as in Cilium's log entry: one name can be there more than once. */
function pairs(headers: readonly LoggedHeader[]): string {
  const texts = headers.map(([name, value]) => `{"name":${quote(name)},"value":${quote(value)}}`);
  return `[${texts.join(',')}]`;
}

function grpcText(grpc: GrpcFacts | null): string {
  if (grpc === null) return '';
  const { service, method, status } = grpc;
  const text = `,"grpc":{"service":${quote(service)},"method":${quote(method)}`;
  return status === null ? `${text}}` : `${text},"status":${integer(status)}}`;
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
