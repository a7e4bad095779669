/** Many connections judged again after a swap: all of them, once, with turns for others in between. */
import { describe, expect, it } from 'vitest';
import type { Platform } from '../../../src/platform/platform.ts';
import { type RegisteredConnection, Registry } from '../../../src/proxy/plane/registry.ts';

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
