/**
 * Numbers for label sets are scarce: who gets none is `reserved:init`, alone, and is mended when one is free; one
 * namespace cannot have them all. A store that follows by what differs says what one says that is given all at once.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createJudge } from '../../../src/control/ask/judge.ts';
import { parseQuestion } from '../../../src/control/ask/question.ts';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../../src/control/set/policy_input.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { parseIp } from '../../../src/model/address.ts';
import {
  IDENTITY_WORLD,
  type Identity,
  type Port,
  type ProxyId,
  RESERVED_IDENTITIES,
} from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { labelSetKey } from '../../../src/policy/labels.ts';
import { completeLabels } from '../../../src/policy/resolve/endpoint_labels.ts';
import { IdentityAllocator } from '../../../src/policy/resolve/identity_allocator.ts';
import { EMPTY_INVENTORY, type InventoryEndpoint } from '../../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';

const REGEX_ENGINE = createRe2Engine(DEFAULT_LIMITS);
const GRACE_MS = 10_000;
const RANGES = { cluster: { min: 1000, max: 1019 }, local: { min: 0x100_0001, max: 0x100_0100 } };
const INIT = RESERVED_IDENTITIES.init;

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress: [{ fromEndpoints: [{ matchLabels: { app: web } }] }]
  egress: [{ toCIDR: [192.0.2.0/24] }]
`;

const POLICIES = decodeBundle(
  { policies: [{ path: 'p', text: POLICY }], endpoints: null, secrets: null },
  { regexEngine: REGEX_ENGINE, limits: DEFAULT_LIMITS, hasNodeLabels: false },
);

describe('when no number is left', () => {
  it('a tenant who relabels its pods again and again keeps nobody else out', () => {
    const world = new World({ identityNamespaceCountMax: 8 });
    world.offer([API, WEB]);
    for (let round = 0; round < 30; round++) {
      world.nowMs += 100;
      world.offer([API, WEB, ...tenant(round)]);
      expect(world.isOpen(WEB)).toBe(true);
    }
    expect(world.refused().length).toBeGreaterThan(0);
    const late = podOf('bank/late', 9, ['app=late']);
    const all = [API, WEB, ...tenant(29)];
    world.offer([...all, late]);
    expect(world.identityOf(late)).not.toBe(INIT);
    expect(world.refused()).not.toContain('bank/late');
  });

  it.each([true, false])(
    'only who has no number is init, until one is free: at once %s',
    (isWhole) => {
      const world = new World({}, isWhole);
      const many = tenant(0, 19);
      world.offer([API, WEB, ...many]);
      const [last] = many.filter((pod) => world.identityOf(pod) === INIT);
      expect(world.refused()).toEqual([last?.name]);
      expect(world.isOpen(WEB)).toBe(true);
      expect(world.opensTo(last as InventoryEndpoint)).toBe(false);
      const rest = many.filter((pod) => pod !== last).slice(1);
      const after = [API, WEB, ...rest, last as InventoryEndpoint];
      world.offer(after);
      expect(world.refused()).toEqual([last?.name]);
      world.nowMs += GRACE_MS + 1;
      world.offer([...after, podOf('shop/api-2', 50, ['app=api'])]);
      expect(world.refused()).toEqual([]);
      expect(world.identityOf(last as InventoryEndpoint)).not.toBe(INIT);
    },
  );

  it('who is init for want of one is told as what it is by explain: no policy selects it', () => {
    const limits = { ...DEFAULT_LIMITS, identityNamespaceCountMax: 1 };
    const options = { limits, regexEngine: REGEX_ENGINE, normalisePath: (path: string) => path };
    const created = createJudge(inputOf([podOf('shop/aaa', 3, ['app=aaa']), API]), options);
    if (created.kind === 'rejected') throw new Error('it was rejected');
    const parsed = parseQuestion({ endpoint: 'shop/api', remote: 'shop/aaa', port: 80 });
    if (parsed.kind === 'error') throw new Error(parsed.message);
    const told = created.judge.explain(parsed.question);
    expect(told).toMatchObject({
      line: { verdict: 'deny' },
      selecting: [],
      defaultDeny: [],
      near: [],
    });
  });

  it('a set that somebody wrote as one is refused', () => {
    const world = new World({});
    const result = world.store.update({ ...inputOf(tenant(0, 21)), areConflictsDenied: false });
    expect(result).toMatchObject({
      kind: 'rejected',
      problems: [{ message: expect.stringContaining('no identity is left') }],
    });
  });

  it('also where identities are as many as there may be at once', () => {
    const world = new World({ identityCountMax: 20 });
    world.offer([API, WEB]);
    world.offer([API, WEB, ...tenant(0, 15)]);
    expect(world.refused().length).toBeGreaterThan(5);
    expect(world.isOpen(WEB)).toBe(true);
    world.offer([API, WEB]);
    world.offer([API, WEB, ...tenant(1, 2)]);
    expect(world.refused()).toEqual([]);
  });
});

const history = fc.array(
  fc.record({
    round: fc.nat(3),
    count: fc.nat(25),
    others: fc.nat(6),
    waitMs: fc.constantFrom(0, 100, GRACE_MS + 1),
  }),
  { minLength: 2, maxLength: 12 },
);

it("nobody has another's number, whoever has none is told, and numbers that are free are given", () => {
  fc.assert(
    fc.property(history, (steps) => {
      const world = new World({ identityNamespaceCountMax: 12 });
      for (const { round, count, others, waitMs } of steps) {
        world.nowMs += waitMs;
        const pods = [API, WEB, ...tenant(round, count), ...tenant(0, others, 'bank')];
        world.offer(pods);
        const init = pods.filter((pod) => world.identityOf(pod) === INIT);
        expect(world.refused()).toEqual(init.map(({ name }) => name).sort());
        const given = pods.filter((pod) => !init.includes(pod));
        const keys = new Map(given.map((pod) => [world.identityOf(pod), labelSetKey(pod.labels)]));
        expect(keys.size).toBe(given.length);
        expect(init).not.toContain(API);
        expect(world.isOpen(WEB)).toBe(true);
        // All there is room for beside the most that the other namespace may have.
        expect(init.filter(({ name }) => name.startsWith('bank/'))).toEqual([]);
      }
    }),
    runs(100),
  );
});

/** What a tenant has in a round: other labels than in any other. */
function tenant(round: number, count = 6, namespace = 'tenant'): readonly InventoryEndpoint[] {
  return Array.from({ length: count }, (_, index) =>
    podOf(`${namespace}/p${index}`, index, [`v=${round}-${index}`]),
  );
}

