import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { type ContentHolder, ContentMemory } from '../../src/proxy/content_memory.ts';

const BYTES_MAX = 1024 * 1024;

class Holder implements ContentHolder {
  waitingBytes = 0;
  shedCount = 0;
  readonly #memory: ContentMemory;
  readonly #keptShare: number;

  constructor(memory: ContentMemory, keptShare = 0.5) {
    this.#memory = memory;
    this.#keptShare = keptShare;
    memory.add(this);
  }

  hold(byteCount: number): void {
    const change = byteCount - this.waitingBytes;
    this.waitingBytes = byteCount;
    this.#memory.changed(change);
  }

  shed(): void {
    this.shedCount++;
    this.hold(Math.floor(this.waitingBytes * this.#keptShare));
  }
}

function memoryOf(): ContentMemory {
  return new ContentMemory({ ...DEFAULT_LIMITS, h2ContentBytesMax: BYTES_MAX });
}

describe('content that waits in a worker', () => {
  it('is given up by who holds most, and by nobody else', () => {
    const memory = memoryOf();
    const small = Array.from({ length: 10 }, () => new Holder(memory));
    const large = new Holder(memory);
    for (const holder of small) holder.hold(50_000);
    large.hold(BYTES_MAX - 500_000);
    expect(large.shedCount).toBe(0);
    small[0]?.hold(60_000);
    expect([large.shedCount, ...small.map(({ shedCount }) => shedCount)]).toEqual([
      1,
      ...small.map(() => 0),
    ]);
    expect(memory.waitingBytes).toBeLessThanOrEqual(BYTES_MAX);
  });

  it('is at its bound whoever holds it, also when one gives up nothing', () => {
    const memory = memoryOf();
    const holders = Array.from({ length: 100 }, () => new Holder(memory));
    for (const [i, holder] of holders.entries()) holder.hold(64 * 1024 + i);
    expect(memory.waitingBytes).toBeLessThanOrEqual(BYTES_MAX);
    const stubborn = new Holder(memory, 1);
    stubborn.hold(2 * BYTES_MAX);
    expect(stubborn.shedCount).toBe(1);
    memory.delete(stubborn);
  });

  it('makes the windows of new connections smaller when it is short, and only then', () => {
    const memory = memoryOf();
    const holder = new Holder(memory);
    expect(memory.streamWindowBytes).toBe(64 * 1024);
    holder.hold(BYTES_MAX / 2);
    expect(memory.streamWindowBytes).toBe(16 * 1024);
    holder.hold(0);
    expect(memory.streamWindowBytes).toBe(64 * 1024);
  });
});
