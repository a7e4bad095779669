/** The result of a bench as data: what `-o json` and `-o yaml` print, and the table is made of. */
import type { Direction } from '../../model/identity.ts';
import { adviceOn } from './advice.ts';
import type { Mismatches } from './check.ts';
import type { DecidedCost, RuleCosts, UnreachedRule } from './costs.ts';
import type { BenchOptions } from './options.ts';
import type { BenchPlan, RequestGroup, UnsentRequest } from './plan.ts';
import { CONNECTION_WORDS, matchWords } from './rules.ts';
import type { JudgedRequest, SetCost } from './set.ts';
import type { Percentiles, Round, Side } from './turns.ts';

/** The median of the rounds, and between what they were. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface LatencyFigures {
  readonly p50Ms: Figure;
  readonly p99Ms: Figure;
}

export interface LoadFigures {
  /** Of allowed requests; null when there are none. `added` is round by round. */
  readonly allowedLatency: {
    readonly direct: LatencyFigures;
    readonly proxied: LatencyFigures;
    readonly added: LatencyFigures;
  } | null;
  /** Of denied requests: the proxy answers them itself. */
  readonly deniedLatency: LatencyFigures | null;
  readonly requestsPerSecond: { readonly direct: Figure | null; readonly proxied: Figure };
  /** Of the proxy's worker; null where the system does not tell. */
  readonly cpuUsPerRequest: {
    readonly user: Figure;
    readonly kernel: Figure;
    readonly total: Figure;
  } | null;
  readonly proxiedRequestCount: number;
  readonly directRequestCount: number;
}

interface Named {
  readonly matchedBy: string | null;
}

/** Requests that one listener of the proxy judges. */
export interface GroupSummary {
  readonly endpoint: string;
  readonly endpointIp: string;
  readonly direction: Direction;
  readonly remoteIdentity: number;
  readonly port: number;
  readonly proxyId: number;
  readonly requestCount: number;
}

export interface BenchReport {
  readonly run: {
    readonly requestsFile: string;
    /** Null: the embedded origin. */
    readonly upstream: string | null;
    readonly connectionCount: number;
    readonly roundSeconds: number;
    readonly roundCount: number;
    readonly hasAccessLog: boolean;
    readonly version: string;
  };
  readonly requests: {
    readonly count: number;
    readonly allowedCount: number;
    readonly deniedCount: number;
    readonly sentCount: number;
    /** Sent once and not timed: the connection itself is denied. */
    readonly resetCount: number;
    readonly unsent: readonly UnsentRequest[];
    readonly groups: readonly GroupSummary[];
  };
  readonly answers: {
    /** Of all that were sent, the timed ones included. */
    readonly mismatchCount: number;
    readonly mismatches: Mismatches['kept'];
  };
  /** Null when nothing could be timed. */
  readonly load: LoadFigures | null;
  readonly proxyResidentBytes: number | null;
  readonly rules: {
    readonly decided: readonly (DecidedCost & Named)[];
    readonly unreached: readonly (UnreachedRule & Named)[];
    readonly noMatchNs: number | null;
    readonly meanVerdictNs: number | null;
  };
  readonly policySet: SetCost;
  readonly advice: readonly string[];
  readonly notes: readonly string[];
}

export interface Measured {
  readonly options: BenchOptions;
  readonly version: string;
  readonly plan: BenchPlan;
  readonly judged: readonly JudgedRequest[];
  readonly unnamedHostNote: string | null;
  /** Those that the client would not send. */
  readonly refused: readonly UnsentRequest[];
  readonly resetCount: number;
  readonly mismatches: Mismatches;
  readonly rounds: readonly Round[];
  readonly proxyResidentBytes: number | null;
  readonly costs: RuleCosts;
  readonly setCost: SetCost;
}

export function reportOf(measured: Measured): BenchReport {
  const { options, plan, judged, costs, mismatches } = measured;
  const load = loadFigures(measured.rounds);
  const allowedCount = judged.filter(({ decision }) => decision.verdict === 'allow').length;
  return {
    run: {
      requestsFile: options.requestsPath,
      upstream: options.upstream?.url ?? null,
      connectionCount: options.connectionCount,
      roundSeconds: options.seconds,
      roundCount: measured.rounds.length,
      hasAccessLog: options.hasAccessLog,
      version: measured.version,
    },
    requests: {
      count: judged.length,
      allowedCount,
      deniedCount: judged.length - allowedCount,
      sentCount: plan.sent.length - measured.refused.length,
      resetCount: measured.resetCount,
      unsent: inOrder([...plan.unsent, ...measured.refused], judged),
      groups: plan.groups.map((group, index) => groupSummary(group, index, plan)),
    },
    answers: { mismatchCount: mismatches.count, mismatches: mismatches.kept },
    load,
    proxyResidentBytes: measured.proxyResidentBytes,
    rules: {
      decided: costs.decided.map(decidedWords),
      unreached: costs.unreached.map(unreachedWords),
      noMatchNs: costs.noMatchNs,
      meanVerdictNs: costs.meanVerdictNs,
    },
    policySet: measured.setCost,
    advice: adviceOn(costs, load?.cpuUsPerRequest?.total.median ?? null),
    notes: notesOf(measured, load),
  };
}

function groupSummary(group: RequestGroup, index: number, plan: BenchPlan): GroupSummary {
  const { endpoint, endpointIp, direction, remote, port, proxyId } = group;
  const requestCount = plan.sent.filter((one) => one.group === index).length;
  return { endpoint, endpointIp, direction, remoteIdentity: remote, port, proxyId, requestCount };
}

