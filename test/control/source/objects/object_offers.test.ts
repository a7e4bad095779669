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
import type { Identity, Port, ProxyId } from '../../../../src/model/identity.ts';
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
const INVENTORY = inventoryOf(`endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: bank/api, ip: 10.0.0.2, labels: { app: api } }
`);

/** Rules of one port and peer that exclude each other: whichever comes second cannot be enforced. */
const HTTP = l7('{"http":[{}]}');
const DNS = l7('{"dns":[{"matchPattern":"*"}]}');

/** What the older form of the last one was in the way of is taken with its newer form: found by chance. */
const IN_THE_WAY_OF_AN_OLDER_FORM: readonly Step[] = [
  { namespace: 'bank', name: 'a', spec: opens('api', 80) },
  { namespace: 'shop', name: 'b', spec: DNS },
  { namespace: 'shop', name: 'c', spec: HTTP },
  { namespace: 'bank', name: 'c', spec: HTTP },
  { namespace: 'shop', name: 'a', spec: DNS },
  { namespace: 'shop', name: 'b', spec: undefined },
  { namespace: 'bank', name: 'a', spec: DNS },
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

  it('two that cannot stand together: the newer is refused, and taken when the older goes', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    const old = cnpObject('shop', 'old', HTTP);
    source.put(old);
    source.synced();
    source.put(cnpObject('shop', 'new', DNS));
    source.put(cnpObject('bank', 'b', opens('api', 80)));
    expect(tenants.opened('bank')).toEqual([80]);
    expect(tenants.refused).toMatchObject([{ place: { name: 'new' }, inForce: 'absent' }]);
    expect(tenants.refused[0]?.problems.map(formatProblem).join()).toContain('conflicting L7');
    expect(tenants.feed.staleness).toBeNull();
    source.remove(old.ref);
    expect(tenants.refused).toEqual([]);
    expect(tenants.names()).toEqual(['bank/b', 'shop/new']);
  });

  it('one that was good and cannot stand beside others any more keeps its form', () => {
    const tenants = new Tenants();
    const { source } = tenants;
    source.put(cnpObject('shop', 'a', HTTP));
    source.put(cnpObject('shop', 'b', opens('api', 80)));
    source.synced();
    source.put(cnpObject('shop', 'b', DNS));
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
      source.put(cnpObject('shop', 'first', HTTP));
      const second = { ...DNS, endpointSelector: { matchLabels: { app: 'api' } } };
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
    for (let i = 0; i < 40; i++) source.put(cnpObject('shop', `http-${i}`, HTTP));
    for (let i = 0; i < 5; i++) source.put(cnpObject('shop', `dns-${i}`, DNS));
    source.synced();
    expect(tenants.names()).toHaveLength(40);
    expect(tenants.refused.map(({ place }) => formatHolder(place)).toSorted()).toEqual(
      [0, 1, 2, 3, 4].map((i) => `CiliumNetworkPolicy shop/dns-${i}`),
    );
  });

  it('whatever their history, all that can be in force is, and no more', () => {
    const specs = [opens('api', 80), HTTP, DNS, HTTP, DNS, { ingres: 1 }];
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
  readonly #store = new PolicyChecker({ limits: DEFAULT_LIMITS, regexEngine });

  constructor(invalidPolicy: InvalidPolicy = 'absent') {
    const set = new ObjectSet({ decode, invalidPolicy });
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

  /** Which ports everybody may reach. */
  opened(namespace: string): readonly number[] {
    return PORTS.filter((port) => this.isOpen(namespace, port));
  }

  isOpen(namespace: string, port: number): boolean {
    const view = this.#store
      .current()
      .endpointNamed(`${namespace}/api`)
      ?.port('ingress', 'TCP', port as Port)
      .view(0 as ProxyId, 2 as Identity);
    return view !== undefined && decideConnection(view, '').verdict === 'allow';
  }

  /** What is in force is what a store makes of it that never saw anything else. */
  checkInForce(): void {
    const input = this.#inForce();
    const fresh = new PolicyChecker({ limits: DEFAULT_LIMITS, regexEngine });
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
      const fresh = new PolicyChecker({ limits: DEFAULT_LIMITS, regexEngine });
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
