/** Sets that come while another is compiled: whole, in order, and the newest at the end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import { encodeBatch, type SentBatch } from '../../../src/control/worker/identity_wire.ts';
import {
  LiveSnapshot,
  type NumberedRules,
  type NumberedSet,
  newest,
} from '../../../src/control/worker/live_snapshot.ts';
import {
  type Identity,
  type Port,
  type ProxyId,
  RESERVED_IDENTITIES,
} from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { numberedRules, numberedSet } from '../../support/numbered_set.ts';
import { prefixOf } from '../../support/resolve_world.ts';

const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: default/web, ip: 10.0.0.2, labels: { app: web } }
`;

/** What a step of a random history does; several turns so that compiles get somewhere. */
const moves = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant('update' as const) },
    { weight: 1, arbitrary: fc.constant('bad update' as const) },
    { weight: 12, arbitrary: fc.constant('turn' as const) },
    { weight: 4, arbitrary: fc.constant('judged' as const) },
  ),
  { minLength: 5, maxLength: 120 },
);

describe('the snapshot store', () => {
  it('denies everything before the first set', () => {
    expect(new Scene().allowedPorts()).toEqual([]);
  });

  it('takes the first set at once', () => {
    const scene = new Scene();
    expect(scene.store.take(setFor(1)).kind).toBe('taken');
    expect([scene.allowedPorts(), scene.store.current().revision]).toEqual([[1], 1]);
    expect(scene.told).toEqual([]);
  });

  it('compiles in turns, and answers by the old set until the new one stands whole', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2));
    let turns = 0;
    while (scene.turn()) {
      turns++;
      const swapped = scene.told.includes('swap 2');
      expect(scene.allowedPorts()).toEqual([swapped ? 2 : 1]);
    }
    expect(turns).toBeGreaterThan(5);
    expect(scene.told).toEqual(['swap 2']);
  });

  it('takes up only the last of those that come meanwhile, after the one at hand', () => {
    const scene = new Scene();
    scene.store.update(setFor(1));
    scene.turn();
    scene.store.update(setFor(2));
    scene.store.update(setFor(3));
    scene.run();
    expect(scene.told).toEqual(['swap 1', 'swap 3']);
    expect(scene.allowedPorts()).toEqual([3]);
  });

  it('waits for connections to be judged before it takes up the next', () => {
    const scene = new Scene({ isJudging: true });
    scene.store.update(setFor(1));
    while (scene.turn());
    scene.store.update(setFor(2));
    while (scene.turn());
    expect(scene.told).toEqual(['swap 1']);
    scene.judged();
    while (scene.turn());
    expect(scene.told).toEqual(['swap 1', 'swap 2']);
  });

  it('keeps the old set when one is refused, and goes on', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(badSet(2));
    scene.run();
    expect([scene.told, scene.allowedPorts()]).toEqual([['refused 2'], [1]]);
    scene.store.update(setFor(3));
    scene.run();
    expect([scene.told, scene.allowedPorts()]).toEqual([['refused 2', 'swap 3'], [3]]);
    expect(scene.store.take(badSet(4)).kind).toBe('refused');
    expect(scene.allowedPorts()).toEqual([3]);
  });

  it('changes nothing any more once it is stopped', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2));
    scene.turn();
    scene.store.stop();
    scene.store.update(setFor(3));
    scene.run();
    expect([scene.told, scene.allowedPorts()]).toEqual([[], [1]]);
  });

  it('ends at the newest good set, whatever comes when', () => {
    let swaps = 0;
    fc.assert(
      fc.property(moves, (list) => {
        const scene = new Scene({ isJudging: true });
        const good = [0];
        let revision = 0;
        for (const move of list) {
          if (move === 'turn') scene.turn();
          else if (move === 'judged') scene.judged();
          else {
            revision++;
            if (move === 'update') good.push(revision);
            scene.store.update(move === 'update' ? setFor(revision) : badSet(revision));
          }
          const { revision: inForce } = scene.store.current();
          expect(scene.allowedPorts()).toEqual(inForce === 0 ? [] : [inForce]);
        }
        scene.run();
        const told = scene.told.map((one) => Number(one.split(' ')[1]));
        expect(told).toEqual(told.toSorted((a, b) => a - b));
        // The last that came is always taken up; when it is refused, one that was good is in force.
        if (revision > 0) expect(told.at(-1)).toBe(revision);
        const inForce = scene.store.current().revision;
        expect(good).toContain(inForce);
        if (good.at(-1) === revision) expect(inForce).toBe(revision);
        swaps += scene.told.filter((one) => one.startsWith('swap')).length;
      }),
      { numRuns: 300 },
    );
    expect(swaps).toBeGreaterThan(300);
  });
});

