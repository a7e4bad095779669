/** Many connections judged again after a swap: all of them, once, with turns for others in between. */
import { describe, expect, it } from 'vitest';
import { parseSocketAddress } from '../../../src/model/address.ts';
import type { ConnectionMeta } from '../../../src/model/connection_meta.ts';
import type { Identity } from '../../../src/model/identity.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { IdentityBatch } from '../../../src/policy/identity/delta.ts';
import { type RegisteredConnection, Registry } from '../../../src/proxy/plane/registry.ts';
import { prefixOf } from '../../support/resolve_world.ts';

describe('after a policy change', () => {
  it('few connections are judged before anything else happens', () => {
    const scene = new Scene({ count: 3, judgingMs: 0 });
    scene.change();
    expect([scene.judged, scene.doneCount]).toEqual([[0, 1, 2], 1]);
  });

  it('many are judged in turns, each once, and then it is told', () => {
    const scene = new Scene({ count: 100, judgingMs: 1 });
    scene.change();
    expect(scene.judged).toHaveLength(5);
    expect(scene.doneCount).toBe(0);
    let turns = 1;
    while (scene.turn()) turns++;
    // The last of them finds that none is left.
    expect(turns).toBe(21);
    expect(scene.judged).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(scene.doneCount).toBe(1);
  });

  it('one that ended before its turn is not judged: it has left its last record', () => {
    const scene = new Scene({ count: 10, judgingMs: 1 });
    scene.change();
    scene.end(4);
    scene.end(7);
    while (scene.turn());
    expect(scene.judged).toEqual([0, 1, 2, 3, 4, 5, 6, 8, 9]);
  });

  it('a further change begins anew with all, and only it is told', () => {
    const scene = new Scene({ count: 12, judgingMs: 1 });
    scene.change();
    scene.turn();
    scene.change();
    while (scene.turn());
    expect(scene.judged.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(scene.judged.slice(10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(scene.doneCount).toBe(1);
  });

  it('nothing is judged any more after the end', () => {
    const scene = new Scene({ count: 10, judgingMs: 1 });
    scene.change();
    scene.registry.stop();
    while (scene.turn());
    expect([scene.judged.length, scene.doneCount]).toEqual([5, 0]);
  });
});

describe('after batches of identities', () => {
  it('those are judged whose address they are about', () => {
    const scene = new Scene({ count: 10, judgingMs: 0 });
    scene.registry.identitiesChanged(batchOf(3, 7));
    expect(scene.judged).toEqual([3, 7]);
  });

  it('all are judged when an identity comes or goes, or a prefix of many addresses', () => {
    const scene = new Scene({ count: 4, judgingMs: 0 });
    const gone = { kind: 'remove-identity', identity: 300 as Identity } as const;
    scene.registry.identitiesChanged({ sequence: 1, deltas: [gone] });
    const prefix = { kind: 'remove-address', prefix: prefixOf('10.0.0.0/24') } as const;
    scene.registry.identitiesChanged({ sequence: 2, deltas: [prefix] });
    expect(scene.judged).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });

  it('batches that come while others are judged are judged together afterwards, however many', () => {
    const scene = new Scene({ count: 30, judgingMs: 1 });
    scene.registry.identitiesChanged(batchOf(...Array.from({ length: 30 }, (_, i) => i)));
    for (let at = 0; at < 20; at++) scene.registry.identitiesChanged(batchOf(at % 2));
    while (scene.turn());
    expect(scene.judged).toEqual([...Array.from({ length: 30 }, (_, i) => i), 0, 1]);
  });
});

function batchOf(...connections: readonly number[]): IdentityBatch {
  return {
    sequence: 1,
    deltas: connections.map((i) => ({
      kind: 'upsert-address',
      prefix: prefixOf(`10.0.0.${i}/32`),
      identity: 300 as Identity,
    })),
  };
}

/** Of connection `i`: what a scope looks at. */
function metaOf(i: number): ConnectionMeta {
  const end = (ip: string) => parseSocketAddress(`${ip}:80`);
  return { source: end(`10.0.0.${i}`), destination: end('10.1.0.1') } as unknown as ConnectionMeta;
}

class Scene {
  readonly judged: number[] = [];
  doneCount = 0;
  readonly registry: Registry;
  readonly #connections: readonly RegisteredConnection[];
  readonly #waiting: (() => void)[] = [];
  #nowMs = 0;

  constructor({ count, judgingMs }: { readonly count: number; readonly judgingMs: number }) {
    const platform: Platform = {
      clock: { nowMs: () => this.#nowMs, wallMs: () => 0 },
      soon: (task) => this.#waiting.push(task),
      timers: { every: () => () => {}, after: () => () => {} },
    };
    this.registry = new Registry({
      platform,
      sweepIntervalMs: 100,
      turnMs: 5,
      onSweep: () => {},
    });
    this.#connections = Array.from({ length: count }, (_, i) => ({
      expire: () => {},
      lasted: () => {},
      policyChanged: () => {
        this.judged.push(i);
        this.#nowMs += judgingMs;
      },
      meta: metaOf(i),
      drain: () => {},
      cut: () => {},
    }));
    for (const connection of this.#connections) this.registry.add(connection);
  }

  change(): void {
    this.registry.policyChanged(() => this.doneCount++);
  }

  end(index: number): void {
    this.registry.delete(this.#connections[index] as RegisteredConnection);
  }

  /** False when nobody waits for one. */
  turn(): boolean {
    const task = this.#waiting.shift();
    task?.();
    return task !== undefined;
  }
}
