/**
 * hot path
 *
 * The flow of a record. A worker has one, and shows it every record in turn, so that a request costs no object more:
 * what a reader asks for is worked out then, and what stays the same over a connection is remembered (sides.ts).
 *
 *     record ──take──► RecordFlow ──► each FlowSink, which reads what it needs
 */
import type { LoggedHeader } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type {
  DnsFacts,
  FlowCause,
  FlowConnection,
  FlowDecision,
  FlowSide,
  ProtocolFacts,
  ProxyFlow,
  TlsFacts,
  TransportFacts,
} from '../../model/flow.ts';
import type { Direction } from '../../model/identity.ts';
import type {
  FlowVerdict,
  QuestionFacts,
  RequestRecord,
  ResponseSource,
} from '../../model/record.ts';
import type { ObservedPolicy } from '../observed_policy.ts';
import { RecordHttpFacts, type ShownOptions } from './http_facts.ts';
import { Redaction } from './redaction.ts';
import { Connections } from './sides.ts';

export interface RecordFlowOptions extends ShownOptions {
  readonly instance: string;
  readonly node: string;
}

const TCP = 6;
const UDP = 17;
const TRANSPORT: TransportFacts = Object.freeze({ kind: 'transport' });

export class RecordFlow implements ProxyFlow {
  readonly origin = 'proxy';
  readonly instance: string;
  readonly node: string;
  /** A record is of a request and its response. */
  readonly isReply = null;
  readonly #connections = new Connections();
  readonly #http: RecordHttpFacts;
  #redaction = new Redaction([]);
  #secrets: readonly string[] = [];
  #record!: RequestRecord;
  #number = 0;
  #missing: readonly LoggedHeader[] | null = null;
  #rejected: readonly LoggedHeader[] | null = null;

  constructor(options: RecordFlowOptions) {
    this.instance = options.instance;
    this.node = options.node;
    this.#http = new RecordHttpFacts(options, this.#redaction);
  }

  policyChanged(policy: ObservedPolicy, secrets: Iterable<string>): void {
    // Those of the set before, too: clients go on sending what has just been replaced.
    const before = this.#secrets;
    this.#secrets = [...secrets];
    this.#redaction = new Redaction([...before, ...this.#secrets]);
    this.#http.redactBy(this.#redaction);
    this.identitiesChanged(policy);
  }

  identitiesChanged(policy: ObservedPolicy): void {
    this.#connections.policyChanged(policy);
  }

  /** From now on this is the flow of `record`. */
  take(record: RequestRecord): this {
    this.#record = record;
    this.#number++;
    if (this.#missing !== null) this.#missing = null;
    if (this.#rejected !== null) this.#rejected = null;
    this.#http.take(record);
    return this;
  }

  get number(): number {
    return this.#number;
  }

  get ipProtocol(): number {
    return this.#record.meta.transport === 'UDP' ? UDP : TCP;
  }

  get verdict(): FlowVerdict {
    return this.#record.verdict;
  }

  get direction(): Direction {
    const { decision, meta } = this.#record;
    return decision?.half ?? meta.direction;
  }

  get connection(): FlowConnection {
    const { decision, meta } = this.#record;
    const half = decision?.half === 'ingress' ? (meta.second ?? meta) : meta;
    return this.#connections.of(meta, half);
  }

  get source(): FlowSide {
    return this.connection.source;
  }

  get destination(): FlowSide {
    return this.connection.destination;
  }

  get facts(): ProtocolFacts {
    const { head, partial, status, serverName, question } = this.#record;
    if (question !== undefined) return dnsFacts(question);
    if (head !== null || partial !== null || status > 0) return this.#http;
    return serverName === '' ? TRANSPORT : tlsFacts(serverName);
  }

  get decision(): FlowDecision | null {
    return this.#record.decision;
  }

  get shadowDecision(): FlowDecision | null {
    return this.#record.shadowDecision;
  }

  get missing(): readonly LoggedHeader[] {
    const missing = this.#record.decision?.missing ?? NO_HEADERS;
    if (missing.length === 0) return missing;
    this.#missing ??= this.#redacted(missing);
    return this.#missing;
  }

  get rejected(): readonly LoggedHeader[] {
    const rejected = this.#record.decision?.rejected ?? NO_HEADERS;
    if (rejected.length === 0) return rejected;
    this.#rejected ??= this.#redacted(rejected);
    return this.#rejected;
  }

  get isDryRun(): boolean {
    return this.#record.isDryRun;
  }

  get isHalfClosed(): boolean {
    return this.#record.isHalfClosed === true;
  }

  get policyRevision(): number {
    return this.#record.policyRevision;
  }

  get fault(): Fault | null {
    return this.#record.fault;
  }

  get cause(): FlowCause | null {
    return this.#record.cause;
  }

  get responseSource(): ResponseSource {
    return this.#record.responseSource;
  }

  get bytesIn(): number {
    return this.#record.bytesIn;
  }

  get bytesOut(): number {
    return this.#record.bytesOut;
  }

  get endedAtMs(): number {
    return this.#record.endedAtMs;
  }

  get durationMs(): number {
    return this.#record.durationMs;
  }

  get overheadMs(): number {
    return this.#record.overheadMs;
  }

  #redacted(headers: readonly LoggedHeader[]): readonly LoggedHeader[] {
    if (headers.length === 0) return headers;
    return headers.map(([name, value]) => [name, this.#redaction.field(name.toLowerCase(), value)]);
  }
}

const NO_HEADERS: readonly LoggedHeader[] = Object.freeze([]);

function dnsFacts({ name, type, rcode, ips, ttlSeconds }: QuestionFacts): DnsFacts {
  const types = type === '' ? NO_TYPES : [type];
  return { kind: 'dns', query: name, types, responseCode: rcode, ips, ttlSeconds };
}

const NO_TYPES: readonly string[] = Object.freeze([]);

function tlsFacts(serverName: string): TlsFacts {
  return { kind: 'tls', serverName };
}