describe('batches of identities', () => {
  it('are in force at once, and compile nothing', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.identities(batchFor(2, 'world'));
    expect([scene.told, scene.remote(), scene.store.sequence]).toEqual([['identities 2'], 2, 2]);
    expect(scene.turn()).toBe(false);
  });

  it('are in force for the set in force and for the one that is being compiled', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2));
    scene.turn();
    scene.store.identities(batchFor(2, 'world'));
    expect([scene.told, scene.remote()]).toEqual([['identities 2'], 2]);
    scene.run();
    expect(scene.told).toEqual(['identities 2', 'swap 2']);
    expect([scene.remote(), scene.allowedPorts()]).toEqual([2, [2]]);
  });

  it('wait for a set that brings another who is who itself', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2, 2));
    scene.store.identities(batchFor(3, 'world'));
    expect([scene.told, scene.remote()]).toEqual([[], null]);
    scene.run();
    expect(scene.told).toEqual(['swap 2']);
    expect(scene.remote()).toBe(2);
  });

  it('that one of many sets has in it already are passed over', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2));
    scene.turn();
    scene.store.identities(batchFor(2, 'world'));
    scene.store.update(setFor(3, 2));
    scene.store.identities(batchFor(3, 'host'));
    scene.run();
    expect([scene.remote(), scene.store.sequence, scene.allowedPorts()]).toEqual([1, 3, [3]]);
  });

  it('that do not fit change nothing, until a whole set comes', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.identities(batchFor(3, 'world'));
    scene.store.identities(batchFor(2, 'world'));
    expect([scene.told, scene.remote()]).toEqual([['broken 3'], null]);
    scene.store.update(setFor(1));
    scene.store.identities(batchFor(2, 'world'));
    scene.run();
    expect([scene.remote(), scene.store.sequence]).toEqual([2, 2]);
  });

  it('that do not fit are told once, however often they come before the whole set is there', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    const prefix = prefixOf(REMOTE);
    // Nobody has it.
    const misfit = encodeBatch({ sequence: 2, deltas: [{ kind: 'remove-address', prefix }] });
    scene.store.identities(misfit);
    scene.store.update(setFor(2));
    scene.store.identities(misfit);
    scene.turn();
    scene.store.identities(misfit);
    expect([scene.told, scene.remote()]).toEqual([['broken 2'], null]);
    scene.run();
    // It does not fit that set either.
    expect(scene.told).toEqual(['broken 2', 'broken 1', 'swap 2']);
  });

  it('that are damaged are broken', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.identities({ sequence: 2, bytes: Buffer.from('no') });
    expect(scene.told).toEqual(['broken 2']);
  });
});

