/**
 * hot path
 *
 * Flows as bytes, for the way from a worker to the supervisor. A batch stands for itself: nothing in it refers to
 * another one, so that one that is lost costs its own flows only. `decodeBatch` (decode_batch.ts) reads it.
 *
 *     version │ count of flows │ instance │ node │ flow, flow, lost, flow, ...
 *     flow: kind │ ... │ connection, decision, words: by number, in full where they come first in the batch
 */
import type { LoggedHeader, RuleRef } from '../../../model/decision.ts';
import type {
  Flow,
  FlowBase,
  FlowCause,
  FlowConnection,
  FlowDecision,
  FlowSide,
  HttpFacts,
  KernelFlow,
  ProtocolFacts,
  ProxyFlow,
} from '../../../model/flow.ts';
import { ByteWriter } from './byte_writer.ts';

export const WIRE_VERSION = 2;

export const KIND_PROXY = 0;
export const KIND_KERNEL = 1;
export const KIND_LOST = 2;

export const IS_DRY_RUN = 1;
export const IS_HALF_CLOSED = 2;
export const IS_CUT = 1;
export const IS_GRPC = 2;
export const HAS_TRACE = 4;

/** Behind the version. */
export const COUNT_OFFSET = 1;

/** A client's text may be as long as a head; of a longer one this much is told. */
export const TEXT_LENGTH_MAX = 2048;

export interface BatchOrigin {
  readonly instance: string;
  readonly node: string;
}

export class FlowBatch {
  readonly #origin: BatchOrigin;
  readonly #writer = new ByteWriter();
  #count = 0;

  constructor(origin: BatchOrigin) {
    this.#origin = origin;
  }

  get isEmpty(): boolean {
    return this.#writer.byteLength === 0;
  }

  get byteLength(): number {
    return this.#writer.byteLength;
  }

