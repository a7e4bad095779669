/** Flows from the bytes of flow_batch.ts: plain objects, to be kept as long as one likes. */
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
import type { Identity, Port, ProxyId } from '../../../model/identity.ts';
import { ByteReader } from './byte_reader.ts';
import {
  type BatchOrigin,
  COUNT_OFFSET,
  HAS_TRACE,
  IS_CUT,
  IS_DRY_RUN,
  IS_GRPC,
  IS_HALF_CLOSED,
  KIND_KERNEL,
  KIND_LOST,
  KIND_PROXY,
  WIRE_VERSION,
} from './flow_batch.ts';

/** In order: a flow, or a number of flows that were left out there. */
export type BatchItem = Flow | number;

/** Throws a RangeError for what is no batch of this version. */
export function decodeBatch(bytes: Uint8Array): readonly BatchItem[] {
  const from = new ByteReader(bytes);
  const version = from.byte();
  if (version !== WIRE_VERSION) throw new RangeError(`flows of version ${version}`);
  const count = from.fixed();
  const origin = { instance: from.word(), node: from.word() };
  const items: BatchItem[] = [];
  while (!from.isAtEnd) items.push(readItem(from, origin));
  const flowCount = items.filter((item) => typeof item !== 'number').length;
  if (flowCount !== count) throw new RangeError(`${flowCount} flows in a batch of ${count}`);
  return items;
}

/** Without decoding it. */
export function flowCountOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(COUNT_OFFSET, true);
}

function readItem(from: ByteReader, origin: BatchOrigin): BatchItem {
  const kind = from.byte();
  switch (kind) {
    case KIND_PROXY:
      return readProxyFlow(from, origin);
    case KIND_KERNEL:
      return readKernelFlow(from, origin);
    case KIND_LOST:
      return from.number();
    default:
      throw new RangeError(`a flow of kind ${kind}`);
  }
}

type Base = Omit<FlowBase, 'direction' | 'source' | 'destination'>;

function readProxyFlow(from: ByteReader, origin: BatchOrigin): ProxyFlow {
  const base = readBase(from, origin);
  const direction = from.word() as ProxyFlow['direction'];
  const connection = from.shared(() => readConnection(from));
  const verdict = from.word() as ProxyFlow['verdict'];
  const flags = from.byte();
  return {
    origin: 'proxy',
    ...base,
    direction,
    connection,
    source: connection.source,
    destination: connection.destination,
    verdict,
    isDryRun: (flags & IS_DRY_RUN) !== 0,
    isHalfClosed: (flags & IS_HALF_CLOSED) !== 0,
    decision: readDecision(from),
    shadowDecision: readDecision(from),
    policyRevision: from.number(),
    missing: readHeaders(from),
    rejected: readHeaders(from),
    fault: orNull(from.word()) as ProxyFlow['fault'],
    cause: readCause(from),
    responseSource: from.word() as ProxyFlow['responseSource'],
    bytesIn: from.number(),
    bytesOut: from.number(),
    durationMs: from.float(),
    overheadMs: from.float(),
    facts: readFacts(from),
  };
}

function readKernelFlow(from: ByteReader, origin: BatchOrigin): KernelFlow {
  return {
    origin: 'kernel',
    ...readBase(from, origin),
    direction: orNull(from.word()) as KernelFlow['direction'],
    source: readSide(from),
    destination: readSide(from),
    verdict: from.word() as KernelFlow['verdict'],
    dropReason: orNull(from.word()) as KernelFlow['dropReason'],
    count: from.number(),
  };
}

function readBase(from: ByteReader, origin: BatchOrigin): Base {
  const number = from.number();
  const endedAtMs = from.float();
  const reply = from.byte();
  return {
    ...origin,
    number,
    endedAtMs,
    isReply: reply === 0 ? null : reply === 2,
    ipProtocol: from.byte(),
  };
}

function readConnection(from: ByteReader): FlowConnection {
  return {
    id: from.number(),
    listener: from.word(),
    proxyId: from.number() as ProxyId,
    direction: from.word() as FlowConnection['direction'],
    source: readSide(from),
    destination: readSide(from),
    endpoint: from.word(),
    identitySource: from.word() as FlowConnection['identitySource'],
  };
}

function readSide(from: ByteReader): FlowSide {
  const ip = from.word() as FlowSide['ip'];
  const port = from.number() as Port;
  const identity = from.number();
  const labels = from.words();
  const namespace = from.word();
  const pod = from.word();
  const kind = from.word();
  const name = from.word();
  const names = from.words();
  const ofService = { namespace: from.word(), name: from.word() };
  return {
    ip,
    port,
    identity: identity === 0 ? null : ((identity - 1) as Identity),
    labels,
    namespace,
    pod,
    workload: kind === '' ? null : { kind, name },
    names,
    service: ofService.name === '' ? null : ofService,
  };
}

function readDecision(from: ByteReader): FlowDecision | null {
  if (from.byte() === 0) return null;
  return from.shared(() => {
    const verdict = from.word() as FlowDecision['verdict'];
    const layer = from.word() as FlowDecision['layer'];
    const reason = orNull(from.word()) as FlowDecision['reason'];
    const half = orNull(from.word()) as NonNullable<FlowDecision['half']> | null;
    const rule = readRule(from);
    const otherRule = readRule(from);
    return { verdict, layer, reason, rule, ...(half === null ? {} : { half }), otherRule };
  });
}

function readRule(from: ByteReader): RuleRef | null {
  if (from.byte() === 0) return null;
  return { policy: from.word(), rule: from.word(), index: from.number() };
}

function readHeaders(from: ByteReader): readonly LoggedHeader[] {
  return from.list(() => [from.word(), from.text()] as const);
}

function readCause(from: ByteReader): FlowCause | null {
  const detail = from.word();
  if (detail === '') return null;
  return {
    detail: detail as FlowCause['detail'],
    offset: from.number() - 1,
    byte: from.number() - 1,
  };
}

function readFacts(from: ByteReader): ProtocolFacts {
  const kind = from.word() as ProtocolFacts['kind'];
  switch (kind) {
    case 'transport':
      return { kind };
    case 'tls':
      return { kind, serverName: from.word() };
    case 'http':
      return readHttp(from);
    case 'dns':
      return {
        kind,
        query: from.text(),
        types: from.words(),
        responseCode: numberOrNull(from.number()),
        ips: from.words() as FlowSide['ip'][],
        ttlSeconds: from.number(),
      };
    default:
      throw new RangeError('facts of an unknown protocol');
  }
}

function readHttp(from: ByteReader): HttpFacts {
  const seen = from.word() as HttpFacts['seen'];
  const flags = from.byte();
  const isGrpc = (flags & IS_GRPC) !== 0;
  return {
    kind: 'http',
    seen,
    isCut: (flags & IS_CUT) !== 0,
    isGrpc,
    version: from.word() as HttpFacts['version'],
    method: from.word(),
    scheme: from.word(),
    host: from.word(),
    path: from.text(),
    status: from.number(),
    serverName: from.word(),
    grpc: isGrpc
      ? { service: from.word(), method: from.word(), status: numberOrNull(from.number()) }
      : null,
    trace: (flags & HAS_TRACE) === 0 ? null : { traceId: from.text(), spanId: from.text() },
    headers: readHeaders(from),
  };
}

/** Stands one higher on the wire, so that 0 is none. */
function numberOrNull(value: number): number | null {
  return value === 0 ? null : value - 1;
}

function orNull(word: string): string | null {
  return word === '' ? null : word;
}
