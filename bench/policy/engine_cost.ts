/**
 * What so many rules cost the engine, in a process of its own, as a worker has it: made from what the
 * supervisor sends, then asked. The parts come in a file, so that the process has never seen YAML.
 *
 *     node --expose-gc bench/policy/engine_cost.ts FILE KIND COUNT     prints one line of JSON
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { compileSet } from '../../src/control/set/resolved_set.ts';
import {
  decodeResolved,
  encodeResolved,
  type ResolvedParts,
} from '../../src/control/worker/resolved_wire.ts';
import type { Identity, Port, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { plainHead } from '../../src/model/request_head.ts';
import type { Steps } from '../../src/model/steps.ts';
import { prepareViews } from '../../src/policy/compile/prepare.ts';
import type { View } from '../../src/policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../src/policy/decide/decide.ts';
import type { RegexEngine } from '../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { BundleStore } from '../../test/support/bundle_store.ts';
import {
  endpointsText,
  lastPath,
  policyText,
  RULE_KINDS,
  type RuleKind,
  STEADY_PATH,
} from './rule_sets.ts';

export interface EngineCost {
  /** Of the request that the last rule allows. */
  readonly verdictNanos: number;
  /** All that a worker does for a set whose rules are all new: read, compile, make the views in use. */
  readonly compileMs: number;
  /** The longest of its steps: what it cannot put down in between, garbage collection included. */
  readonly longestStepMs: number;
  /** Resident memory of the process with the rules, less that without, by rule. */
  readonly bytesPerRule: number;
  /** Of it, on the heap of JavaScript. */
  readonly heapBytesPerRule: number;
}

const ROUNDS = 7;
const ROUND_MS = 60;

if (import.meta.main) {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [file = '', name, count] = positionals;
  const kind = RULE_KINDS.find((one) => one === name);
  if (kind === undefined) throw new Error(`no kind of rules: ${name}`);
  console.log(JSON.stringify(await engineCost(file, kind, Number(count))));
}

/** Before: written by another process. */
export async function writeParts(file: string, kind: RuleKind, count: number): Promise<void> {
  const parts = [Math.min(count, 500), count, count].map((one, edition) =>
    partsOf(kind, one, edition),
  );
  await writeFile(file, serialize(parts));
}

async function engineCost(file: string, kind: RuleKind, count: number): Promise<EngineCost> {
  const engine = createRe2Engine(DEFAULT_LIMITS, { areChecked: true });
  const [few, first, second] = deserialize(await readFile(file)) as [
    ResolvedParts,
    ResolvedParts,
    ResolvedParts,
  ];
  // What every process has once, code that is warm included.
  const warm = madeFrom(few, engine, null).snapshot;
  const before = memory();
  const held = madeFrom(first, engine, warm).snapshot;
  const after = memory();
  const next = madeFrom(second, engine, held);
  const view = viewOf(next.snapshot);
  const path = lastPath({ kind, count, edition: 2 });
  const head = plainHead({ method: 'GET', path, authority: 'a' });
  if (decideRequest(view, '', head).verdict !== 'allow') throw new Error(`${path} is denied`);
  return {
    verdictNanos: nanosPerCall(() => decideRequest(view, '', head)),
    compileMs: next.totalMs,
    longestStepMs: next.longestMs,
    bytesPerRule: (after.resident - before.resident) / count,
    heapBytesPerRule: (after.heap - before.heap) / count,
  };
}

function partsOf(kind: RuleKind, count: number, edition: number): ResolvedParts {
  const regexEngine = createRe2Engine(DEFAULT_LIMITS);
  const result = new BundleStore({ regexEngine, limits: DEFAULT_LIMITS }).updateBundle({
    policies: [{ path: 'policy.yaml', text: policyText({ kind, count, edition }) }],
    endpoints: { path: 'endpoints.yaml', text: endpointsText(kind) },
    secrets: null,
  });
  if (result.kind === 'rejected') throw new Error(result.problems[0]?.message);
  return encodeResolved(result.set);
}

interface Made {
  readonly snapshot: PolicySnapshot;
  readonly totalMs: number;
  readonly longestMs: number;
}

function madeFrom(
  parts: ResolvedParts,
  regexEngine: RegexEngine,
  previous: PolicySnapshot | null,
): Made {
  const timed = timedSteps(snapshotSteps(parts, regexEngine, previous));
  // One that is asked, as by connections.
  const view = viewOf(timed.result);
  decideRequest(view, '', plainHead({ method: 'GET', path: STEADY_PATH, authority: 'a' }));
  return { snapshot: timed.result, totalMs: timed.totalMs, longestMs: timed.longestMs };
}

function* snapshotSteps(
  parts: ResolvedParts,
  regexEngine: RegexEngine,
  previous: PolicySnapshot | null,
): Steps<PolicySnapshot> {
  const set = yield* decodeResolved(parts);
  const made = yield* compileSet(set, { revision: 1, regexEngine, limits: DEFAULT_LIMITS });
  if (made.kind === 'error') throw new Error(made.problems[0]?.message);
  if (previous !== null) yield* prepareViews(made.snapshot, previous, 100);
  return made.snapshot;
}

function timedSteps<Result>(steps: Steps<Result>): {
  readonly result: Result;
  readonly totalMs: number;
  readonly longestMs: number;
} {
  const startedMs = performance.now();
  let longestMs = 0;
  for (let beforeMs = startedMs; ; ) {
    const step = steps.next();
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - beforeMs);
    if (step.done === true) return { result: step.value, totalMs: nowMs - startedMs, longestMs };
    beforeMs = nowMs;
  }
}

function viewOf(snapshot: PolicySnapshot): View {
  const remote = snapshot.ipcache.lookup('127.0.0.1') as Identity;
  return snapshot
    .endpoint('127.0.20.1')
    .port('ingress', 'TCP', 8080 as Port)
    .view(0 as ProxyId, remote);
}

function memory(): { readonly resident: number; readonly heap: number } {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('needs --expose-gc');
  for (let i = 0; i < 3; i++) gc();
  const { rss, heapUsed } = process.memoryUsage();
  return { resident: rss, heap: heapUsed };
}

/** The best of the rounds, each long enough for the clock: what others run only adds to it. */
function nanosPerCall(task: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  let calls = 1000;
  for (let round = 0; round <= ROUNDS; round++) {
    const startedMs = performance.now();
    for (let i = 0; i < calls; i++) task();
    const elapsedMs = performance.now() - startedMs;
    // The first round warms up and finds how many calls fill a round.
    if (round > 0) best = Math.min(best, (elapsedMs * 1e6) / calls);
    calls = Math.max(1000, Math.round((calls * ROUND_MS) / Math.max(elapsedMs, 0.01)));
  }
  return best;
}
