/** Many nodes as one stream: nothing is lost, nothing is held without end, and the order is that of time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlowMerge, type MergedMessage } from '../../../src/hubble/relay/flow_merge.ts';

const BYTES = new Uint8Array();
const DRAIN_MS = 1000;

function message(node: string, timeNs: bigint): MergedMessage {
  return { node, timeNs, bytes: BYTES };
}

const timesOfNodes = fc.array(fc.array(fc.bigInt({ min: 0n, max: 1000n }), { maxLength: 60 }), {
  minLength: 1,
  maxLength: 5,
});

/** Which node may say something next, by chance; those that are full wait. */
function mergeAll(nodes: readonly (readonly bigint[])[], picks: () => number, lengthMax: number) {
  const merge = new FlowMerge({ lengthMax, drainMs: DRAIN_MS, isFollowing: false });
  const left = nodes.map((times, at) => ({ name: `n${at}`, times: [...times] }));
  for (const { name } of left) merge.join(name);
  const sent: MergedMessage[] = [];
  let heldMax = 0;
  const take = (): void => {
    for (let next = merge.next(0); next !== null; next = merge.next(0)) sent.push(next);
  };
  while (left.length > 0) {
    const ready = left.filter(({ name }) => !merge.isFull(name));
    expect(ready.length).toBeGreaterThan(0);
    const one = ready[picks() % ready.length] as (typeof left)[0];
    const timeNs = one.times.shift();
    if (timeNs === undefined) {
      merge.leave(one.name);
      left.splice(left.indexOf(one), 1);
    } else {
      merge.add(message(one.name, timeNs), 0);
    }
    heldMax = Math.max(heldMax, merge.length);
    take();
  }
  return { sent, heldMax };
}

describe('a merge of nodes', () => {
  it('of sorted ones is sorted and whole, however fast each is, and holds no more than its window', () => {
    fc.assert(
      fc.property(timesOfNodes, fc.infiniteStream(fc.nat()), fc.nat(40), (times, picks, more) => {
        const sorted = times.map((some) => [...some].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
        const { sent, heldMax } = mergeAll(sorted, () => picks.next().value as number, more + 1);
        const all = sorted.flat().sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        expect(sent.map(({ timeNs }) => timeNs)).toEqual(all);
        expect(heldMax).toBeLessThanOrEqual(more + 1 + 2 * times.length);
      }),
    );
  });

  it('of nodes in any order loses nothing, and is sorted when all of it fits', () => {
    fc.assert(
      fc.property(timesOfNodes, fc.infiniteStream(fc.nat()), (times, picks) => {
        const one = times.flat();
        const { sent } = mergeAll([one], () => picks.next().value as number, one.length + 1);
        const all = [...one].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        expect(sent.map(({ timeNs }) => timeNs)).toEqual(all);
        const narrow = mergeAll(times, () => picks.next().value as number, 3).sent;
        expect(narrow.map(({ timeNs }) => Number(timeNs)).sort((a, b) => a - b)).toEqual(
          all.map(Number),
        );
      }),
    );
  });

  it('waits for a silent node, and no longer than it should when somebody follows', () => {
    const merge = new FlowMerge({ lengthMax: 100, drainMs: DRAIN_MS, isFollowing: true });
    merge.join('a');
    merge.join('silent');
    merge.add(message('a', 2n), 0);
    expect(merge.next(DRAIN_MS - 1)).toBeNull();
    expect(merge.next(DRAIN_MS)?.timeNs).toBe(2n);
    merge.add(message('a', 3n), 5000);
    merge.leave('silent');
    merge.leave('a');
    expect(merge.next(5000)?.timeNs).toBe(3n);
  });

  it('does not wait for a silent node when the window is full and somebody follows', () => {
    const merge = new FlowMerge({ lengthMax: 2, drainMs: DRAIN_MS, isFollowing: true });
    merge.join('a');
    merge.join('silent');
    merge.add(message('a', 2n), 0);
    expect(merge.next(0)).toBeNull();
    merge.add(message('a', 1n), 0);
    expect(merge.next(0)?.timeNs).toBe(1n);
  });
});
