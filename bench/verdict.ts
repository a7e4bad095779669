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
import type { RegexEngine } from '../src/policy/regex.ts';
import type { PolicySnapshot, RemoteView } from '../src/policy/snapshot.ts';
import { createRe2Engine } from '../src/regex/re2_engine.ts';

const COUNTS = [10, 1_000, 10_000];
const ROUNDS = 7;
const ROUND_MS = 120;

const engine = createRe2Engine(DEFAULT_LIMITS);
const KINDS = ['literal', 'pattern', 'host'] as const;
/** What tells the rules apart: a literal path, a path pattern, or the host under one path. */
type Kind = (typeof KINDS)[number];
const heads = new Map<string, RequestHead>();

main();

function main(): void {
  const yardstick = yardstickNs();
  console.log(`one RE2 match on bytes: ${yardstick.toFixed(0)} ns (the yardstick)\n`);
  console.log(
    '| rules | told apart by | request | ns a verdict | of 10 rules | of the yardstick |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const kind of KINDS) {
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
  console.log(
    '\n| rules | told apart by | compile ms | first view ms | again: compile ms | view ms |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const kind of KINDS) for (const count of COUNTS) console.log(compileRow(count, kind));
}

/** With no pattern known before, and once more, as a reload does. */
function compileRow(count: number, kind: Kind): string {
  const fresh = createRe2Engine(DEFAULT_LIMITS);
  const policy = policyOf(count, kind);
  const held: PolicySnapshot[] = [];
  const times: string[] = [];
  for (let round = 0; round < 2; round++) {
    const compileMs = millis(() => held.push(compiledWith(fresh, policy)));
    const snapshot = held.at(-1) as PolicySnapshot;
    const viewMs = millis(() => viewOf(snapshot));
    times.push(compileMs.toFixed(1), viewMs.toFixed(1));
  }
  return `| ${count} | ${kind} | ${times.join(' | ')} |`;
}

function policyOf(count: number, kind: Kind): EndpointPolicy {
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
                matchers: conditions(i, kind),
                headerMatches: [],
              })),
            },
          },
        ],
      },
    ],
  };
}

function conditions(i: number, kind: Kind): HeaderMatcher[] {
  switch (kind) {
    case 'literal':
      return [matcher(':path', `/service/${i}/items`), matcher(':method', 'GET')];
    case 'pattern':
      return [matcher(':path', `/service/${i}/items/[0-9]+`), matcher(':method', 'GET')];
    case 'host':
      return [matcher(':path', '/items'), matcher(':authority', `service-${i}.test`)];
  }
}

/** Made once: a request brings its head, the verdict does not make it. */
function headFor(count: number, kind: Kind, hit: string): RequestHead {
  const key = `${count} ${kind} ${hit}`;
  let head = heads.get(key);
  if (head === undefined) {
    const number = hit === 'first rule' ? 0 : hit === 'last rule' ? count - 1 : 'x';
    const paths = {
      literal: `/service/${number}/items`,
      pattern: `/service/${number}/items/42`,
      host: '/items',
    };
    head = plainHead({ method: 'GET', path: paths[kind], authority: `service-${number}.test` });
    heads.set(key, head);
  }
  return head;
}

function matcher(name: string, pattern: string): HeaderMatcher {
  return { name, value: { kind: 'regex', pattern }, isInverted: false, treatMissingAsEmpty: false };
}

function compiled(count: number, kind: Kind): PolicySnapshot {
  return compiledWith(engine, policyOf(count, kind));
}

function compiledWith(regexEngine: RegexEngine, policy: EndpointPolicy): PolicySnapshot {
  const result = compilePolicies([policy], { ...options(), regexEngine });
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

/** The best of the rounds, each long enough for the clock: what others run only adds to it. */
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
  return Math.min(...results);
}

function millis(task: () => unknown): number {
  const started = performance.now();
  task();
  return performance.now() - started;
}
