/**
 * ICMP and other IP protocols in the kernel's tables, against a direct reading of the rules: what no proxy
 * sees has no other engine to be compared with. The oracle knows no pieces, no levels and no merging.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import type { DirectionRule, IcmpSelector, PolicySpec } from '../../../src/policy/rule.ts';
import { LabelSet, selectorMatches } from '../../../src/policy/selector.ts';
import { cnpSnapshot } from '../../support/cnp_snapshot.ts';
import { modelOf } from '../../support/kernel_model.ts';
import { runs } from '../../support/property_runs.ts';
import { API, app, from, JOB, ports, rule, spec, WEB } from '../../support/resolve_world.ts';

const HOST = 1 as Identity;
const STRANGER = 999 as Identity;
const REMOTES = [API, WEB, JOB].map(({ identity }) => identity as Identity);
const PROTOCOLS = { ICMP: 1, ICMPv6: 58, GRE: 47, ESP: 50 } as const;
const TYPES = [0, 8, 128, 255];

const anyIcmp: fc.Arbitrary<IcmpSelector> = fc.record({
  protocol: fc.constantFrom('ICMP', 'ICMPv6'),
  type: fc.constantFrom(...TYPES),
});

const anyRule: fc.Arbitrary<DirectionRule> = fc
  .record({
    action: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
    peers: fc.option(fc.subarray(['api', 'web', 'job']).map((names) => from(...names))),
    kind: fc.constantFrom('every', 'icmp', 'ports'),
    icmps: fc.array(anyIcmp, { minLength: 1, maxLength: 3 }),
  })
  .map(({ action, peers, kind, icmps }) =>
    rule({
      action,
      peers,
      ...(kind === 'icmp' ? { hasIcmps: true, icmps } : {}),
      ...(kind === 'ports' ? { ports: [ports('0')] } : {}),
    }),
  );

const anySpec: fc.Arbitrary<PolicySpec> = fc
  .record({
    rules: fc.array(anyRule, { minLength: 1, maxLength: 3 }),
    subject: fc.constantFrom('api', 'web'),
    isDefaultDeny: fc.boolean(),
  })
  .map(({ rules, subject, isDefaultDeny }) =>
    spec(rules, {
      subject: { kind: 'endpoints', selector: app(subject) },
      enableDefaultDeny: { ingress: isDefaultDeny, egress: false },
    }),
  );

describe('what no proxy sees', () => {
  it('is allowed and denied by the rules, as they read', () => {
    fc.assert(
      fc.property(fc.array(anySpec, { maxLength: 4 }), (specs) => {
        const model = modelOf(cnpSnapshot(specs));
        const policy = model.policyOf(API.endpointId, 'ingress');
        for (const [name, protocol] of Object.entries(PROTOCOLS)) {
          for (const remote of [...REMOTES, HOST, STRANGER]) {
            for (const type of TYPES) {
              const packet = { protocol, port: (type << 8) | 3, remote };
              const isAllowed = mayPass(specs, { name, type, remote });
              expect(`${name} ${type} ${remote} ${model.verdict(policy, packet)}`).toBe(
                `${name} ${type} ${remote} ${isAllowed ? 'allow' : 'deny'}`,
              );
            }
          }
        }
      }),
      runs(80),
    );
  });
});

interface Packet {
  readonly name: string;
  readonly type: number;
  readonly remote: Identity;
}

function mayPass(specs: readonly PolicySpec[], packet: Packet): boolean {
  const own = specs.filter(({ subject }) =>
    selectorMatches(subject.selector, new LabelSet(API.labels)),
  );
  const touching = own
    .flatMap(({ rules }) => rules)
    .filter((one) => isAbout(one, packet) && isFrom(one, packet.remote));
  if (touching.some(({ action }) => action === 'deny')) return false;
  if (packet.remote === HOST) return true;
  const isDenied = own.some(({ enableDefaultDeny }) => enableDefaultDeny.ingress);
  return !isDenied || touching.length > 0;
}

function isAbout(one: DirectionRule, { name, type }: Packet): boolean {
  if (one.ports !== null) return false;
  if (!one.hasIcmps) return one.peers !== null;
  return (one.icmps ?? []).some((icmp) => icmp.protocol === name && icmp.type === type);
}

function isFrom({ peers }: DirectionRule, remote: Identity): boolean {
  if (peers === null) return true;
  const labels = [API, WEB, JOB].find(({ identity }) => identity === remote)?.labels;
  if (labels === undefined) return false;
  const set = new LabelSet(labels);
  return peers.some((peer) => peer.kind === 'selector' && selectorMatches(peer.selector, set));
}
