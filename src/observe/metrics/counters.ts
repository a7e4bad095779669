/**
 * hot path
 *
 * What one worker counts. Every label is a word known at the start, so an event is a few additions;
 * `families` turns the numbers into plain data that travels to the supervisor (MetricsHub).
 */

import { DENY_REASONS, type DenyReason, LAYERS } from '../../model/decision.ts';
import { FAULTS, type Fault } from '../../model/fault.ts';
import { causeOf, DETAILS, type Detail, upstreamFaultOf } from '../../model/fault_detail.ts';
import type { FlowCause, FlowDecision, HttpFacts, ProxyFlow } from '../../model/flow.ts';
import type { Direction } from '../../model/identity.ts';
import type {
  CloseCause,
  EvictionBound,
  FlowVerdict,
  HeldOutcome,
  HolderCounts,
  PlaneEvents,
  ResponseSource,
  ShareState,
  UpstreamConnectOutcome,
} from '../../model/record.ts';
import type { Steps } from '../../model/steps.ts';
import {
  OWN_RESET_CAUSES,
  PEER_RESET_CAUSES,
  type ResetBy,
  type ResetCause,
} from '../../model/stream_reset.ts';
import type { FlowSink } from '../flow/flow_sink.ts';
import type { ObservedPolicy } from '../observed_policy.ts';
import {
  CounterCells,
  type Dimension,
  dimension,
  HistogramCells,
  type MetricSample,
} from './cells.ts';
import { familyOf, type MetricFamily } from './family.ts';
import { QuestionCounters } from './question_counters.ts';
import { RuleHits } from './rule_hits.ts';
import { METRICS, type MetricName } from './table.ts';
import type { WorkerLoad } from './worker_families.ts';

/** What one process has counted so far: plain data. */
export interface MetricsSnapshot {
  /** The slot; a worker that takes the place of a dead one has the same. */
  readonly workerIndex: number;
  /** Unique: tells a worker from the one whose place it took. */
  readonly instanceId: string;
  readonly families: readonly MetricFamily[];
}

export interface WorkerCounterOptions {
  /** Names of the listeners; any other is counted as "other". */
  readonly listeners: readonly string[];
  /** `limits.metricPolicyLabelCountMax`. */
  readonly ruleCountMax: number;
}

const NOTHING_HELD: HolderCounts = {
  identities: 0,
  addresses: 0,
  largestIdentity: 0,
  largestAddress: 0,
};
const NO_POLICY = { rules: [], policyNames: [] } as const;

export class WorkerCounters implements FlowSink, PlaneEvents {
  readonly #cells: Cells;
  readonly #questions = new QuestionCounters();
  readonly #listeners: ReadonlyMap<string, number>;
  readonly #opened: Float64Array;
  readonly #closed: Float64Array;
  readonly #streamsOpen: Float64Array;
  readonly #ruleHits: RuleHits;
  readonly #shadowRuleHits: RuleHits;
  #held: HolderCounts = NOTHING_HELD;
  #ruleCount = 0;
  #requestCount = 0;

  constructor(options: WorkerCounterOptions) {
    const names = [...new Set(options.listeners)].filter((name) => name !== OTHER);
    names.push(OTHER);
    this.#listeners = new Map(names.map((name, index) => [name, index]));
    this.#cells = makeCells(names);
    this.#opened = new Float64Array(names.length);
    this.#closed = new Float64Array(names.length);
    this.#streamsOpen = new Float64Array(names.length);
    this.#ruleHits = new RuleHits(options.ruleCountMax);
    this.#shadowRuleHits = new RuleHits(options.ruleCountMax);
  }

  /** Makes counters for the rules of a policy that is about to come. */
  *prepare(policy: ObservedPolicy): Steps<void> {
    yield* this.#ruleHits.prepare(policy);
    yield* this.#shadowRuleHits.prepare(policy.shadow ?? NO_POLICY);
  }

  /** Not for the hot path: rules get their counters. */
  policyChanged(policy: ObservedPolicy): void {
    this.#ruleCount = policy.rules.length;
    this.#ruleHits.replace(policy);
    this.#shadowRuleHits.replace(policy.shadow ?? NO_POLICY);
  }

