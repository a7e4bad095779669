/** Objects through the real feed: what one of them does, the others do not feel. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DecodeOptions } from '../../../../src/control/decode/context.ts';
import { formatHolder } from '../../../../src/control/decode/place.ts';
import { decodePolicyObject } from '../../../../src/control/decode/policy_object.ts';
import { formatProblem } from '../../../../src/control/decode/problem.ts';
import { PolicyChecker } from '../../../../src/control/set/policy_checker.ts';
import type { PolicyInput, RefusedDocument } from '../../../../src/control/set/policy_input.ts';
import { type ApiObject, ObjectSet } from '../../../../src/control/source/objects/object_set.ts';
import {
  type FeedRead,
  type FeedStart,
  PolicyFeed,
} from '../../../../src/control/source/policy_feed.ts';
import {
  type Identity,
  type Port,
  type ProxyId,
  RESERVED_IDENTITIES,
} from '../../../../src/model/identity.ts';
import type { InvalidPolicy } from '../../../../src/model/invalid_policy.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { decideConnection } from '../../../../src/policy/decide/decide.ts';
import { printSnapshot } from '../../../../src/policy/decide/print.ts';
import { createRe2Engine } from '../../../../src/regex/re2_engine.ts';
import { inventoryOf } from '../../../support/inventory.ts';
import { cnpObject, MemorySource, opens } from '../../../support/objects.ts';
import { runs } from '../../../support/property_runs.ts';

const regexEngine = createRe2Engine(DEFAULT_LIMITS);
const decode: DecodeOptions = { limits: DEFAULT_LIMITS, regexEngine };
const PORTS = [80, 81, 53];
const ENDPOINTS = `endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: bank/api, ip: 10.0.0.2, labels: { app: api } }
`;
const INVENTORY = inventoryOf(ENDPOINTS);

/** Of two there are too many identities for one set: whichever comes second cannot be enforced. */
const LIMITS = { ...DEFAULT_LIMITS, identityCountMax: 40 };
const NEAR = cidrs('100.64.0');
const FAR = cidrs('100.65.0');

/** Rules of one port and peer that exclude each other. */
const HTTP = l7('{"http":[{}]}');
const DNS = l7('{"dns":[{"matchPattern":"*"}]}');

/** What the older form of the last one was in the way of is taken with its newer form: found by chance. */
const IN_THE_WAY_OF_AN_OLDER_FORM: readonly Step[] = [
  { namespace: 'bank', name: 'a', spec: opens('api', 80) },
  { namespace: 'shop', name: 'b', spec: FAR },
  { namespace: 'shop', name: 'c', spec: NEAR },
  { namespace: 'bank', name: 'c', spec: NEAR },
  { namespace: 'shop', name: 'a', spec: FAR },
  { namespace: 'shop', name: 'b', spec: undefined },
  { namespace: 'bank', name: 'a', spec: FAR },
  { namespace: 'shop', name: 'a', spec: opens('api', 80) },
  { namespace: 'shop', name: 'a', spec: undefined },
];

interface Step {
  readonly namespace: string;
  readonly name: string;
  /** Undefined: it is deleted. */
  readonly spec: Parameters<typeof cnpObject>[2];
}