describe('rules without who is who', () => {
  it('are put in force for who is who in force, which stays the same object', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.identities(batchFor(2, 'world'));
    const roster = scene.store.current().who?.roster;
    scene.store.update(rulesFor(2, 2));
    scene.run();
    expect(scene.told).toEqual(['identities 2', 'swap 2']);
    expect([scene.allowedPorts(), scene.remote(), scene.store.sequence]).toEqual([[2], 2, 2]);
    expect(scene.store.current().who?.roster).toBe(roster);
  });

  it('are those of a set that waits before them, and leave its who is who', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2));
    scene.turn();
    scene.store.update(setFor(3, 5));
    scene.store.update(rulesFor(4, 5));
    scene.store.identities(batchFor(6, 'world'));
    scene.run();
    expect(scene.told).toEqual(['swap 2', 'swap 4']);
    expect([scene.allowedPorts(), scene.remote(), scene.store.sequence]).toEqual([[4], 2, 6]);
  });

  it('that come while another set is compiled are for that one', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(setFor(2, 5));
    scene.turn();
    scene.store.identities(batchFor(6, 'world'));
    scene.store.update(rulesFor(3, 6));
    scene.store.identities(batchFor(7, 'host'));
    scene.run();
    expect(scene.told).toEqual(['swap 2', 'swap 3']);
    expect([scene.allowedPorts(), scene.remote(), scene.store.sequence]).toEqual([[3], 1, 7]);
  });

  it('begin a worker in the place of the rules of the set that is kept, and batches go on from it', () => {
    const scene = new Scene();
    expect(scene.store.take(newest(setFor(1), rulesFor(2, 3))).kind).toBe('taken');
    expect([scene.allowedPorts(), scene.store.sequence]).toEqual([[2], 1]);
    scene.store.identities(batchFor(2, 'world'));
    scene.store.identities(endpointFor(3));
    expect([scene.allowedPorts(), scene.allowedPorts('10.0.0.9'), scene.remote()]).toEqual([
      [2],
      [2],
      2,
    ]);
  });

  it('are passed over while who is who is broken: all of it comes again', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.identities(batchFor(3, 'world'));
    scene.store.update(rulesFor(2, 3));
    scene.run();
    expect([scene.told, scene.allowedPorts()]).toEqual([['broken 3'], [1]]);
    scene.store.update(newest(setFor(1), rulesFor(2, 3)));
    scene.store.identities(batchFor(2, 'world'));
    scene.store.identities(batchFor(3, 'host'));
    scene.run();
    expect([scene.allowedPorts(), scene.remote(), scene.store.sequence]).toEqual([[2], 1, 3]);
  });

  it('that were resolved by who is who of later are refused', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(rulesFor(2, 2));
    scene.run();
    expect([scene.told, scene.allowedPorts()]).toEqual([['refused 2'], [1]]);
  });

  it('are in force before an endpoint that came after them: those before may leave it open', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update(rulesFor(2, 1));
    scene.turn();
    scene.store.identities(endpointFor(2));
    scene.store.identities(batchFor(3, 'world'));
    while (scene.turn()) {
      const isSwapped = scene.told.includes('swap 2');
      expect(scene.allowedPorts('10.0.0.9')).toEqual(isSwapped ? [2] : []);
      expect(scene.store.sequence).toBe(isSwapped ? 3 : 1);
    }
    expect([scene.allowedPorts('10.0.0.9'), scene.remote()]).toEqual([[2], 2]);
  });

  it('that wait behind a set are in force before an endpoint that came after them, too', () => {
    for (const more of [[], [rulesFor(4, 2)], [setFor(4, 2)]]) {
      const scene = new Scene();
      scene.store.take(setFor(1));
      scene.store.update(rulesFor(2, 1));
      scene.turn();
      scene.store.update(rulesFor(3, 1));
      scene.store.identities(endpointFor(2));
      for (const one of more) scene.store.update(one);
      while (scene.turn()) {
        const isNewest = scene.told.includes(`swap ${3 + more.length}`);
        if (!isNewest) expect(scene.allowedPorts('10.0.0.9')).toEqual([]);
      }
      const last = more[0]?.revision ?? 3;
      expect(scene.told).toEqual(['swap 2', `swap ${last}`]);
      expect(scene.store.sequence).toBe(2);
      if (more[0]?.parts === undefined) expect(scene.allowedPorts('10.0.0.9')).toEqual([last]);
    }
  });

  it('keep the policy of a subject that its endpoint has left, and the endpoint is there once', () => {
    const scene = new Scene();
    const moved = (sequence: number, ips: readonly string[], subject: number): SentBatch =>
      encodeBatch({
        sequence,
        deltas: [
          { kind: 'remove-endpoint', name: 'default/api', ips: ['10.0.0.1'] },
          ...(ips.length === 0
            ? []
            : [
                {
                  kind: 'upsert-endpoint' as const,
                  endpoint: { name: 'default/api', endpointId: 1, ips, subject },
                },
              ]),
        ],
      });
    scene.store.take(setFor(1));
    scene.store.update(rulesFor(2, 1));
    scene.turn();
    scene.store.update(rulesFor(3, 1));
    scene.store.identities(moved(2, ['10.0.0.1'], 1));
    scene.run();
    scene.store.identities(moved(3, [], 1));
    expect(scene.store.current().endpoint('10.0.0.1').isKnown).toBe(false);
    scene.store.identities(moved(4, ['10.0.0.1'], 0));
    expect([scene.told.at(-1), scene.allowedPorts()]).toEqual(['identities 4', [3]]);
  });

  it('that are refused keep back no endpoint that waited for them', () => {
    const scene = new Scene();
    scene.store.take(setFor(1));
    scene.store.update({ revision: 2, rules: [] });
    scene.store.identities(endpointFor(2));
    scene.run();
    expect([scene.told, scene.allowedPorts('10.0.0.9')]).toEqual([['refused 2'], [1]]);
    expect(scene.store.sequence).toBe(2);
  });
});