  flow(flow: ProxyFlow): void {
    const cells = this.#cells;
    const direction = flow.direction === 'ingress' ? 0 : 1;
    this.#countDecision(flow, direction);
    const { facts, bytesIn, bytesOut } = flow;
    if (facts.kind === 'http') this.#countRequest(flow, facts, direction);
    else if (facts.kind === 'dns') this.#questions.count(flow, facts);
    if (bytesIn > 0) cells.bytes.add(direction, bytesIn);
    if (bytesOut > 0) cells.bytes.add(2 + direction, bytesOut);
    if (flow.fault !== null) this.#countFault(flow.fault, flow.cause);
  }

  /** Numbers wait for nobody. */
  async close(): Promise<void> {}

  connectionOpened(listener: string): void {
    const index = this.#listenerIndex(listener);
    this.#opened[index] = (this.#opened[index] as number) + 1;
    this.#cells.opened.add(index, 1);
  }

  connectionClosed(listener: string, cause: CloseCause): void {
    const index = this.#listenerIndex(listener);
    this.#closed[index] = (this.#closed[index] as number) + 1;
    this.#cells.closed.add(index * CAUSES.length + CAUSES.indexOf(cause), 1);
    if (cause === 'policy-changed') this.#cells.terminated.add(0, 1);
  }

  upstreamConnected(listener: string, outcome: UpstreamConnectOutcome, durationMs: number): void {
    const index = this.#listenerIndex(listener) * OUTCOMES.length + OUTCOMES.indexOf(outcome);
    this.#cells.connects.add(index, 1);
    if (outcome === 'connected') this.#cells.connectDuration.observe(0, durationMs / 1000);
  }

  upstreamRetried(listener: string): void {
    this.#cells.retries.add(this.#listenerIndex(listener), 1);
  }

  streamsOpened(listener: string, count: number): void {
    const index = this.#listenerIndex(listener);
    this.#streamsOpen[index] = (this.#streamsOpen[index] as number) + count;
    this.#cells.streamsOpened.add(index, count);
  }

  streamsClosed(listener: string, count: number): void {
    const index = this.#listenerIndex(listener);
    this.#streamsOpen[index] = (this.#streamsOpen[index] as number) - count;
  }

  streamsReset(by: ResetBy, cause: ResetCause, count: number): void {
    const index = RESET_INDEXES.get(`${by} ${cause}`);
    if (index !== undefined) this.#cells.streamsReset.add(index, count);
  }

  dnsMessageIgnored(from: 'downstream' | 'upstream'): void {
    this.#questions.ignored(from);
  }

  dnsAnswerHeld(outcome: HeldOutcome): void {
    this.#questions.held(outcome);
  }

  evicted(bound: EvictionBound, state: ShareState): void {
    const index = BOUNDS.indexOf(bound) * SHARE_STATES.length + SHARE_STATES.indexOf(state);
    this.#cells.evictions.add(index, 1);
  }

  held(counts: HolderCounts): void {
    this.#held = counts;
  }

  internalError(): void {
    this.#cells.internalErrors.add(0, 1);
  }

  eventLoopDelayed(delayMs: number): void {
    this.#cells.loopDelay.observe(0, Math.max(0, delayMs) / 1000);
  }

