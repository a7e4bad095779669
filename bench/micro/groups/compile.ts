/** What new rules cost before they are in force: compiled, the view that connections ask, the kernel's table. */
import type { Identity } from '../../../src/model/identity.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { EndpointPolicy, PortPolicy } from '../../../src/policy/ast.ts';
import { NO_L7 } from '../../../src/policy/ast.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { kernelTable } from '../../../src/policy/kernel/kernel_table.ts';
import { compiled, newEngine, policyOf, type RuleKind, rulesOf, viewOf } from '../policies.ts';
import type { Work, Works } from '../work.ts';

const COUNTS = [1_000, 10_000] as const;
const WORKLOADS = 40;
const PORTS = 8;
const REMOTES = 25;

export function works(): Works {
  const all: Record<string, Work> = {};
  for (const kind of ['literal path', 'path pattern', 'host'] as const) {
    for (const count of COUNTS) Object.assign(all, compiling(kind, count));
  }
  all[`kernel table, ${WORKLOADS} endpoints, ${PORTS} ports, ${REMOTES} remotes`] = tabling();
  return all;
}

function compiling(kind: RuleKind, count: number): Works {
  const name = `${kind}, ${count} rules`;
  // Made when first asked for: most runs want a few of these works.
  let policies: readonly EndpointPolicy[] | null = null;
  const policy = (): readonly EndpointPolicy[] => {
    policies ??= [policyOf(rulesOf(kind, count))];
    return policies;
  };
  const engine = newEngine();
  /** What is in use when the same rules come again. */
  const held: PolicySnapshot[] = [];
  const again = (): PolicySnapshot => {
    if (held.length === 0) held.push(inUse(compiled(policy(), { regexEngine: engine })));
    return compiled(policy(), { regexEngine: engine });
  };
  return {
    [`${name}, compiled`]: () => compiled(policy()).rules.length,
    [`${name}, compiled and viewed`]: () => inUse(compiled(policy())).rules.length,
    [`${name}, compiled again`]: () => again().rules.length,
    [`${name}, compiled again and viewed`]: () => inUse(again()).rules.length,
  };
}

/** With what its connections ask made, which the snapshot keeps. */
function inUse(snapshot: PolicySnapshot): PolicySnapshot {
  const view = viewOf(snapshot);
  decideRequest(view, '', plainHead({ method: 'GET', path: '/service/x', authority: 'x.test' }));
  return snapshot;
}

/** Each endpoint with rules of its own: remotes allowed, denied, and to be looked at by the proxy. */
function tabling(): Work {
  const numbers = Array.from({ length: WORKLOADS }, (_, i) => i);
  const policies = numbers.map((i) => networkPolicy(i));
  const workloads = numbers.map((i) => ({
    name: `default/w${i}`,
    interface: `lxc${i}`,
    podUid: null,
    ips: [`10.1.0.${i + 1}`],
    identity: (1000 + i) as Identity,
  }));
  const snapshot = compiled(policies, { node: { prefixes: [], workloads } });
  return () => {
    const { policies: made, warnings } = kernelTable(snapshot, { isDnsAllowed: false });
    if (made.length < WORKLOADS || warnings.length > 0) throw new Error(warnings[0]);
    return made.length;
  };
}

function networkPolicy(i: number): EndpointPolicy {
  const ports = Array.from({ length: PORTS }, (_, port) => portPolicy(i, port));
  return {
    name: `default/w${i}`,
    endpointIps: [`10.1.0.${i + 1}`],
    endpointId: i + 1,
    ingress: ports,
    egress: [],
  };
}

function portPolicy(i: number, number: number): PortPolicy {
  const port = 1000 + 10 * number;
  const isHttp = number % 4 === 0;
  return {
    port,
    endPort: port + (i % 10),
    protocol: 'TCP',
    rules: [
      {
        precedence: 0,
        verdict: { kind: number % 4 === 1 ? 'deny' : 'allow' },
        proxyId: 0,
        origin: { policy: `default/w${i}`, rule: `ingress[${number}]` },
        remotes: new Set(
          Array.from({ length: REMOTES }, (_, r) => (2000 + i + number + r) as Identity),
        ),
        serverNames: [],
        l7: isHttp ? { kind: 'http', rules: rulesOf('literal path', 1) } : NO_L7,
      },
    ],
  };
}
