/**
 * The kernel's tables against the engine: for random policies every (direction, protocol, port, identity)
 * looked up in the encoded maps is what the engine says of such a connection.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { EndpointPolicy } from '../../../src/policy/ast.ts';
import { compilePolicies } from '../../../src/policy/compile/compile.ts';
import type { CompiledPort } from '../../../src/policy/compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../../../src/policy/compiled/compiled_rule.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection, decideRequest } from '../../../src/policy/decide/decide.ts';
import { kernelTable } from '../../../src/policy/kernel/kernel_table.ts';
import { portPrefixes } from '../../../src/policy/kernel/port_prefixes.ts';
import type { DirectionRule, PolicySpec } from '../../../src/policy/rule.ts';
import { planOf } from '../../../src/redirect/plan.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { cnpSnapshot } from '../../support/cnp_snapshot.ts';
import { type KernelModel, modelOf, planInputOf, TCP } from '../../support/kernel_model.ts';
import { runs } from '../../support/property_runs.ts';
import { endpointPolicy, question, REMOTES, SECRETS } from '../../support/random_policies.ts';
import { app, cidr, from, http, port, ports, rule, spec } from '../../support/resolve_world.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);
const STRANGER = 999 as Identity;
const WEB_ID = 1002 as Identity;
const JOB_ID = 1003 as Identity;
const HOST_ID = 1 as Identity;
const ICMP = 1;
const ICMP6 = 58;
const UDP = 17;
const GRE = 47;
const ECHO = 8;

describe('a range of ports', () => {
  it('is exactly its prefixes, which do not overlap', () => {
    const anyPort = fc.integer({ min: 0, max: 65_535 });
    fc.assert(
      fc.property(anyPort, anyPort, (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        let next = first;
        for (const { port: start, bits } of portPrefixes(first, last)) {
          expect(start).toBe(next);
          expect(start % (1 << (16 - bits))).toBe(0);
          next += 1 << (16 - bits);
        }
        expect(next).toBe(last + 1);
      }),
    );
  });
});

describe('the tables of a policy in wire form', () => {
  const NAMES = ['', 'a.test', 'b.test', 'c.test'];
  const LISTENERS = [0, 7, 8] as ProxyId[];
  const PORTS = [0, 1, 69, 70, 80, 81, 82, 85, 90, 91, 100, 101, 65_535];

  it('deny what the engine denies, allow what it allows without a condition', () => {
    fc.assert(
      fc.property(
        endpointPolicy,
        fc.array(question, { minLength: 1, maxLength: 6 }),
        (policy, questions) => {
          const snapshot = wireSnapshot(policy);
          const model = modelOf(snapshot);
          for (const at of PORTS) {
            for (const remote of [...REMOTES, STRANGER]) {
              checkOne(snapshot, model, { at, remote, questions });
            }
          }
        },
      ),
      runs(50),
    );
  });

  interface Place {
    readonly at: number;
    readonly remote: Identity;
    readonly questions: readonly (typeof question extends fc.Arbitrary<infer Q> ? Q : never)[];
  }

  function checkOne(snapshot: PolicySnapshot, model: KernelModel, place: Place): void {
    const { at, remote, questions } = place;
    const compiled = snapshot.endpoint('10.0.0.1').port('ingress', 'TCP', at as Port);
    const found = model.verdict(model.policyOf(1, 'ingress'), { protocol: TCP, port: at, remote });
    const views = LISTENERS.map((proxyId) => compiled.view(proxyId, remote));
    const verdicts = views.flatMap((view) =>
      NAMES.map((name) => decideConnection(view, name).verdict),
    );
    const about = `port ${at} remote ${remote}`;
    if (found === 'deny') {
      expect(verdicts, about).not.toContain('allow');
    } else if (found === 'allow') {
      expect(verdicts, about).not.toContain('deny');
      for (const { head } of questions) {
        const decision = decideRequest(views[0] as (typeof views)[0], '', head);
        expect(decision, about).toMatchObject({ verdict: 'allow', mutations: [] });
      }
    } else {
      expect(found, about).toBe('redirect');
      expect(isConditional(compiled, remote), about).toBe(true);
      // Conditions on names and listeners may exclude each other; without any, something passes.
      if (!hasConnectionConditions(compiled, remote)) expect(verdicts, about).toContain('allow');
    }
  }

  /** A rule for the remote looks at more than addresses and ports. */
  function isConditional(compiled: CompiledPort, remote: Identity): boolean {
    return rulesFor(compiled, remote).some(({ l7, serverNames, proxyId }) => {
      return l7.kind !== 'none' || serverNames.length > 0 || proxyId !== 0;
    });
  }

  function hasConnectionConditions(compiled: CompiledPort, remote: Identity): boolean {
    return rulesFor(compiled, remote).some(
      ({ serverNames, proxyId }) => serverNames.length > 0 || proxyId !== 0,
    );
  }

  function rulesFor(compiled: CompiledPort, remote: Identity): readonly CompiledRule[] {
    const { rules } = compiled.rules;
    return rules.filter(({ remotes }) => remotes === null || remotes.has(remote));
  }

  it('let a remote use ICMP when it may use every port of every transport protocol', () => {
    const everything = (protocol: 'TCP' | 'UDP' | 'SCTP') => ({
      port: 0,
      endPort: 0,
      protocol,
      rules: [],
    });
    const policy = { ...EMPTY_POLICY, ingress: [everything('TCP'), everything('UDP')] };
    const ask = (own: EndpointPolicy) => {
      const model = modelOf(wireSnapshot(own));
      const packet = { protocol: ICMP, port: ECHO << 8, remote: STRANGER };
      return model.verdict(model.policyOf(1, 'ingress'), packet);
    };
    expect(ask(policy)).toBe('deny');
    expect(ask({ ...policy, ingress: [...policy.ingress, everything('SCTP')] })).toBe('allow');
  });
});

