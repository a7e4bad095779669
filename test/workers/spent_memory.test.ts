/** What sets leave behind is given back a while after them, once, and only when it is much. */
import { describe, expect, it } from 'vitest';
import { SpentMemory } from '../../src/workers/spent_memory.ts';

const MIB = 1024 * 1024;

class Thread {
  heapMib = 0;
  givenBack = 0;
  readonly waiting: (() => void)[] = [];
  readonly spent = new SpentMemory(
    {
      releaseYoung: () => {},
      releaseAll: () => {},
      giveBack: () => {
        this.givenBack += 1;
        this.heapMib = 130;
      },
      heapBytes: () => this.heapMib * MIB,
    },
    {
      after: (_, task) => {
        this.waiting.push(task);
        return () => {};
      },
    },
  );

  set(heapMib: number): void {
    this.heapMib = heapMib;
    this.spent.spent();
  }

  rest(): void {
    for (const task of this.waiting.splice(0)) task();
  }
}

describe('memory that sets leave behind', () => {
  it('is given back once after several sets, not while they are made', () => {
    const thread = new Thread();
    for (const heapMib of [250, 400, 600]) thread.set(heapMib);
    expect(thread.givenBack).toBe(0);
    thread.rest();
    expect(thread.givenBack).toBe(1);
    thread.set(300);
    thread.rest();
    expect(thread.givenBack).toBe(2);
  });

  it.each([
    ['of a small set', [30], 0],
    ['that is little beside what was in use the last time', [250, 150, 160], 1],
  ])('%s is left to the collector', (_, heaps, times) => {
    const thread = new Thread();
    for (const heapMib of heaps) {
      thread.set(heapMib);
      thread.rest();
    }
    expect(thread.givenBack).toBe(times);
  });

  it('is left alone where the platform has no way', () => {
    const never = () => expect.unreachable();
    new SpentMemory(null, { after: never }).spent();
  });
});
