/**
 * What a verdict costs as rules grow, and what compiling and swapping them costs.
 *
 *     node bench/verdict.ts
 *
 * The yardstick is one RE2 match of one pattern on bytes, measured in the same run; compare ratios.
 */
import RE2 from 're2';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';
import { plainHead, type RequestHead } from '../src/model/request_head.ts';
import type { EndpointPolicy, HeaderMatcher } from '../src/policy/ast.ts';
import { compilePolicies } from '../src/policy/compile.ts';
import { decideRequest } from '../src/policy/decide.ts';
import type { PolicySnapshot, RemoteView } from '../src/policy/snapshot.ts';
import { createRe2Engine } from '../src/regex/re2_engine.ts';

const COUNTS = [10, 1_000, 10_000];
const ROUNDS = 7;
const ROUND_MS = 120;

const engine = createRe2Engine(DEFAULT_LIMITS);
const heads = new Map<string, RequestHead>();

main();

function main(): void {
  const yardstick = yardstickNs();
  console.log(`one RE2 match on bytes: ${yardstick.toFixed(0)} ns (the yardstick)\n`);
  console.log('| rules | paths | request | ns a verdict | of 10 rules | of the yardstick |');
  console.log('|---|---|---|---|---|---|');
  for (const kind of ['literal', 'pattern'] as const) {
    for (const hit of ['first rule', 'last rule', 'none'] as const) {
      let base = 0;
      for (const count of COUNTS) {
        const view = viewOf(compiled(count, kind));
        const ns = nsPerCall(() => decideRequest(view, '', headFor(count, kind, hit)));
        if (count === COUNTS[0]) base = ns;
        console.log(
          `| ${count} | ${kind} | ${hit} | ${ns.toFixed(0)} | ${(ns / base).toFixed(2)} | ${(ns / yardstick).toFixed(1)} |`,
        );
      }
    }
  }
  console.log('\n| rules | paths | compile ms | first view ms |');
  console.log('|---|---|---|---|');
  for (const kind of ['literal', 'pattern'] as const) {
    for (const count of COUNTS) {
      const policy = policyOf(count, kind);
      const compileMs = millis(() => compilePolicies([policy], options()));
      const snapshot = compiled(count, kind);
      const viewMs = millis(() => viewOf(snapshot));
      console.log(`| ${count} | ${kind} | ${compileMs.toFixed(1)} | ${viewMs.toFixed(1)} |`);
    }
  }
}

function policyOf(count: number, kind: 'literal' | 'pattern'): EndpointPolicy {
  return {
    name: 'default/api',
    endpointIps: ['10.0.0.1'],
    endpointId: 1,
    egress: [],
    ingress: [
      {
        port: 80,
        endPort: 80,
        protocol: 'TCP',
        rules: [
          {
            precedence: 0,
            verdict: { kind: 'allow' },
            proxyId: 0,
            origin: { policy: 'default/api', rule: 'ingress[0].toPorts[0]' },
            remotes: null,
            serverNames: [],
            l7: {
              kind: 'http',
              rules: Array.from({ length: count }, (_, i) => ({
                origin: { policy: 'default/api', rule: `ingress[0].toPorts[0].rules.http[${i}]` },
                matchers: [matcher(':path', pathPattern(i, kind)), matcher(':method', 'GET')],
                headerMatches: [],
              })),
            },
          },
        ],
      },
    ],
  };
}

function pathPattern(i: number, kind: 'literal' | 'pattern'): string {
  return kind === 'literal' ? `/service/${i}/items` : `/service/${i}/items/[0-9]+`;
}

/** Made once: a request brings its head, the verdict does not make it. */
function headFor(count: number, kind: 'literal' | 'pattern', hit: string): RequestHead {
  const key = `${count} ${kind} ${hit}`;
  let head = heads.get(key);
  if (head === undefined) {
    const number = hit === 'first rule' ? 0 : hit === 'last rule' ? count - 1 : 'x';
    const path = kind === 'literal' ? `/service/${number}/items` : `/service/${number}/items/42`;
    head = plainHead({ method: 'GET', path, authority: 'api' });
    heads.set(key, head);
  }
  return head;
}

function matcher(name: string, pattern: string): HeaderMatcher {
  return { name, value: { kind: 'regex', pattern }, isInverted: false, treatMissingAsEmpty: false };
}

function compiled(count: number, kind: 'literal' | 'pattern'): PolicySnapshot {
  const result = compilePolicies([policyOf(count, kind)], options());
  if (result.kind === 'error') throw new Error(result.problems[0]?.message);
  return result.snapshot;
}

function options() {
  return {
    revision: 1,
    regexEngine: engine,
    limits: DEFAULT_LIMITS,
    secrets: new Map<string, string>(),
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
  };
}

function viewOf(snapshot: PolicySnapshot): RemoteView {
  return snapshot
    .endpoint('10.0.0.1')
    .port('ingress', 'TCP', 80 as never)
    .view(0 as never, 300 as never);
}

function yardstickNs(): number {
  const regex = new RE2('^(?:/service/7/items/[0-9]+)$', 'u');
  const subject = Buffer.from('/service/7/items/42');
  return nsPerCall(() => regex.test(subject));
}

/** Median of rounds, each long enough for the clock. */
function nsPerCall(task: () => unknown): number {
  const results: number[] = [];
  let calls = 1000;
  for (let round = 0; round <= ROUNDS; round++) {
    const started = performance.now();
    for (let i = 0; i < calls; i++) task();
    const elapsed = performance.now() - started;
    // The first round warms up and finds how many calls fill a round.
    if (round > 0) results.push((elapsed * 1e6) / calls);
    calls = Math.max(1000, Math.round((calls * ROUND_MS) / Math.max(elapsed, 0.01)));
  }
  return results.sort((a, b) => a - b)[Math.floor(results.length / 2)] ?? Number.NaN;
}

function millis(task: () => unknown): number {
  const started = performance.now();
  task();
  return performance.now() - started;
}