/** One more of the only subject. */
function endpointFor(sequence: number): SentBatch {
  const endpoint = { name: 'default/more', endpointId: 9, ips: ['10.0.0.9'], subject: 0 };
  return encodeBatch({ sequence, deltas: [{ kind: 'upsert-endpoint', endpoint }] });
}

function batchFor(sequence: number, name: 'world' | 'host'): SentBatch {
  const identity = RESERVED_IDENTITIES[name] as Identity;
  const prefix = prefixOf(REMOTE);
  return encodeBatch({ sequence, deltas: [{ kind: 'upsert-address', prefix, identity }] });
}

const REMOTE = '192.0.2.9';

class Scene {
  readonly told: string[] = [];
  readonly store: LiveSnapshot;
  readonly #waiting: (() => void)[] = [];
  readonly #judging: (() => void)[] = [];
  #nowMs = 0;

  constructor({ isJudging = false } = {}) {
    this.store = new LiveSnapshot({
      regexEngine: createRe2Engine(DEFAULT_LIMITS, { areChecked: true }),
      limits: { ...DEFAULT_LIMITS, policyTurnMs: 1 },
      // A step takes a millisecond here: one a turn.
      platform: {
        clock: { nowMs: () => this.#nowMs++, wallMs: () => 0 },
        soon: (task) => this.#waiting.push(task),
      },
      events: {
        onSwap: ({ revision }, done) => {
          this.told.push(`swap ${revision}`);
          if (isJudging) this.#judging.push(done);
          else done();
        },
        onRefused: (revision) => this.told.push(`refused ${revision}`),
        onIdentities: ({ sequence }) => this.told.push(`identities ${sequence}`),
        onServices: () => {},
        onServicesBroken: (_sequence, problem) => expect.fail(problem),
        onBroken: (sequence) => this.told.push(`broken ${sequence}`),
      },
    });
  }

  /** False when nobody waits for one. */
  turn(): boolean {
    const task = this.#waiting.shift();
    task?.();
    return task !== undefined;
  }

  judged(): void {
    this.#judging.shift()?.();
  }

  run(): void {
    while (this.turn() || this.#judging.length > 0) this.judged();
  }

  /** Who has the address that the batches are about. */
  remote(): number | null {
    return this.store.current().ipcache.lookup(REMOTE);
  }

  /** Each set allows the port of its revision. */
  allowedPorts(ip = '10.0.0.1'): readonly number[] {
    const endpoint = this.store.current().endpoint(ip);
    return Array.from({ length: 130 }, (_, i) => i).filter((port) => {
      const view = endpoint.port('ingress', 'TCP', port as Port).view(0 as ProxyId, 2 as Identity);
      return decideConnection(view, '').verdict === 'allow';
    });
  }
}

const sets = new Map<string, NumberedSet>();

/** `sequence`: of the batches that it has in it. */
function setFor(revision: number, sequence = 1): NumberedSet {
  const key = `${revision} ${sequence}`;
  let set = sets.get(key);
  if (set === undefined) {
    set = numberedSet(revision, bundleFor(revision), sequence);
    sets.set(key, set);
  }
  return set;
}

function rulesFor(revision: number, sequence: number): NumberedRules {
  return numberedRules(revision, bundleFor(revision), sequence);
}

function bundleFor(revision: number): SourceBundle {
  const text = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEntities: [world]
      toPorts: [{ ports: [{ port: "${revision}", protocol: TCP }] }]
`;
  return {
    policies: [{ path: 'p', text }],
    endpoints: { path: 'e', text: ENDPOINTS },
    secrets: null,
  };
}

function badSet(revision: number): NumberedSet {
  return { revision, parts: setFor(1).parts.slice(1) };
}