  /** Over all listeners. */
  load(): WorkerLoad {
    const sum = (cells: Float64Array): number => cells.reduce((total, value) => total + value, 0);
    return {
      connectionsOpen: sum(this.#opened) - sum(this.#closed),
      streamsOpen: sum(this.#streamsOpen),
      requests: this.#requestCount,
    };
  }

  families(): MetricFamily[] {
    const { families } = this.#cells;
    return [
      ...families.map(({ name, cells }) => ({ name, samples: cells.samples() })),
      ...this.#questions.families(),
      {
        name: 'sallyport_connections_open',
        samples: this.#byListener((i) => (this.#opened[i] as number) - (this.#closed[i] as number)),
      },
      {
        name: 'sallyport_http2_streams_open',
        samples: this.#byListener((i) => this.#streamsOpen[i] as number),
      },
      { name: 'sallyport_holders', samples: byKind(this.#held.identities, this.#held.addresses) },
      {
        name: 'sallyport_largest_holder_connections',
        samples: byKind(this.#held.largestIdentity, this.#held.largestAddress),
      },
      familyOf('sallyport_policy_rules', this.#ruleCount),
      { name: 'sallyport_policy_rule_hits_total', samples: this.#ruleHits.hitSamples() },
      {
        name: 'sallyport_policy_rule_last_match_timestamp_seconds',
        samples: this.#ruleHits.lastMatchSamples(),
      },
      {
        name: 'sallyport_policy_shadow_rule_hits_total',
        samples: this.#shadowRuleHits.hitSamples(),
      },
    ];
  }

  #countRequest(flow: ProxyFlow, http: HttpFacts, direction: number): void {
    const cells = this.#cells;
    const isWhole = http.seen === 'whole';
    if (!isWhole && http.status === 0) return;
    const method = methodIndex(isWhole ? http.method : NO_METHOD);
    const status = statusIndex(http.status);
    const source = SOURCES.indexOf(flow.responseSource);
    const index = ((method * STATUSES.length + status) * 2 + direction) * SOURCES.length + source;
    cells.requests.add(index, 1);
    this.#requestCount++;
    const verdict = FLOW_VERDICTS.indexOf(flow.verdict);
    cells.duration.observe(direction * FLOW_VERDICTS.length + verdict, flow.durationMs / 1000);
    if (flow.decision !== null) cells.overhead.observe(direction, flow.overheadMs / 1000);
  }

  #countDecision(flow: ProxyFlow, direction: number): void {
    const { decision, shadowDecision } = flow;
    const atMs = flow.endedAtMs;
    if (decision !== null) {
      this.#cells.decisions.add(decisionIndex(decision, direction), 1);
      if (decision.rule !== null) {
        this.#ruleHits.count(decision.rule, decision.verdict === 'allow', atMs);
      }
      if (decision.verdict === 'allow' && decision.otherRule) {
        this.#ruleHits.count(decision.otherRule, true, atMs);
      }
      if (decision.reason === 'regex-out-of-memory') this.#cells.regexFailures.add(direction, 1);
      if (decision.reason === 'regex-budget') this.#cells.regexBudgets.add(direction, 1);
      if (flow.isDryRun) this.#cells.dryRunDenials.add(direction, 1);
    }
    if (shadowDecision === null) return;
    this.#cells.shadowDecisions.add(decisionIndex(shadowDecision, direction), 1);
    if (shadowDecision.rule !== null) {
      this.#shadowRuleHits.count(shadowDecision.rule, shadowDecision.verdict === 'allow', atMs);
    }
  }

  #countFault(fault: Fault, cause: FlowCause | null): void {
    const detailed = cause === null ? undefined : FAULT_INDEXES.get(`${fault} ${cause.detail}`);
    const index = detailed ?? FAULT_INDEXES.get(`${fault} none`);
    if (index !== undefined) this.#cells.faults.add(index, 1);
  }

  #listenerIndex(listener: string): number {
    return this.#listeners.get(listener) ?? this.#listeners.size - 1;
  }

  #byListener(valueAt: (index: number) => number): MetricSample[] {
    return [...this.#listeners].map(([listener, index]) => ({
      suffix: '' as const,
      labels: { listener },
      value: valueAt(index),
    }));
  }
}