const API = podOf('shop/api', 1, ['app=api']);
const WEB = podOf('shop/web', 2, ['app=web']);

function podOf(name: string, number: number, labels: readonly string[]): InventoryEndpoint {
  const namespace = name.slice(0, name.indexOf('/'));
  const net = ['shop', 'tenant', 'bank'].indexOf(namespace) + 1;
  const all = completeLabels(
    labels.map((label) => `k8s:${label}`),
    { namespace, cluster: 'default' },
  );
  const ip = parseIp(`10.0.${net}.${number}`);
  if (ip === null) throw new Error('no address');
  return {
    ...{ name, ips: [ip], labels: all, identity: null },
    ...{ endpointId: 0, namedPorts: [], isLocal: true, interface: null, podUid: null },
  };
}

function inputOf(endpoints: readonly InventoryEndpoint[]): PolicyInput {
  if (POLICIES.kind === 'rejected') throw new Error('wrong policies');
  const inventory = { ...EMPTY_INVENTORY, endpoints };
  return { ...POLICIES.input, inventory, parts: [inventory], areConflictsDenied: true };
}

class World {
  nowMs = 0;
  readonly store: PolicyChecker;
  readonly #isWhole: boolean;

  constructor(changes: Partial<typeof DEFAULT_LIMITS>, isWhole = false) {
    const limits = { ...DEFAULT_LIMITS, identityGraceMs: GRACE_MS, ...changes };
    const allocator = new IdentityAllocator(limits, { nowMs: () => this.nowMs, ranges: RANGES });
    this.store = new PolicyChecker({ regexEngine: REGEX_ENGINE, limits, allocator });
    this.#isWhole = isWhole;
  }

  #refused: readonly string[] = [];

  offer(endpoints: readonly InventoryEndpoint[]): void {
    const input = inputOf(endpoints);
    const isFirst = this.store.current().revision === 0;
    const moved = isFirst || this.#isWhole ? null : this.store.move(input);
    const result = moved ?? this.store.update(input);
    if ('kind' in result && result.kind === 'rejected') {
      throw new Error(result.problems.map(({ message }) => message).join());
    }
    this.#refused = result.refused.map(({ place }) =>
      place.kind === 'object' ? `${place.namespace}/${place.name}` : '',
    );
  }

  refused(): readonly string[] {
    return [...this.#refused].sort();
  }

  identityOf({ ips }: InventoryEndpoint): Identity | null {
    return this.store.current().ipcache.lookup(ips[0]?.text as string);
  }

  /** To the one that a policy selects. */
  isOpen(from: InventoryEndpoint): boolean {
    return this.#isAllowed(API, from);
  }

  opensTo(endpoint: InventoryEndpoint): boolean {
    return this.#isAllowed(endpoint, WEB);
  }

  #isAllowed(endpoint: InventoryEndpoint, from: InventoryEndpoint): boolean {
    const remote = this.identityOf(from) ?? IDENTITY_WORLD;
    const to = this.store.current().endpoint(endpoint.ips[0]?.text as string);
    const view = to.port('ingress', 'TCP', 80 as Port).view(0 as ProxyId, remote);
    return decideConnection(view, '').verdict === 'allow';
  }
}
