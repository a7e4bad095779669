/** Arbitrary flows, plain as they are once they were decoded. */
import fc from 'fast-check';
import { parseIp } from '../../../src/model/address.ts';
import { DENY_REASONS, LAYERS, type RuleRef } from '../../../src/model/decision.ts';
import { DROP_REASONS, type DropReason } from '../../../src/model/drop_reason.ts';
import { FAULTS, type Fault } from '../../../src/model/fault.ts';
import { DETAILS, type Detail } from '../../../src/model/fault_detail.ts';
import type {
  Flow,
  FlowConnection,
  FlowDecision,
  FlowSide,
  HttpFacts,
  KernelFlow,
  ProtocolFacts,
  ProxyFlow,
} from '../../../src/model/flow.ts';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';
import type { BatchOrigin } from '../../../src/observe/flow/wire/flow_batch.ts';

export const ORIGIN: BatchOrigin = { instance: 'instance', node: 'node-1' };

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const word = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 8 });
const count = fc.oneof(fc.nat(300), fc.maxSafeNat());
const float = fc.double({ noNaN: true });
const direction = fc.constantFrom('ingress' as const, 'egress' as const);
const headers = fc.array(fc.tuple(text, text), { maxLength: 3 });
const orNull = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(one, { nil: null });
const keyOf = <Key extends string>(words: Readonly<Record<Key, unknown>>): fc.Arbitrary<Key> =>
  fc.constantFrom(...(Object.keys(words) as Key[]));
const ip = fc.oneof(fc.ipV4(), fc.ipV6()).map((one) => {
  const parsed = parseIp(one);
  if (parsed === null) throw new Error(`no address: ${one}`);
  return parsed.text;
});

const side: fc.Arbitrary<FlowSide> = fc.record({
  ip,
  port: fc.nat(65_535).map((port) => port as Port),
  identity: orNull(fc.nat(0xffff_ffff).map((identity) => identity as Identity)),
  labels: fc.array(text, { maxLength: 3 }),
  namespace: text,
  pod: text,
  workload: orNull(fc.record({ kind: word, name: word })),
  names: fc.array(text, { maxLength: 2 }),
  service: orNull(fc.record({ namespace: word, name: word })),
});

const connection: fc.Arbitrary<FlowConnection> = fc.record({
  id: count,
  listener: text,
  proxyId: fc.nat(65_535).map((id) => id as ProxyId),
  direction,
  source: side,
  destination: side,
  endpoint: text,
  identitySource: fc.constantFrom('endpoints' as const, 'none' as const),
});

const rule: fc.Arbitrary<RuleRef> = fc.record({ policy: text, rule: text, index: fc.nat() });

const decision: fc.Arbitrary<FlowDecision> = fc
  .record({
    verdict: fc.constantFrom('allow' as const, 'deny' as const),
    layer: fc.constantFrom(...LAYERS),
    reason: orNull(keyOf(DENY_REASONS)),
    rule: orNull(rule),
    half: orNull(direction),
    otherRule: orNull(rule),
  })
  .map(({ half, ...rest }) => (half === null ? rest : { ...rest, half }));

const http: fc.Arbitrary<HttpFacts> = fc
  .record({
    kind: fc.constant('http' as const),
    seen: fc.constantFrom('whole' as const, 'part' as const, 'nothing' as const),
    version: fc.constantFrom(
      '' as const,
      'HTTP/1.0' as const,
      'HTTP/1.1' as const,
      'HTTP/2' as const,
    ),
    method: text,
    scheme: text,
    host: text,
    path: text,
    isCut: fc.boolean(),
    status: fc.nat(999),
    serverName: text,
    grpc: orNull(fc.record({ service: text, method: text, status: orNull(fc.nat(20)) })),
    trace: orNull(fc.record({ traceId: word, spanId: word })),
    headers,
  })
  .map((facts) => ({ ...facts, isGrpc: facts.grpc !== null }));

const facts: fc.Arbitrary<ProtocolFacts> = fc.oneof(
  { weight: 4, arbitrary: http },
  fc.constant({ kind: 'transport' as const }),
  fc.record({ kind: fc.constant('tls' as const), serverName: text }),
  fc.record({
    kind: fc.constant('dns' as const),
    query: text,
    types: fc.array(word, { maxLength: 2 }),
    responseCode: orNull(fc.nat(23)),
    ips: fc.array(ip, { maxLength: 2 }),
    ttlSeconds: fc.nat(),
  }),
);

const base = {
  number: count,
  endedAtMs: float,
  isReply: orNull(fc.boolean()),
  ipProtocol: fc.nat(255),
};

/** Connections and decisions come again, as they do: the same object in several flows. */
export const anyFlows: fc.Arbitrary<readonly Flow[]> = fc
  .tuple(
    fc.array(connection, { minLength: 1, maxLength: 3 }),
    fc.array(decision, { minLength: 1, maxLength: 3 }),
  )
  .chain(([connections, decisions]) =>
    fc.array(fc.oneof(proxyFlow(connections, decisions), kernelFlow()), { maxLength: 12 }),
  );

function proxyFlow(
  connections: readonly FlowConnection[],
  decisions: readonly FlowDecision[],
): fc.Arbitrary<ProxyFlow> {
  return fc
    .record({
      ...base,
      direction,
      connection: fc.constantFrom(...connections),
      verdict: fc.constantFrom('forwarded' as const, 'denied' as const, 'error' as const),
      isDryRun: fc.boolean(),
      isHalfClosed: fc.boolean(),
      decision: orNull(fc.constantFrom(...decisions)),
      shadowDecision: orNull(fc.constantFrom(...decisions)),
      policyRevision: count,
      missing: headers,
      rejected: headers,
      fault: orNull(keyOf(FAULTS as Readonly<Record<Fault, unknown>>)),
      cause: orNull(
        fc.record({
          detail: keyOf(DETAILS as Readonly<Record<Detail, unknown>>),
          offset: fc.integer({ min: -1, max: 100_000 }),
          byte: fc.integer({ min: -1, max: 255 }),
        }),
      ),
      responseSource: fc.constantFrom('upstream' as const, 'local' as const, 'none' as const),
      bytesIn: count,
      bytesOut: count,
      durationMs: float,
      overheadMs: float,
      facts,
    })
    .map((flow) => ({
      origin: 'proxy' as const,
      ...ORIGIN,
      ...flow,
      source: flow.connection.source,
      destination: flow.connection.destination,
    }));
}

function kernelFlow(): fc.Arbitrary<KernelFlow> {
  return fc
    .record({
      ...base,
      direction: orNull(direction),
      source: side,
      destination: side,
      verdict: fc.constantFrom('denied' as const, 'redirected' as const),
      dropReason: orNull(keyOf(DROP_REASONS as Readonly<Record<DropReason, unknown>>)),
      count,
    })
    .map((flow) => ({ origin: 'kernel' as const, ...ORIGIN, ...flow }));
}
