/**
 * The policy set of a bench: compiled as the proxy compiles it, with what that took, and each request
 * judged by it. Remotes that are only labels get an identity in the endpoints file, so that the proxy
 * knows them by the same number.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Asked, decide, type Judge, openJudge } from '../../control/ask/judge.ts';
import { judgeBundle } from '../../control/ask/judge_bundle.ts';
import type { Question } from '../../control/ask/question.ts';
import { printEndpoints } from '../../control/decode/endpoints/print_endpoints.ts';
import { formatProblem, type Problem } from '../../control/decode/problem.ts';
import { PolicySet } from '../../control/set/policy_set.ts';
import { decodeBundle } from '../../control/source/files/decode_bundle.ts';
import type { SourceBundle } from '../../control/source/files/source_bundle.ts';
import type { Decision } from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { InventoryIdentity } from '../../policy/resolve/inventory.ts';
import { judgeOptions } from '../ask/judge_options.ts';
import type { BenchRequest } from './requests.ts';

export interface JudgedRequest extends BenchRequest {
  readonly asked: Asked;
  readonly decision: Decision;
}

export interface SetCost {
  readonly ruleCount: number;
  readonly policyCount: number;
  readonly endpointCount: number;
  /** Texts read, checked, and their patterns compiled. */
  readonly decodeMs: number;
  /** Selectors resolved, rules compiled. */
  readonly compileMs: number;
  /** What the connections of these requests look their rules up in. */
  readonly viewsMs: number;
  readonly heapBytes: number;
  /** With what RE2 holds; by the page, and no less than the process had before. */
  readonly residentBytes: number;
}

export type JudgedSet =
  | {
      readonly kind: 'set';
      /** What the proxy is given. */
      readonly bundle: SourceBundle;
      readonly snapshot: PolicySnapshot;
      readonly requests: readonly JudgedRequest[];
      readonly cost: SetCost;
      /** How many named no host, and are asked for `UNNAMED_HOST`. */
      readonly unnamedHostCount: number;
    }
  | Failed;

/** HTTP/1.1 asks for a host, and a question need not have one. */
export const UNNAMED_HOST = 'bench.sallyport.invalid';

export function judgeSet(given: SourceBundle, requests: readonly BenchRequest[]): JudgedSet {
  const labelled = withLabelIdentities(given, requests);
  if (labelled.kind === 'error') return labelled;
  const { bundle } = labelled;
  const before = memory();
  const timed = timedJudge(bundle);
  if (timed.kind === 'error') return timed;
  const { judge } = timed;
  const startedMs = performance.now();
  const judged: JudgedRequest[] = [];
  let unnamedHostCount = 0;
  for (const { place, question } of requests) {
    const hosted = withHost(question);
    if (hosted !== question) unnamedHostCount++;
    const asked = judge.asked(hosted);
    if (asked.kind === 'error') return failed(`${place}: ${asked.message}`);
    const decision = decide(asked.view, hosted, asked.head);
    judged.push({ place, question: hosted, asked, decision });
  }
  const viewsMs = performance.now() - startedMs;
  const after = memory();
  const { snapshot } = judge;
  return {
    kind: 'set',
    bundle,
    snapshot,
    requests: judged,
    unnamedHostCount,
    cost: {
      ruleCount: snapshot.rules.length,
      policyCount: snapshot.policyNames.length,
      endpointCount: snapshot.endpoints().length,
      decodeMs: timed.decodeMs,
      compileMs: timed.compileMs,
      viewsMs,
      heapBytes: Math.max(0, after.heapBytes - before.heapBytes),
      residentBytes: Math.max(0, after.residentBytes - before.residentBytes),
    },
  };
}

type TimedJudge =
  | {
      readonly kind: 'judge';
      readonly judge: Judge;
      readonly decodeMs: number;
      readonly compileMs: number;
    }
  | Failed;

/** As `judgeBundle`, step by step. */
function timedJudge(bundle: SourceBundle): TimedJudge {
  const options = judgeOptions();
  const startedMs = performance.now();
  const decoded = decodeBundle(bundle, options);
  if (decoded.kind === 'rejected') return rejected(decoded.problems);
  const decodedMs = performance.now();
  const opened = openJudge(new PolicySet(decoded.input), options);
  if (opened.kind === 'rejected') return rejected(opened.problems);
  return {
    kind: 'judge',
    judge: opened.judge,
    decodeMs: decodedMs - startedMs,
    compileMs: performance.now() - decodedMs,
  };
}

function rejected(problems: readonly Problem[]): Failed {
  return failed(`the policy set is rejected: ${problems.map(formatProblem).join('; ')}`);
}

function withHost(question: Question): Question {
  const { ask } = question;
  if (ask.kind !== 'http' || ask.request.authority !== '') return question;
  return { ...question, ask: { ...ask, request: { ...ask.request, authority: UNNAMED_HOST } } };
}

type Labelled = { readonly kind: 'bundle'; readonly bundle: SourceBundle } | Failed;

/** The proxy's listeners name remotes by number: those that have none in the file get one there. */
function withLabelIdentities(bundle: SourceBundle, requests: readonly BenchRequest[]): Labelled {
  const labelled = requests.filter(({ question }) => question.remote.kind === 'labels');
  if (labelled.length === 0) return { kind: 'bundle', bundle };
  const created = judgeBundle(bundle, judgeOptions());
  if (created.kind === 'rejected') return rejected(created.problems);
  const { judge, set } = created;
  const seen = new Set<Identity>();
  const added: InventoryIdentity[] = [];
  for (const { place, question } of labelled) {
    const before = judge.snapshot;
    const asked = judge.asked(question);
    if (asked.kind === 'error') return failed(`${place}: ${asked.message}`);
    const identity = asked.remote;
    // Nobody had these labels before they were asked about.
    const isNew = judge.snapshot !== before && !seen.has(identity);
    seen.add(identity);
    if (isNew) added.push({ identity, labels: judge.snapshot.labels.labelsOf(identity) });
  }
  if (added.length === 0) return { kind: 'bundle', bundle };
  const { inventory } = set;
  const identities = [...inventory.identities, ...added];
  const path = bundle.endpoints?.path ?? '<endpoints>';
  const endpoints = { path, text: printEndpoints({ ...inventory, identities }) };
  return { kind: 'bundle', bundle: { ...bundle, endpoints } };
}

interface Failed {
  readonly kind: 'error';
  readonly message: string;
}

function failed(message: string): Failed {
  return { kind: 'error', message };
}

interface Memory {
  readonly heapBytes: number;
  readonly residentBytes: number;
}

function memory(): Memory {
  collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapBytes: heapUsed + external, residentBytes: rss };
}

/** What is held, not what is not collected yet. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
}