const OTHER = 'other';
const NO_METHOD = '';
const VERDICTS = ['allow', 'deny'] as const;
const DIRECTIONS = wordsOf<Direction>({ ingress: true, egress: true });
const SOURCES = wordsOf<ResponseSource>({ upstream: true, local: true, none: true });
const FLOW_VERDICTS = wordsOf<FlowVerdict>({ forwarded: true, denied: true, error: true });
const OUTCOMES = wordsOf<UpstreamConnectOutcome>({ connected: true, failed: true, timeout: true });
const CAUSES = wordsOf<CloseCause>({
  finished: true,
  'downstream-closed': true,
  'half-closed': true,
  'upstream-closed': true,
  fault: true,
  denied: true,
  timeout: true,
  'policy-changed': true,
  overloaded: true,
  evicted: true,
  drained: true,
});
const BOUNDS = wordsOf<EvictionBound>({
  connections: true,
  requests: true,
  memory: true,
  questions: true,
});
const SHARE_STATES = wordsOf<ShareState>({ spare: true, idle: true, busy: true });
/** Index 0: the decision was an allow, which has no reason. */
const REASONS = ['none', ...(Object.keys(DENY_REASONS) as DenyReason[])];
const REASON_INDEXES: ReadonlyMap<string, number> = indexesOf(REASONS);
const FAULT_LABELS = faultLabels();
const FAULT_INDEXES: ReadonlyMap<string, number> = indexesOf(
  FAULT_LABELS.map(({ fault, detail }) => `${fault} ${detail}`),
);
/** Each peer has its own words, so that what never is has no cell. */
const RESETS: readonly { readonly by: ResetBy; readonly cause: ResetCause }[] = [
  ...PEER_RESET_CAUSES.map((cause) => ({ by: 'downstream' as const, cause })),
  ...PEER_RESET_CAUSES.map((cause) => ({ by: 'upstream' as const, cause })),
  ...OWN_RESET_CAUSES.map((cause) => ({ by: 'proxy' as const, cause })),
];
const RESET_INDEXES = indexesOf(RESETS.map(({ by, cause }) => `${by} ${cause}`));
/** RFC 9110 9 and RFC 5789. A method is the client's choice, so any other is "other". */
const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  OTHER,
  /** The request line could not be read. */
  'none',
];
const METHOD_INDEXES: ReadonlyMap<string, number> = indexesOf(METHODS.slice(0, -2));
/**
 * The registered status codes. Written out: node:http has them too, and costs a worker 16 MB that
 * never speaks HTTP by it.
 */
const REGISTERED_STATUSES = [
  ...['100', '101', '102', '103'],
  ...['200', '201', '202', '203', '204', '205', '206', '207', '208', '226'],
  ...['300', '301', '302', '303', '304', '305', '307', '308'],
  ...['400', '401', '402', '403', '404', '405', '406', '407', '408', '409', '410', '411', '412'],
  ...['413', '414', '415', '416', '417', '418', '421', '422', '423', '424', '425', '426', '428'],
  ...['429', '431', '451'],
  ...['500', '501', '502', '503', '504', '505', '506', '507', '508', '509', '510', '511'],
] as const;
/** No response; registered codes; classes of the others. */
const STATUSES = ['none', ...REGISTERED_STATUSES, '1xx', '2xx', '3xx', '4xx', '5xx', OTHER];
const STATUS_INDEXES = statusIndexes();

/** Every word of a type: one that is forgotten here would be counted in another's cell. */
function wordsOf<Word extends string>(words: Readonly<Record<Word, true>>): readonly Word[] {
  return Object.keys(words) as Word[];
}

function byKind(identity: number, address: number): MetricSample[] {
  return [
    { suffix: '', labels: { by: 'identity' }, value: identity },
    { suffix: '', labels: { by: 'address' }, value: address },
  ];
}

function methodIndex(method: string): number {
  if (method === NO_METHOD) return METHODS.length - 1;
  return METHOD_INDEXES.get(method) ?? METHODS.length - 2;
}

function statusIndex(status: number): number {
  return STATUS_INDEXES[status] ?? STATUSES.length - 1;
}

function statusIndexes(): readonly number[] {
  const byName = indexesOf(STATUSES);
  return Array.from({ length: 600 }, (_, status) => {
    if (status === 0) return 0;
    const own = byName.get(String(status)) ?? byName.get(`${Math.floor(status / 100)}xx`);
    return own ?? STATUSES.length - 1;
  });
}

type FaultLabels = Readonly<Record<string, string>> & {
  readonly fault: Fault;
  readonly detail: Detail | 'none';
};