describe('objects that are offered', () => {
  it('are nothing before all of them have been listed', () => {
    const tenants = new Tenants();
    tenants.source.put(cnpObject('shop', 'a', opens('api', 80)));
    expect(tenants.starts).toEqual([]);
    tenants.source.synced();
    expect(tenants.starts).toMatchObject([{ kind: 'changed' }]);
    expect(tenants.opened('shop')).toEqual([80]);
  });

  it('one that is bad does not freeze the others, and is told with its name', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', opens('api', 80)));
    source.put(cnpObject('bank', 'b', opens('api', 80)));
    source.synced();
    source.put(cnpObject('shop', 'a', { endpointSelector: {}, ingres: [] }));
    expect(tenants.opened('shop')).toEqual([80]);
    source.put(cnpObject('bank', 'b', opens('api', 81)));
    expect(tenants.opened('bank')).toEqual([81]);
    expect(tenants.refused).toMatchObject([{ inForce: 'last-good' }]);
    expect(tenants.refused.flatMap(({ problems }) => problems.map(formatProblem))).toEqual([
      expect.stringMatching(/^CiliumNetworkPolicy shop\/a: spec\.ingres: unknown field/),
      expect.stringMatching(/^CiliumNetworkPolicy shop\/a: spec: has no rules/),
    ]);
    source.put(cnpObject('shop', 'a', opens('api', 81)));
    expect(tenants.refused).toEqual([]);
    expect(tenants.opened('shop')).toEqual([81]);
    expect(tenants.toldRefused).toEqual([1, 0]);
  });

  it('rules that exclude each other deny the endpoints that they meet at, and nobody is refused', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', opens('api', 80)));
    source.put(cnpObject('bank', 'a', opens('api', 80)));
    source.put(cnpObject('shop', 'http', HTTP));
    source.synced();
    source.put(cnpObject('shop', 'dns', DNS));
    expect(tenants.opened('shop')).toEqual([]);
    expect(tenants.opened('bank')).toEqual([80]);
    expect(tenants.isHostIn('shop')).toBe(true);
    expect(tenants.refused).toMatchObject([
      { place: { apiKind: 'Endpoint', namespace: 'shop', name: 'api' }, inForce: 'deny' },
    ]);
    const [told = ''] = tenants.refused.flatMap(({ problems }) => problems.map(formatProblem));
    expect(told).toMatch(/conflicting L7 parsers.*shop\/dns.*shop\/http/);
    expect(tenants.feed.staleness).toBeNull();
    source.remove(cnpObject('shop', 'http', HTTP).ref);
    expect(tenants.opened('shop')).toEqual([80]);
    expect(tenants.refused).toEqual([]);
    expect(tenants.checkCount).toBe(0);
  });

  it('a pod whose labels bring such rules together is denied alone, and so are those like it', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', opens('api', 80)));
    source.put(cnpObject('shop', 'http', { ...HTTP, endpointSelector: matching('x') }));
    source.put(cnpObject('shop', 'dns', { ...DNS, endpointSelector: matching('y') }));
    source.synced();
    const labels = 'labels: { app: api, x: a, y: a }';
    const both = `  - { name: shop/both, ip: 10.0.0.3, ${labels} }\n`;
    source.setInventory(inventoryOf(`${ENDPOINTS}${both}`));
    expect(tenants.denied()).toEqual(['shop/both']);
    expect(tenants.opened('shop')).toEqual([80]);
    expect(tenants.opened('shop', 'both')).toEqual([]);
    source.setInventory(
      inventoryOf(`${ENDPOINTS}${both}${both.replace('both', 'two').replace('0.3', '0.4')}`),
    );
    expect(tenants.denied()).toEqual(['shop/both', 'shop/two']);
    expect(tenants.opened('shop', 'two')).toEqual([]);
    source.setInventory(INVENTORY);
    expect(tenants.denied()).toEqual([]);
    expect(tenants.feed.staleness).toBeNull();
  });

  it('where one of such rules denies, not even the host comes in', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    const ingressDeny = [{ fromEntities: ['host'] }];
    source.put(cnpObject('shop', 'a', { ...HTTP, ingressDeny }));
    source.put(cnpObject('shop', 'b', DNS));
    source.synced();
    expect(tenants.denied()).toEqual(['shop/api']);
    expect(tenants.isHostIn('shop')).toBe(false);
  });

  it('two that cannot stand together: the newer is refused, and taken when the older goes', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    const old = cnpObject('shop', 'old', NEAR);
    source.put(old);
    source.synced();
    source.put(cnpObject('shop', 'new', FAR));
    source.put(cnpObject('bank', 'b', opens('api', 80)));
    expect(tenants.opened('bank')).toEqual([80]);
    expect(tenants.refused).toMatchObject([{ place: { name: 'new' }, inForce: 'absent' }]);
    expect(tenants.refused[0]?.problems.map(formatProblem).join()).toContain(
      'no identity is left for new labels or prefixes',
    );
    expect(tenants.feed.staleness).toBeNull();
    source.remove(old.ref);
    expect(tenants.refused).toEqual([]);
    expect(tenants.names()).toEqual(['bank/b', 'shop/new']);
  });

  it('one that was good and cannot stand beside others any more keeps its form', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', NEAR));
    source.put(cnpObject('shop', 'b', opens('api', 80)));
    source.synced();
    source.put(cnpObject('shop', 'b', FAR));
    expect(tenants.opened('shop')).toEqual([80]);
    expect(tenants.refused).toMatchObject([{ place: { name: 'b' }, inForce: 'last-good' }]);
  });

  it('with invalidPolicy: deny, one that cannot stand beside others closes what it selects', () => {
    for (const [invalidPolicy, open] of [
      ['absent', [80]],
      ['deny', []],
    ] as const) {
      const tenants = new Tenants(invalidPolicy);
      const { source } = tenants;
      source.put(cnpObject('bank', 'a', opens('other', 80)));
      source.synced();
      source.put(cnpObject('shop', 'first', NEAR));
      const second = { ...FAR, endpointSelector: { matchLabels: { app: 'api' } } };
      source.put(cnpObject('shop', 'second', second));
      expect(tenants.refused).toMatchObject([
        { place: { name: 'second' }, inForce: invalidPolicy },
      ]);
      // Only egress is named by either: default deny of the second closes the way in, too.
      expect(tenants.isOpen('shop', 80)).toBe(open.length > 0);
    }
  });

  it('an inventory that cannot be is nobody’s fault among them: the set is stale', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', opens('api', 80)));
    source.synced();
    const twice = inventoryOf(
      'endpoints: [{ name: a/b, identity: 5000, labels: { x: a } }, { name: a/c, identity: 5000, labels: { x: c } }]',
    );
    source.setInventory(twice);
    expect(tenants.feed.staleness?.problems).toEqual([
      expect.stringContaining('the policy set: identity 5000'),
    ]);
    source.put(cnpObject('shop', 'a', opens('api', 81)));
    expect(tenants.refused).toEqual([]);
    expect(tenants.opened('shop')).toEqual([80]);
    source.setInventory(INVENTORY);
    expect(tenants.feed.staleness).toBeNull();
    expect(tenants.opened('shop')).toEqual([81]);
  });

  it('are refused one by one where many are bad at once', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    for (let i = 0; i < 40; i++) source.put(cnpObject('shop', `near-${i}`, NEAR));
    for (let i = 0; i < 5; i++) source.put(cnpObject('shop', `far-${i}`, FAR));
    source.synced();
    expect(tenants.names()).toHaveLength(40);
    expect(tenants.refused.map(({ place }) => formatHolder(place)).toSorted()).toEqual(
      [0, 1, 2, 3, 4].map((i) => `CiliumNetworkPolicy shop/far-${i}`),
    );
  });

  it('whatever their history, all that can be in force is, and no more', () => {
    const specs = [opens('api', 80), NEAR, FAR, NEAR, FAR, { ingres: 1 }];
    const step = fc.record({
      namespace: fc.constantFrom('shop', 'bank'),
      name: fc.constantFrom('a', 'b', 'c'),
      spec: fc.option(fc.constantFrom(...specs), { nil: undefined, freq: 6 }),
    });
    const seen = { refused: 0, blamed: 0, changed: 0 };
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 14 }), (history: readonly Step[]) => {
        const tenants = new Tenants();
        tenants.source.synced();
        const newest = new Map<string, ApiObject>();
        for (const { namespace, name, spec } of history) {
          const object = cnpObject(namespace, name, spec);
          if (spec === undefined) {
            newest.delete(`${namespace}/${name}`);
            tenants.source.remove(object.ref);
          } else {
            newest.set(`${namespace}/${name}`, object);
            tenants.source.put(object);
          }
          expect(tenants.feed.staleness).toBeNull();
          tenants.checkInForce();
          seen.refused += tenants.refused.length;
          seen.blamed += tenants.checkBlamed(newest);
        }
        seen.changed += tenants.reads.filter(({ kind }) => kind === 'changed').length;
      }),
      { ...runs(60), examples: [[IN_THE_WAY_OF_AN_OLDER_FORM]] },
    );
    expect(Math.min(seen.refused, seen.blamed, seen.changed)).toBeGreaterThan(20);
  });
});

