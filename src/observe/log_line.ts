/**
 * hot path
 *
 * A request's record as one line of JSON. What stays the same over a connection (addresses,
 * identities, labels) is made once for it; the rest is joined by hand in a fixed order. Every text
 * from outside goes through `quote`, and through the redaction when it could carry a secret. The
 * fields are listed in docs/observability.md; a golden test holds each shape.
 */
import type { ConnectionMeta, Half } from '../model/connection_meta.ts';
import type { Decision, LoggedHeader } from '../model/decision.ts';
import { FAULTS } from '../model/fault.ts';
import type { Direction, Identity } from '../model/identity.ts';
import type { RequestRecord } from '../model/record.ts';
import type { RequestHead } from '../model/request_head.ts';
import { integer, milliseconds, quote, quoteList } from './json_text.ts';
import type { ObservedPolicy } from './observed_policy.ts';
import { Redaction } from './redaction.ts';

export interface LogLineOptions {
  /** Request fields whose values are logged, lower case. */
  readonly headers: readonly string[];
  readonly isQueryLogged: boolean;
}

/** The part of a line that tells what was decided for whom, and of what it is made. */
interface JudgedText {
  readonly meta: ConnectionMeta | null;
  readonly decision: Decision | null;
  readonly verdict: string;
  readonly isRequest: boolean;
  readonly text: string;
}

/** The part that tells what was asked of which host. */
interface AskedText {
  readonly version: string;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly text: string;
}

export class LogLineWriter {
  readonly #options: LogLineOptions;
  readonly #time = new TimeText();
  #policy: ObservedPolicy | null = null;
  #redaction = new Redaction([]);
  #secrets: readonly string[] = [];
  /** Of connections that live; the labels in it are those of `#policy`. */
  #connections = new WeakMap<Half, string>();
  #judged: JudgedText = NOTHING_JUDGED;
  #asked: AskedText = NOTHING_ASKED;

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
    this.#judged = NOTHING_JUDGED;
    this.#asked = NOTHING_ASKED;
  }

  /** Ends in a line feed and has no other; printable ASCII. */
  line(record: RequestRecord): string {
    const { head } = record;
    const isRequest = head !== null || record.status > 0;
    let line = `{"level":"${record.verdict === 'forwarded' ? 'info' : 'warn'}","time":"`;
    line += this.#time.text(record.startedAtMs + record.durationMs);
    line += this.#judgedText(record, isRequest);
    if (record.serverName !== '') line += `,"sni":${quote(record.serverName)}`;
    if (head !== null) line += this.#headText(head, record);
    else if (record.status > 0) line += `,"http":{"status":${integer(record.status)}}`;
    if (record.decision !== null) line += this.#loggedHeaders(record.decision);
    line += countsText(record);
    if (record.fault !== null) {
      line += `,"fault":"${record.fault}","blame":"${FAULTS[record.fault].blame}"`;
    }
    line += `,"policy_revision":${integer(record.policyRevision)}`;
    if (record.isDryRun) line += ',"enforced":false';
    if (record.shadowDecision !== null) line += shadowText(record.shadowDecision);
    return `${line}}\n`;
  }

  /** Most often the one of the line before: of the same connection, and the same rule. */
  #judgedText({ verdict, decision, meta }: RequestRecord, isRequest: boolean): string {
    const last = this.#judged;
    if (
      last.meta === meta &&
      last.decision === decision &&
      last.verdict === verdict &&
      last.isRequest === isRequest
    ) {
      return last.text;
    }
    let text = `","msg":"${isRequest ? 'request' : 'connection'}","verdict":"${verdict}"`;
    if (decision !== null) text += decisionText(decision);
    text += this.#connectionText(meta, decision?.half);
    this.#judged = { meta, decision, verdict, isRequest, text: flat(text) };
    return text;
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

  #headText(head: RequestHead, record: RequestRecord): string {
    const redaction = this.#redaction;
    const { path } = head;
    const query = path.indexOf('?');
    const shownPath = query === -1 || this.#options.isQueryLogged ? path : path.slice(0, query);
    let text = this.#askedText(head);
    text += `,"path":${quote(redaction.text(shownPath))}`;
    if (record.status > 0) text += `,"status":${integer(record.status)}`;
    text += '}';
    if (record.grpcStatus !== null || isGrpc(head)) {
      text += grpcText(redaction.text(shownPath), record.grpcStatus);
    }
    text += this.#fieldsText(head);
    const traceparent = head.field('traceparent');
    if (traceparent !== null) text += traceText(traceparent);
    return text;
  }

  /** Most often that of the line before, too. */
  #askedText({ version, method, scheme, authority }: RequestHead): string {
    const last = this.#asked;
    if (
      last.authority === authority &&
      last.method === method &&
      last.scheme === scheme &&
      last.version === version
    ) {
      return last.text;
    }
    let text = `,"http":{"version":"${version}","method":${quote(method)}`;
    text += `,"scheme":${quote(scheme)},"host":${quote(this.#redaction.text(authority))}`;
    this.#asked = { version, method, scheme, authority, text: flat(text) };
    return text;
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

/** One piece of memory instead of dozens, for a text that goes into many lines; it is ASCII. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
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

function countsText(record: RequestRecord): string {
  return (
    `,"response_source":"${record.responseSource}"` +
    `,"bytes_in":${integer(record.bytesIn)},"bytes_out":${integer(record.bytesOut)}` +
    `,"duration_ms":${milliseconds(record.durationMs)}` +
    `,"overhead_ms":${milliseconds(record.overheadMs)}`
  );
}

/** gRPC over HTTP/2: a POST with content-type application/grpc, with or without a suffix. */
function isGrpc(head: RequestHead): boolean {
  if (head.method !== 'POST') return false;
  const type = head.field('content-type');
  return type !== null && GRPC_CONTENT.test(type);
}

const GRPC_CONTENT = /^application\/grpc($|[+;\- ])/i;

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

/** RFC 3339 in UTC with milliseconds. Most lines are in the second of the line before. */
class TimeText {
  #second = Number.NaN;
  #prefix = '';

  text(atMs: number): string {
    const whole = Number.isFinite(atMs) ? Math.floor(atMs) : 0;
    const second = Math.floor(whole / 1000);
    if (second !== this.#second) {
      const isValid = Math.abs(whole) <= DATE_MS_MAX;
      this.#prefix = new Date(isValid ? second * 1000 : 0).toISOString().slice(0, 20);
      this.#second = second;
    }
    return `${this.#prefix}${String(whole - second * 1000).padStart(3, '0')}Z`;
  }
}

/** What a Date can hold (ECMA-262 21.4.1.1). */
const DATE_MS_MAX = 8.64e15;

const NOTHING_JUDGED: JudgedText = {
  meta: null,
  decision: null,
  verdict: '',
  isRequest: false,
  text: '',
};

/** A method of no character is none. */
const NOTHING_ASKED: AskedText = { version: '', method: '', scheme: '', authority: '', text: '' };