describe('the tables of CNP rules', () => {
  const check = (
    rules: readonly DirectionRule[],
    expected: readonly (readonly [protocol: number, port: number, remote: Identity, string])[],
    options = { isDnsAllowed: false },
  ): void => {
    const model = modelOf(cnpSnapshot([spec(rules)]), options);
    const direction = rules[0]?.direction ?? 'ingress';
    const policy = model.policyOf(101, direction);
    const found = expected.map(([protocol, at, remote]) => [
      protocol,
      at,
      remote,
      model.verdict(policy, { protocol, port: at, remote }),
    ]);
    expect(found).toEqual(expected);
  };

  it('redirect only the remotes to which L7 rules apply', () => {
    check(
      [
        rule({ peers: from('web'), ports: [ports('80', { l7: http('GET') })] }),
        rule({ peers: from('job'), ports: [ports('80')] }),
      ],
      [
        [TCP, 80, WEB_ID, 'redirect'],
        [TCP, 80, JOB_ID, 'allow'],
        [TCP, 80, HOST_ID, 'allow'],
        [TCP, 80, STRANGER, 'deny'],
        [TCP, 81, WEB_ID, 'deny'],
        [UDP, 80, WEB_ID, 'deny'],
      ],
    );
  });

  it('deny a remote that a deny rule names, also where L7 rules stand', () => {
    check(
      [
        rule({ ports: [ports('80', { l7: http('GET') })] }),
        rule({ action: 'deny', peers: from('job') }),
      ],
      [
        [TCP, 80, WEB_ID, 'redirect'],
        [TCP, 80, JOB_ID, 'deny'],
        [ICMP, ECHO << 8, JOB_ID, 'deny'],
      ],
    );
  });

  it('redirect for server names', () => {
    check(
      [rule({ peers: from('web'), ports: [ports('443', { serverNames: ['a.test'] })] })],
      [
        [TCP, 443, WEB_ID, 'redirect'],
        [TCP, 443, JOB_ID, 'deny'],
      ],
    );
  });

  it('let ICMP and every other protocol pass by rules without ports alone', () => {
    check(
      [rule({ peers: from('web') }), rule({ peers: from('job'), ports: [ports('0')] })],
      [
        [ICMP, ECHO << 8, WEB_ID, 'allow'],
        [ICMP6, 128 << 8, WEB_ID, 'allow'],
        [GRE, 0, WEB_ID, 'allow'],
        [TCP, 1, JOB_ID, 'allow'],
        [ICMP, ECHO << 8, JOB_ID, 'deny'],
        [GRE, 0, JOB_ID, 'deny'],
        [ICMP, ECHO << 8, HOST_ID, 'allow'],
      ],
    );
  });

  it('let the types of icmps pass, with every code, and nothing else', () => {
    const icmps = [
      { protocol: 'ICMP', type: 0 },
      { protocol: 'ICMP', type: 255 },
      { protocol: 'ICMPv6', type: 128 },
    ] as const;
    check(
      [rule({ peers: from('web'), hasIcmps: true, icmps })],
      [
        [ICMP, 0, WEB_ID, 'allow'],
        [ICMP, 255, WEB_ID, 'allow'],
        [ICMP, 1 << 8, WEB_ID, 'deny'],
        [ICMP, 0xffff, WEB_ID, 'allow'],
        [ICMP6, (128 << 8) | 7, WEB_ID, 'allow'],
        [ICMP6, 129 << 8, WEB_ID, 'deny'],
        [ICMP, 0, JOB_ID, 'deny'],
        [TCP, 80, WEB_ID, 'deny'],
      ],
    );
  });

  it('deny single ICMP types out of what rules without ports allow', () => {
    const icmps = [{ protocol: 'ICMP', type: ECHO }] as const;
    check(
      [rule({ peers: from('web') }), rule({ action: 'deny', hasIcmps: true, icmps })],
      [
        [ICMP, ECHO << 8, WEB_ID, 'deny'],
        [ICMP, 0, WEB_ID, 'allow'],
        [TCP, 80, WEB_ID, 'allow'],
      ],
    );
  });

  const dns = rule({
    direction: 'egress',
    ports: [
      ports('53', {
        ports: [port('53', ['TCP', 'UDP'])],
        l7: {
          kind: 'dns',
          rules: [
            { origin: { policy: 'p', rule: 'r' }, matchName: null, matchPattern: '*.a.test' },
          ],
        },
      }),
    ],
  });

  it('redirect UDP of DNS rules, unless it is allowed by name of the option', () => {
    check(
      [dns],
      [
        [UDP, 53, WEB_ID, 'redirect'],
        [TCP, 53, WEB_ID, 'redirect'],
      ],
    );
    check(
      [dns],
      [
        [UDP, 53, WEB_ID, 'allow'],
        [TCP, 53, WEB_ID, 'redirect'],
      ],
      { isDnsAllowed: true },
    );
  });

  it('tell of DNS rules over UDP where nobody asks them', () => {
    const snapshot = cnpSnapshot([spec([dns])]);
    expect(kernelTable(snapshot, { isDnsAllowed: false }).warnings).toEqual([]);
    const { warnings } = kernelTable(snapshot, { isDnsAllowed: true });
    expect(warnings).toEqual([expect.stringContaining('default/api egress: UDP port 53')]);
  });

  it('leave an endpoint open that no policy selects', () => {
    const model = modelOf(cnpSnapshot([]));
    for (const protocol of [TCP, UDP, ICMP, ICMP6, GRE]) {
      const packet = { protocol, port: 80, remote: STRANGER };
      expect(model.verdict(model.policyOf(102, 'ingress'), packet)).toBe('allow');
      expect(model.verdict(model.policyOf(102, 'egress'), packet)).toBe('allow');
    }
  });

  it('answer for every protocol of every policy', () => {
    const model = modelOf(cnpSnapshot([spec([rule({ peers: from('web') })])]));
    for (let protocol = 0; protocol < 256; protocol++) {
      const packet = { protocol, port: 9, remote: STRANGER };
      expect(model.verdict(model.policyOf(101, 'ingress'), packet)).toBe('deny');
    }
  });

  it('enforce no policy in dry-run', () => {
    const shadow = cnpSnapshot([spec([rule({ peers: from('web') })])]);
    expect(kernelTable(shadow, NO_DNS)).not.toEqual(kernelTable(cnpSnapshot([]), NO_DNS));
    expect(kernelTable(cnpSnapshot([], shadow), NO_DNS)).toEqual(
      kernelTable(cnpSnapshot([]), NO_DNS),
    );
  });

  it('are shared by endpoints that have the same', () => {
    const { endpoints, policies } = kernelTable(cnpSnapshot([]), NO_DNS);
    expect(endpoints.map(({ ingressPolicy }) => ingressPolicy)).toEqual([1, 1, 1]);
    expect(policies).toHaveLength(1);
  });
});

