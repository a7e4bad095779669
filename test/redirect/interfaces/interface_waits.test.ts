/** Who waits for how long, and when it is told. */
import { describe, expect, it } from 'vitest';
import { InterfaceWaits } from '../../../src/redirect/interfaces/interface_waits.ts';

class Scene {
  nowMs = 1000;
  readonly waits = new InterfaceWaits(500, () => this.nowMs);

  update(closed: readonly number[], pods: readonly string[] = [], open: readonly number[] = []) {
    return this.waits.update({
      closed: new Map(closed.map((ifindex) => [ifindex, `veth${ifindex}`])),
      pods: new Map(pods.map((pod) => [pod, 'nobody knows'])),
      open: new Set(open),
    });
  }
}

describe('an interface', () => {
  it('waits from when it was closed, not from the look that finds it so', () => {
    const scene = new Scene();
    scene.waits.close(7);
    scene.nowMs += 50;
    scene.update([]);
    scene.nowMs += 50;
    scene.update([7]);
    scene.nowMs += 20;
    expect(scene.update([], [], [7]).opened).toEqual([{ ifindex: 7, waitedMs: 120 }]);
    expect(scene.waits.counts).toMatchObject({
      interfaces: 0,
      openedTotal: 1,
      openedWaitMsMax: 120,
    });
  });

  it('that goes waits no more', () => {
    const scene = new Scene();
    scene.update([7]);
    expect(scene.update([])).toEqual({ opened: [], overdue: [] });
    expect(scene.waits.counts).toMatchObject({ interfaces: 0, oldestSinceMs: 0, openedTotal: 0 });
  });

  it('that was told of and never seen is forgotten', () => {
    const scene = new Scene();
    scene.waits.close(7);
    scene.update([]);
    expect(scene.waits.counts.interfaces).toBe(1);
    scene.nowMs += 500;
    scene.update([]);
    expect(scene.waits.counts.interfaces).toBe(0);
  });
});

it('is told once when it takes too long, and goes on to be counted', () => {
  const scene = new Scene();
  scene.update([7], ['shop/api']);
  expect(scene.waits.isFresh).toBe(true);
  scene.nowMs += 499;
  expect(scene.update([7], ['shop/api']).overdue).toEqual([]);
  scene.nowMs += 1;
  expect(scene.waits.isFresh).toBe(false);
  expect(scene.update([7], ['shop/api']).overdue).toEqual([
    'interface veth7 (index 7) lets nothing through: no pod that is known here leads to it',
    'shop/api has no interface here: nobody knows',
  ]);
  expect(scene.update([7], ['shop/api']).overdue).toEqual([]);
  expect(scene.waits.counts).toEqual({
    ...{ interfaces: 1, pods: 1, overdue: 2, oldestSinceMs: 1000, overdueTotal: 2 },
    ...{ openedTotal: 0, openedWaitMsTotal: 0, openedWaitMsMax: 0 },
  });
});