/** A feed of objects in memory, with what it told. */
class Tenants {
  readonly source: MemorySource;
  readonly feed: PolicyFeed;
  readonly starts: FeedStart[] = [];
  readonly reads: FeedRead[] = [];
  /** How many, each time. */
  readonly toldRefused: number[] = [];
  refused: readonly RefusedDocument[] = [];
  /** Sets that were tried. */
  checkCount = 0;
  readonly #store = new PolicyChecker({ limits: LIMITS, regexEngine });

  constructor(invalidPolicy: InvalidPolicy = 'absent') {
    const set = new ObjectSet({ decode, invalidPolicy });
    const { check } = this.#store;
    this.#store.check = (input) => {
      this.checkCount += 1;
      return check.call(this.#store, input);
    };
    this.source = new MemorySource(set, { inventory: INVENTORY, secrets: new Map() });
    this.feed = new PolicyFeed({
      source: this.source,
      store: this.#store,
      decode,
      lastGood: null,
      limits: DEFAULT_LIMITS,
      wallMs: () => 0,
      events: {
        onReading: () => {},
        onStart: (start) => this.starts.push(start),
        onRead: (read) => this.reads.push(read),
        onRefused: (refused) => {
          this.refused = refused;
          this.toldRefused.push(refused.length);
        },
        onHealth: () => {},
        onNotice: () => {},
      },
    });
    this.feed.start();
  }