describe('the tables', () => {
  it('are the same in any order of policies', () => {
    const specs = [
      spec([rule({ peers: from('web'), ports: [ports('80', { l7: http('GET') })] })]),
      spec([rule({ peers: [cidr('192.0.2.0/24', '192.0.2.128/25')], ports: [ports('80-90')] })]),
      spec([rule({ action: 'deny', peers: from('job') })]),
      spec([rule({ direction: 'egress', peers: from('job') })], {
        subject: { kind: 'endpoints', selector: app('web') },
      }),
    ];
    const digest = (order: readonly PolicySpec[]) => planOf(planInputOf(cnpSnapshot(order))).digest;
    fc.assert(
      fc.property(fc.shuffledSubarray(specs, { minLength: specs.length }), (order) => {
        expect(digest(order)).toBe(digest(specs));
      }),
    );
  });

  it('refuse everything of an endpoint whose addresses have different policies', () => {
    const snapshot = wireSnapshot(EMPTY_POLICY, ['10.0.0.1', '10.0.0.99']);
    const { endpoints, policies, warnings } = kernelTable(snapshot, NO_DNS);
    const policy = policies[(endpoints[0]?.ingressPolicy ?? 0) - 1];
    expect(policy?.areas.every(({ verdict, slot }) => verdict === 'deny' && slot === 0)).toBe(true);
    expect(warnings).toEqual([expect.stringContaining('ns/subject')]);
  });
});

const NO_DNS = { isDnsAllowed: false };

const EMPTY_POLICY: EndpointPolicy = {
  name: 'ns/subject',
  endpointIps: ['10.0.0.1'],
  endpointId: 1,
  ingress: [],
  egress: [],
};

function wireSnapshot(policy: EndpointPolicy, ips = ['10.0.0.1']): PolicySnapshot {
  const result = compilePolicies([policy], {
    revision: 1,
    regexEngine: ENGINE,
    limits: DEFAULT_LIMITS,
    secrets: SECRETS,
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
    node: {
      prefixes: [],
      workloads: [
        { name: 'ns/subject', interface: 'lxc1', podUid: null, ips, identity: 300 as Identity },
      ],
    },
  });
  if (result.kind === 'error') throw new Error(JSON.stringify(result.problems));
  return result.snapshot;
}
