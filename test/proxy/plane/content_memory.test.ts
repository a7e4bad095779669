import { describe, expect, it } from 'vitest';
import type { IpText } from '../../../src/model/address.ts';
import type { Identity, Port } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { type AddressHolder, Holders } from '../../../src/proxy/plane/holders.ts';
import {
  type ContentHolder,
  ContentMemory,
} from '../../../src/proxy/plane/memory/content_memory.ts';

const BYTES_MAX = 1024 * 1024;

class Holder implements ContentHolder {
  waitingBytes = 0;
  shedCount = 0;
  readonly #owner: AddressHolder | null;
  readonly #memory: ContentMemory;
  readonly #keptShare: number;

  constructor(memory: ContentMemory, keptShare = 0.5, owner: AddressHolder | null = null) {
    this.#memory = memory;
    this.#keptShare = keptShare;
    this.#owner = owner;
    memory.add(this);
  }

  get owner(): AddressHolder | null {
    return this.#owner;
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

/** Tells each look at what it holds. */
class Looked extends Holder {
  readonly #onLook: () => void;

  constructor(memory: ContentMemory, onLook: () => void) {
    super(memory);
    this.#onLook = onLook;
  }

  override get owner(): null {
    this.#onLook();
    return null;
  }
}

/** Known to the others by the one connection that it has. */
function joined(owner: AddressHolder): AddressHolder {
  owner.joined();
  return owner;
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

  it.each([
    ['one identity by many addresses', (i: number) => ({ identity: 43, ip: `10.0.0.${i}` })],
    ['one address', () => ({ identity: 44, ip: '10.0.0.1' })],
  ] as const)('is given up by who holds most by many connections: %s', (_, whose) => {
    const memory = memoryOf();
    const holders = new Holders();
    const owner = (identity: number, ip: string): AddressHolder =>
      holders.of(identity as Identity, { ip: ip as IpText, family: 4, port: 1 as Port });
    const honest = new Holder(memory, 0.5, joined(owner(44, '10.0.0.9')));
    honest.hold(200_000);
    let shedCount = 0;
    for (let i = 0; i < 100; i++) {
      const { identity, ip } = whose(i);
      const one = new Holder(memory, 0.5, joined(owner(identity, ip)));
      one.hold(20_000);
      shedCount += one.shedCount;
    }
    expect(honest.shedCount).toBe(0);
    expect(memory.waitingBytes).toBeLessThanOrEqual(BYTES_MAX);
    expect(shedCount).toBeGreaterThan(0);
  });

  it('is looked at over all connections once in a while only, however many fill it', () => {
    const memory = memoryOf();
    let lookCount = 0;
    const look = (): void => {
      lookCount++;
    };
    const holders = Array.from({ length: 1000 }, () => new Looked(memory, look));
    for (let round = 0; round < 20; round++) for (const holder of holders) holder.hold(2000);
    // 20 rounds fill it about 20 times over, an eighth each time.
    expect(lookCount / holders.length).toBeLessThan(200);
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