/** As the file has them. */
function inOrder(
  unsent: readonly UnsentRequest[],
  judged: readonly JudgedRequest[],
): readonly UnsentRequest[] {
  const order = new Map(judged.map(({ place }, index) => [place, index]));
  return unsent.toSorted((a, b) => (order.get(a.place) ?? 0) - (order.get(b.place) ?? 0));
}

function unreachedWords(rule: UnreachedRule): UnreachedRule & Named {
  return { ...rule, matchedBy: matchWords(rule.match) };
}

function decidedWords(cost: DecidedCost): DecidedCost & Named {
  if (cost.match !== null) return { ...cost, matchedBy: matchWords(cost.match) };
  // Others stand in such a rule; asked without a request, it decides itself.
  const isConnection = cost.rule !== null && cost.layer === 'network';
  return { ...cost, matchedBy: isConnection ? CONNECTION_WORDS : null };
}

function loadFigures(rounds: readonly Round[]): LoadFigures | null {
  if (rounds.length === 0) return null;
  const proxied = rounds.map((round) => round.proxied);
  const direct = rounds.flatMap((round) => round.direct ?? []);
  const both = rounds.flatMap((round) => {
    const [through, directly] = [round.proxied.allowed, round.direct?.allowed ?? null];
    return through === null || directly === null ? [] : [{ through, directly }];
  });
  return {
    allowedLatency:
      both.length === 0
        ? null
        : {
            direct: latencyOf(both.map(({ directly }) => directly)),
            proxied: latencyOf(both.map(({ through }) => through)),
            added: latencyOf(
              both.map(({ through, directly }) => ({
                p50Ms: through.p50Ms - directly.p50Ms,
                p99Ms: through.p99Ms - directly.p99Ms,
              })),
            ),
          },
    deniedLatency: deniedLatency(proxied),
    requestsPerSecond: {
      direct: direct.length === 0 ? null : figure(direct.map(rateOf)),
      proxied: figure(proxied.map(rateOf)),
    },
    cpuUsPerRequest: cpuFigures(rounds),
    proxiedRequestCount: sumOf(proxied),
    directRequestCount: sumOf(direct),
  };
}

function deniedLatency(proxied: readonly Side[]): LatencyFigures | null {
  const denied = proxied.flatMap((side) => side.denied ?? []);
  return denied.length === 0 ? null : latencyOf(denied);
}

function cpuFigures(rounds: readonly Round[]): LoadFigures['cpuUsPerRequest'] {
  const known = rounds.flatMap(({ cpu, proxied: { requestCount } }) =>
    cpu === null || requestCount === 0
      ? []
      : [{ user: cpu.userUs / requestCount, kernel: cpu.kernelUs / requestCount }],
  );
  if (known.length === 0) return null;
  return {
    user: figure(known.map(({ user }) => user)),
    kernel: figure(known.map(({ kernel }) => kernel)),
    total: figure(known.map(({ user, kernel }) => user + kernel)),
  };
}

function latencyOf(values: readonly Percentiles[]): LatencyFigures {
  return {
    p50Ms: figure(values.map(({ p50Ms }) => p50Ms)),
    p99Ms: figure(values.map(({ p99Ms }) => p99Ms)),
  };
}

/** At least one value. */
export function figure(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  const lower = sorted.length % 2 === 0 ? (sorted[middle - 1] ?? upper) : upper;
  return { median: (lower + upper) / 2, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

function rateOf({ requestCount, seconds }: Side): number {
  return seconds === 0 ? 0 : requestCount / seconds;
}

function sumOf(sides: readonly Side[]): number {
  return sides.reduce((sum, { requestCount }) => sum + requestCount, 0);
}

/** Rounds that differ by more than this share of their median are not to be compared. */
const NOISE_MAX = 0.25;

function notesOf(measured: Measured, load: LoadFigures | null): string[] {
  const notes: string[] = [];
  const { unnamedHostNote, resetCount, options } = measured;
  if (options.upstream !== null) notes.push(`Real requests went to ${options.upstream.url}.`);
  if (unnamedHostNote !== null) notes.push(unnamedHostNote);
  if (resetCount > 0) {
    notes.push(
      `${resetCount} of the requests are denied with their connection, which is reset: each was sent once and is not timed.`,
    );
  }
  if (load === null) {
    notes.push('Nothing was timed: no request could be sent whose connection is allowed.');
    return notes;
  }
  if (load.cpuUsPerRequest === null) notes.push('CPU a request is not available on this system.');
  const noisy = Object.entries({
    'p50 directly': load.allowedLatency?.direct.p50Ms,
    'p50 through the proxy': load.allowedLatency?.proxied.p50Ms ?? load.deniedLatency?.p50Ms,
    'CPU a request': load.cpuUsPerRequest?.total,
  }).filter(([, one]) => one !== undefined && spreadOf(one) > NOISE_MAX);
  if (noisy.length > 0) {
    const words = noisy.map(([name, one]) => `${name} by ${percent(one)}`).join(', ');
    notes.push(`The rounds differ (${words}): the machine does something else, too.`);
  }
  return notes;
}

function percent(one: Figure | undefined): string {
  return `${Math.round((one === undefined ? 0 : spreadOf(one)) * 100)} %`;
}

function spreadOf({ median, min, max }: Figure): number {
  return median === 0 ? 0 : (max - min) / median;
}