  add(flow: Flow): void {
    this.#begin();
    this.#count++;
    if (flow.origin === 'proxy') writeProxyFlow(this.#writer, flow);
    else writeKernelFlow(this.#writer, flow);
  }

  /** So many flows were left out here. */
  addLost(count: number): void {
    this.#begin();
    this.#writer.byte(KIND_LOST);
    this.#writer.number(count);
  }

  take(): Uint8Array {
    this.#writer.fixed(this.#count, COUNT_OFFSET);
    this.#count = 0;
    return this.#writer.take();
  }

  #begin(): void {
    if (!this.isEmpty) return;
    const writer = this.#writer;
    writer.byte(WIRE_VERSION);
    writer.fixed(0);
    writer.word(this.#origin.instance);
    writer.word(this.#origin.node);
  }
}

function writeProxyFlow(to: ByteWriter, flow: ProxyFlow): void {
  to.byte(KIND_PROXY);
  writeBase(to, flow);
  to.word(flow.direction);
  if (to.isNew(flow.connection)) writeConnection(to, flow.connection);
  to.word(flow.verdict);
  to.byte((flow.isDryRun ? IS_DRY_RUN : 0) | (flow.isHalfClosed ? IS_HALF_CLOSED : 0));
  writeDecision(to, flow.decision);
  writeDecision(to, flow.shadowDecision);
  to.number(flow.policyRevision);
  writeHeaders(to, flow.missing);
  writeHeaders(to, flow.rejected);
  to.word(flow.fault ?? '');
  writeCause(to, flow.cause);
  to.word(flow.responseSource);
  to.number(flow.bytesIn);
  to.number(flow.bytesOut);
  to.float(flow.durationMs);
  to.float(flow.overheadMs);
  writeFacts(to, flow.facts);
}

function writeKernelFlow(to: ByteWriter, flow: KernelFlow): void {
  to.byte(KIND_KERNEL);
  writeBase(to, flow);
  to.word(flow.direction ?? '');
  writeSide(to, flow.source);
  writeSide(to, flow.destination);
  to.word(flow.verdict);
  to.word(flow.dropReason ?? '');
  to.number(flow.count);
}

function writeBase(to: ByteWriter, flow: FlowBase): void {
  to.number(flow.number);
  to.float(flow.endedAtMs);
  to.byte(flow.isReply === null ? 0 : flow.isReply ? 2 : 1);
  to.byte(flow.ipProtocol);
}

function writeConnection(to: ByteWriter, connection: FlowConnection): void {
  to.number(connection.id);
  to.word(connection.listener);
  to.number(connection.proxyId);
  to.word(connection.direction);
  writeSide(to, connection.source);
  writeSide(to, connection.destination);
  to.word(connection.endpoint);
  to.word(connection.identitySource);
}

function writeSide(to: ByteWriter, side: FlowSide): void {
  to.word(side.ip);
  to.number(side.port);
  to.number(side.identity === null ? 0 : side.identity + 1);
  to.words(side.labels);
  to.word(side.namespace);
  to.word(side.pod);
  to.word(side.workload?.kind ?? '');
  to.word(side.workload?.name ?? '');
  to.words(side.names);
  to.word(side.service?.namespace ?? '');
  to.word(side.service?.name ?? '');
}

function writeDecision(to: ByteWriter, decision: FlowDecision | null): void {
  to.byte(decision === null ? 0 : 1);
  if (decision === null || !to.isNew(decision)) return;
  to.word(decision.verdict);
  to.word(decision.layer);
  to.word(decision.reason ?? '');
  to.word(decision.half ?? '');
  writeRule(to, decision.rule);
  writeRule(to, decision.otherRule ?? null);
}

function writeRule(to: ByteWriter, rule: RuleRef | null): void {
  to.byte(rule === null ? 0 : 1);
  if (rule === null) return;
  to.word(rule.policy);
  to.word(rule.rule);
  to.number(rule.index);
}

function writeHeaders(to: ByteWriter, headers: readonly LoggedHeader[]): void {
  to.number(headers.length);
  for (const [name, value] of headers) {
    to.word(name);
    to.text(cut(value));
  }
}

function writeCause(to: ByteWriter, cause: FlowCause | null): void {
  to.word(cause?.detail ?? '');
  if (cause === null) return;
  to.number(cause.offset + 1);
  to.number(cause.byte + 1);
}

function writeFacts(to: ByteWriter, facts: ProtocolFacts): void {
  to.word(facts.kind);
  switch (facts.kind) {
    case 'transport':
      break;
    case 'tls':
      to.word(cut(facts.serverName));
      break;
    case 'http':
      writeHttp(to, facts);
      break;
    case 'dns':
      to.text(facts.query);
      to.words(facts.types);
      to.number(facts.responseCode === null ? 0 : facts.responseCode + 1);
      to.words(facts.ips);
      to.number(facts.ttlSeconds);
      break;
  }
}

function writeHttp(to: ByteWriter, http: HttpFacts): void {
  const { method, host, path, grpc, trace } = http;
  const isCut = http.isCut || isLong(method) || isLong(host) || isLong(path);
  to.word(http.seen);
  to.byte((isCut ? IS_CUT : 0) | (grpc === null ? 0 : IS_GRPC) | (trace === null ? 0 : HAS_TRACE));
  to.word(http.version);
  to.word(cut(method));
  to.word(http.scheme);
  to.word(cut(host));
  to.text(cut(path));
  to.number(http.status);
  to.word(http.serverName);
  if (grpc !== null) {
    to.word(cut(grpc.service));
    to.word(cut(grpc.method));
    to.number(grpc.status === null ? 0 : grpc.status + 1);
  }
  if (trace !== null) {
    to.text(trace.traceId);
    to.text(trace.spanId);
  }
  writeHeaders(to, http.headers);
}

function isLong(text: string): boolean {
  return text.length > TEXT_LENGTH_MAX;
}

function cut(text: string): string {
  return isLong(text) ? text.slice(0, TEXT_LENGTH_MAX) : text;
}