/** Each fault alone, then with the details that it can have: no other pair has a cell. */
function faultLabels(): readonly FaultLabels[] {
  const alone = (Object.keys(FAULTS) as Fault[]).map((fault) => ({
    fault,
    blame: FAULTS[fault].blame,
    detail: 'none' as const,
  }));
  const detailed = (Object.keys(DETAILS) as Detail[]).flatMap((detail) => {
    const cause = causeOf(detail);
    const faults = new Set([cause.fault, upstreamFaultOf(cause), 'malformed-response' as const]);
    return [...faults].map((fault) => ({ fault, blame: FAULTS[fault].blame, detail }));
  });
  return [...alone, ...detailed];
}

function decisionIndex(decision: FlowDecision, direction: number): number {
  const verdict = decision.verdict === 'allow' ? 0 : 1;
  const layer = LAYERS.indexOf(decision.layer);
  const reason = decision.reason === null ? 0 : (REASON_INDEXES.get(decision.reason) ?? 0);
  return ((verdict * 2 + direction) * LAYERS.length + layer) * REASONS.length + reason;
}

function indexesOf(values: readonly string[]): Map<string, number> {
  return new Map(values.map((value, index) => [value, index]));
}

type Cells = ReturnType<typeof makeCells>;

function makeCells(listenerNames: readonly string[]) {
  const families: { name: MetricName; cells: CounterCells | HistogramCells }[] = [];
  const counter = (name: MetricName, dimensions: readonly Dimension[]): CounterCells => {
    const cells = new CounterCells(dimensions);
    families.push({ name, cells });
    return cells;
  };
  const histogram = (name: MetricName, dimensions: readonly Dimension[]): HistogramCells => {
    const cells = new HistogramCells(dimensions, METRICS[name].buckets);
    families.push({ name, cells });
    return cells;
  };
  const direction = dimension('direction', DIRECTIONS);
  const listener = dimension('listener', listenerNames);
  const decision = [
    dimension('verdict', VERDICTS),
    direction,
    dimension('layer', LAYERS),
    dimension('reason', REASONS),
  ];
  return {
    families,
    decisions: counter('sallyport_policy_decisions_total', decision),
    shadowDecisions: counter('sallyport_policy_shadow_decisions_total', decision),
    dryRunDenials: counter('sallyport_policy_dry_run_denials_total', [direction]),
    regexFailures: counter('sallyport_regex_failures_total', [direction]),
    regexBudgets: counter('sallyport_regex_budget_denials_total', [direction]),
    requests: counter('sallyport_http_requests_total', [
      dimension('method', METHODS),
      dimension('status', STATUSES),
      direction,
      dimension('response_source', SOURCES),
    ]),
    duration: histogram('sallyport_http_request_duration_seconds', [
      direction,
      dimension('verdict', FLOW_VERDICTS),
    ]),
    overhead: histogram('sallyport_overhead_seconds', [direction]),
    bytes: counter('sallyport_bytes_total', [
      dimension('flow', ['from-downstream', 'to-downstream']),
      direction,
    ]),
    faults: counter('sallyport_faults_total', [FAULT_LABELS]),
    opened: counter('sallyport_connections_opened_total', [listener]),
    closed: counter('sallyport_connections_closed_total', [listener, dimension('cause', CAUSES)]),
    terminated: counter('sallyport_connections_terminated_total', [
      dimension('reason', ['policy-changed']),
    ]),
    evictions: counter('sallyport_evictions_total', [
      dimension('bound', BOUNDS),
      dimension('state', SHARE_STATES),
    ]),
    connects: counter('sallyport_upstream_connects_total', [
      listener,
      dimension('outcome', OUTCOMES),
    ]),
    connectDuration: histogram('sallyport_upstream_connect_duration_seconds', []),
    retries: counter('sallyport_upstream_retries_total', [listener]),
    streamsOpened: counter('sallyport_http2_streams_opened_total', [listener]),
    streamsReset: counter('sallyport_http2_streams_reset_total', [RESETS]),
    internalErrors: counter('sallyport_internal_errors_total', []),
    loopDelay: histogram('sallyport_event_loop_delay_seconds', []),
  };
}