  names(): readonly string[] {
    return this.#store.current().policyNames;
  }

  /** Endpoints that are denied, as rules exclude each other there. */
  denied(): readonly string[] {
    return this.refused.flatMap(({ place }) =>
      place.kind === 'object' && place.apiKind === 'Endpoint'
        ? [`${place.namespace}/${place.name}`]
        : [],
    );
  }

  /** Which ports everybody may reach. */
  opened(namespace: string, name = 'api'): readonly number[] {
    return PORTS.filter((port) => this.isOpen(namespace, port, name));
  }

  isHostIn(namespace: string): boolean {
    return this.isOpen(namespace, 80, 'api', RESERVED_IDENTITIES.host);
  }

  isOpen(
    namespace: string,
    port: number,
    name = 'api',
    remote: number = RESERVED_IDENTITIES.world,
  ): boolean {
    const view = this.#store
      .current()
      .endpointNamed(`${namespace}/${name}`)
      ?.port('ingress', 'TCP', port as Port)
      .view(0 as ProxyId, remote as Identity);
    return view !== undefined && decideConnection(view, '').verdict === 'allow';
  }

  /** What is in force is what a store makes of it that never saw anything else. */
  checkInForce(): void {
    const input = this.#inForce();
    const fresh = new PolicyChecker({ limits: LIMITS, regexEngine });
    expect(fresh.update(input).kind).toBe('accepted');
    expect(printSnapshot(this.#store.current())).toEqual(
      printSnapshot(fresh.current()).replace(
        /revision 1\b/,
        `revision ${this.#store.current().revision}`,
      ),
    );
  }

  /** What was decoded and refused all the same could not be in force beside the rest. How many those are. */
  checkBlamed(newest: ReadonlyMap<string, ApiObject>): number {
    const input = this.#inForce();
    let count = 0;
    for (const { place } of this.refused) {
      const name = place.kind === 'object' ? `${place.namespace}/${place.name}` : '';
      const { object, ref } = newest.get(name) as ApiObject;
      const decoded = decodePolicyObject(object, ref, decode);
      if (decoded.kind === 'refused') continue;
      count += 1;
      const others = input.documents.filter((document) => document.name !== name);
      const documents = [...others, decoded.document];
      const fresh = new PolicyChecker({ limits: LIMITS, regexEngine });
      expect(fresh.check({ ...input, documents })?.kind).toBe('rejected');
    }
    return count;
  }

  #inForce(): PolicyInput {
    const changed = [...this.reads, ...this.starts].filter((one) => one.kind === 'changed');
    const newest = changed.toSorted((a, b) => b.accepted.revision - a.accepted.revision)[0];
    if (newest === undefined) throw new Error('nothing was accepted');
    return newest.offered.input;
  }
}

function l7(rules: string): object {
  return {
    endpointSelector: {},
    egress: [
      {
        toEndpoints: [{ matchLabels: { app: 'dns' } }],
        toPorts: [{ ports: [{ port: '53', protocol: 'TCP' }], rules: JSON.parse(rules) }],
      },
    ],
  };
}

function matching(key: string): object {
  return { matchLabels: { [key]: 'a' } };
}

/** Names as many identities as there are numbers behind the text. */
function cidrs(text: string): object {
  const toCIDR = Array.from({ length: 20 }, (_, index) => `${text}.${index}/32`);
  return { endpointSelector: {}, egress: [{ toCIDR }] };
}
