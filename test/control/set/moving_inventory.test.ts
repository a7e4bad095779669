/**
 * An inventory in which only what changed is another object: a store that follows it by what differs has the same who
 * is who, under the same numbers, and the same verdicts, as one that is given all of it at once.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../../src/control/set/policy_input.ts';
import { compileSet } from '../../../src/control/set/resolved_set.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { IDENTITY_WORLD, type Port, type ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { finish } from '../../../src/model/steps.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import {
  type AllocationRequest,
  IdentityAllocator,
  type TakenIdentities,
} from '../../../src/policy/resolve/identity_allocator.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import {
  anyChange,
  changed,
  IPS,
  LEARNED_IPS,
  NODE_IPS,
  RESIDENTS,
  whoIsWho,
} from '../../support/inventory_changes.ts';
import { runs } from '../../support/property_runs.ts';

const STORE = { regexEngine: createRe2Engine(DEFAULT_LIMITS), limits: DEFAULT_LIMITS };
const PORTS = [80, 81];

const RULES = [
  'ingress: [{ fromEndpoints: [{ matchLabels: { app: web } }] }]',
  'ingress: [{ fromEntities: [remote-node], toPorts: [{ ports: [{ port: "80", protocol: TCP }] }] }]',
  'egress: [{ toEndpoints: [{ matchLabels: { app: web } }], toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  'egress: [{ toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  'egress: [{ toCIDRSet: [{ cidr: 10.0.0.4/32 }] }]',
  'egress: [{ toFQDNs: [{ matchPattern: "*.example.com" }] }]',
  'egress: [{ toFQDNs: [{ matchName: api.example.com }], toPorts: [{ ports: [{ port: "80", protocol: TCP }] }] }]',
  'egressDeny: [{ toCIDRSet: [{ cidr: 203.0.113.0/24, except: [203.0.113.7/32] }] }]',
  'egress: [{ toCIDRSet: [{ cidr: 198.51.100.1/32 }, { cidr: 198.51.0.0/16 }] }]',
  'egress: [{ toServices: [{ k8sService: { serviceName: one, namespace: default } }] }]',
  'egress: [{ toServices: [{ k8sService: { serviceName: two, namespace: default } }] }]',
  'egressDeny: [{ toEndpoints: [{ matchLabels: { tier: x } }] }]',
];

const history = fc.record({
  rules: fc.subarray(RULES, { minLength: 1, maxLength: 3 }),
  steps: fc.array(fc.array(anyChange, { minLength: 1, maxLength: 3 }), {
    minLength: 3,
    maxLength: 12,
  }),
});

it('has the same who is who, numbers and verdicts as one that is given whole', () => {
  let wholeCount = 0;
  let moveCount = 0;
  let toldCount = 0;
  fc.assert(
    fc.property(history, ({ rules, steps }) => {
      const allocator = new CountedAllocator(DEFAULT_LIMITS);
      const store = new PolicyChecker({ ...STORE, allocator });
      const documents = documentsOf(rules);
      let inventory = EMPTY_INVENTORY;
      for (const changes of [RESIDENTS, ...steps]) {
        for (const one of changes) inventory = changed(inventory, one);
        const input = inputOf(documents, inventory);
        const given = allocator.given();
        const before = allocator.wholeCount;
        const moved = store.current().revision === 0 ? null : store.move(input);
        if (moved !== null) {
          moveCount += 1;
          if (allocator.wholeCount === before) toldCount += 1;
        } else if (store.update(input).kind === 'rejected') continue;
        else wholeCount += 1;
        const fresh = freshOf(input, moved === null ? given : allocator.given());
        const expected = whoIsWho(fresh.resolved()?.roster);
        expect(whoIsWho(store.resolved()?.roster)).toEqual(expected);
        expect(whoIsWho(store.current().who?.roster)).toEqual(expected);
        const verdicts = verdictsOf(fresh.current());
        expect(verdictsOf(store.current())).toEqual(verdicts);
        expect(verdictsOf(forOthers(store))).toEqual(verdicts);
        expect(store.current().node.workloads).toEqual(fresh.current().node.workloads);
      }
    }),
    runs(100),
  );
  expect(Math.min(wholeCount, moveCount - toldCount)).toBeGreaterThan(10);
  expect(toldCount).toBeGreaterThan(40);
});

/** Tells who makes the whole table: that passes a set of all numbers that are taken. */
class CountedAllocator extends IdentityAllocator {
  wholeCount = 0;

  override allocate(requests: Iterable<AllocationRequest>, taken: TakenIdentities) {
    if (taken instanceof Set) this.wholeCount += 1;
    return super.allocate(requests, taken);
  }
}

function freshOf(input: PolicyInput, given: ReturnType<IdentityAllocator['given']>): PolicyChecker {
  const allocator = new IdentityAllocator(DEFAULT_LIMITS);
  allocator.restore(given);
  const fresh = new PolicyChecker({ ...STORE, allocator });
  expect(fresh.update(input).kind).toBe('accepted');
  return fresh;
}

function documentsOf(rules: readonly string[]): PolicyInput {
  const text = rules
    .map(
      (rule, index) =>
        `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p${index}, namespace: default }\nspec:\n  endpointSelector: ${index % 2 === 0 ? '{}' : '{ matchLabels: { app: api } }'}\n  ${rule}\n`,
    )
    .join('---\n');
  const bundle = { policies: [{ path: 'p', text }], endpoints: null, secrets: null };
  const decoded = decodeBundle(bundle, { ...STORE, hasNodeLabels: false });
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
  return decoded.input;
}

function inputOf(documents: PolicyInput, inventory: Inventory): PolicyInput {
  return { ...documents, inventory, parts: [inventory, ...documents.documents] };
}

/** What a worker has that starts now. */
function forOthers(store: PolicyChecker): PolicySnapshot {
  const set = store.resolved();
  if (set === null) throw new Error('no set is in force');
  const compiled = finish(compileSet(set, { ...STORE, revision: 1 }));
  if (compiled.kind === 'error') throw new Error(JSON.stringify(compiled.problems));
  return compiled.snapshot;
}

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  const remotes = [...IPS, ...NODE_IPS, ...LEARNED_IPS, '172.16.0.1', '10.1.0.1', '10.1.0.3'];
  return [...IPS, '10.1.0.2', '10.1.0.3'].flatMap((ip) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      remotes.flatMap((remoteIp) =>
        PORTS.map((port) => {
          const endpoint = snapshot.endpoint(ip);
          const remote = snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
          const view = endpoint.port(direction, 'TCP', port as Port).view(0 as ProxyId, remote);
          const { verdict } = decideConnection(view, '');
          return `${endpoint.name} ${ip} ${direction} ${remoteIp} ${port}: ${verdict}`;
        }),
      ),
    ),
  );
}
