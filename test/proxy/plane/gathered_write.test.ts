/** Whatever is written in whichever turns, the same bytes arrive in order; what lies side by side goes as one. */
import { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatheredWrite, TurnWrites } from '../../../src/proxy/plane/gathered_write.ts';
import { guardTelling } from '../../support/guard_telling.ts';

describe('gathered writes', () => {
  it('arrive whole and in order, whatever was gathered and flushed when', () => {
    const memory = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const slice = fc
      .tuple(fc.nat(250), fc.integer({ min: 1, max: 6 }))
      .map(([at, length]) => ({ kind: 'write', bytes: memory.subarray(at, at + length) }) as const);
    // Neighbours, as heads and their content are.
    const neighbours = fc.nat(200).map((at) => ({ kind: 'write-two', at }) as const);
    const long = fc.constant({ kind: 'write', bytes: Buffer.alloc(9_000, 'x') } as const);
    const turn = fc.constantFrom({ kind: 'turn-end' }, { kind: 'flush' } as const);
    fc.assert(
      fc.property(fc.array(fc.oneof(slice, neighbours, long, turn)), (steps) => {
        const { socket, written } = recorded();
        const { out, endTurn } = gathering(socket);
        const expected: Buffer[] = [];
        const write = (bytes: Buffer): void => {
          expected.push(bytes);
          out.write(bytes);
        };
        for (const step of steps) {
          if (step.kind === 'write') write(step.bytes);
          else if (step.kind === 'write-two') {
            write(memory.subarray(step.at, step.at + 10));
            write(memory.subarray(step.at + 10, step.at + 20));
          } else if (step.kind === 'turn-end') endTurn();
          else out.flush();
        }
        endTurn();
        expect(Buffer.concat(written.flat()).equals(Buffer.concat(expected))).toBe(true);
        expect(socket.writableCorked).toBe(0);
      }),
    );
  });

  it('of a head and its content are one write of one slice, at the end of the turn', () => {
    const chunk = Buffer.from('head|content|next');
    const { socket, written } = recorded();
    const { out, endTurn } = gathering(socket);
    out.write(chunk.subarray(0, 5));
    out.write(chunk.subarray(5, 13));
    expect(written).toEqual([]);
    endTurn();
    expect(written.map(textsOf)).toEqual([['head|content|']]);
  });

  it('of slices from elsewhere are one write of all', () => {
    const { socket, written } = recorded();
    const { out, endTurn } = gathering(socket);
    for (const text of ['a', 'b', 'c']) out.write(Buffer.from(text));
    endTurn();
    expect(written.map(textsOf)).toEqual([['a', 'b', 'c']]);
  });

  it('of slices that only seem to be neighbours are not made one', () => {
    const first = Buffer.alloc(8, 'a').subarray(0, 4);
    const second = Buffer.alloc(8, 'b').subarray(4);
    const { socket, written } = recorded();
    const { out, endTurn } = gathering(socket);
    out.write(first);
    out.write(second);
    endTurn();
    expect(written.map(textsOf)).toEqual([['aaaa', 'bbbb']]);
  });

  it('stop the one who makes the bytes when there is no room', () => {
    const { socket } = recorded({ isSlow: true });
    const { out, endTurn, pauses } = gathering(socket);
    out.write(Buffer.alloc(100));
    expect(pauses.count).toBe(0);
    endTurn();
    expect(pauses.count).toBe(1);
  });

  it('do not wait for the end of the turn when they are many bytes', () => {
    const { socket, written } = recorded();
    const { out } = gathering(socket);
    for (let i = 0; i < 20; i++) out.write(Buffer.alloc(1000, i));
    expect(written.flat().reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(16_000);
  });

  it('do not wait for the end of the turn when they are to many sockets', () => {
    const turn = new TurnWrites(() => {});
    const all = Array.from({ length: 100 }, () => recorded());
    for (const { socket } of all)
      new GatheredWrite(socket, { ...NOBODY, turn }).write(Buffer.from('x'));
    expect(all.filter(({ written }) => written.length > 0)).toHaveLength(64);
  });

  it('are asked to be ended once a turn, and again in the next', () => {
    const asked: (() => void)[] = [];
    const turn = new TurnWrites((task) => asked.push(task));
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 3; i++) {
        new GatheredWrite(recorded().socket, { ...NOBODY, turn }).write(Buffer.from('x'));
      }
      expect(asked).toHaveLength(round);
      asked.at(-1)?.();
    }
  });

  it('that fail are told to whom they belong, and stop no other', () => {
    const { socket: broken } = recorded();
    const errors: unknown[] = [];
    const guard = guardTelling((error) => errors.push(error));
    broken.write = () => {
      throw new Error('a bug');
    };
    const { socket, written } = recorded();
    const asked: (() => void)[] = [];
    const turn = new TurnWrites((task) => asked.push(task));
    new GatheredWrite(broken, { ...NOBODY, guard, turn }).write(Buffer.from('x'));
    new GatheredWrite(socket, { ...NOBODY, turn }).write(Buffer.from('y'));
    asked[0]?.();
    expect(errors).toEqual([new Error('a bug')]);
    expect(written.map(textsOf)).toEqual([['y']]);
  });

  it('that are discarded never arrive, and leave the socket uncorked', () => {
    const { socket, written } = recorded();
    const { out, endTurn } = gathering(socket);
    out.write(Buffer.from('x'));
    out.write(Buffer.from('y'));
    out.discard();
    endTurn();
    expect(Buffer.concat(written.flat()).includes('y')).toBe(false);
    expect(socket.writableCorked).toBe(0);
  });
});

describe('what waits for the other side to read', () => {
  const SLAB_BYTES = 16 * 1024;

  it('keeps no memory of others', () => {
    const { socket } = recorded({ isSlow: true });
    const waiting: Buffer[] = [];
    const push = socket.write.bind(socket);
    socket.write = (bytes: Buffer) => {
      waiting.push(bytes);
      return push(bytes);
    };
    const { out, endTurn } = gathering(socket);
    for (let n = 0; n < 100; n++) {
      const slab = Buffer.alloc(SLAB_BYTES, n);
      out.write(slab.subarray(0, 10));
      out.write(slab.subarray(100, 110));
      endTurn();
    }
    expect(Buffer.concat(waiting)).toHaveLength(2_000);
    const memory = new Set(waiting.map(({ buffer }) => buffer));
    const bytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Those that are being written when the first one stops are a slab.
    expect(bytes).toBeLessThan(2 * SLAB_BYTES);
  });
});

const NOBODY = { source: { pause: (): void => {} }, guard: guardTelling(() => {}) };

function gathering(socket: Socket) {
  const asked: (() => void)[] = [];
  const turn = new TurnWrites((task) => asked.push(task));
  const pauses = { count: 0 };
  const source = { pause: () => void pauses.count++ };
  const endTurn = (): void => {
    for (const task of asked.splice(0)) task();
  };
  return { out: new GatheredWrite(socket, { ...NOBODY, source, turn }), endTurn, pauses };
}

/** A socket that keeps what is written to it, a list for each call of the system. */
function recorded({ isSlow = false } = {}): {
  readonly socket: Socket;
  readonly written: Buffer[][];
} {
  const written: Buffer[][] = [];
  const socket = new Socket({ highWaterMark: 64 } as object);
  socket._write = (chunk: Buffer, _encoding, done) => {
    written.push([chunk]);
    if (!isSlow) done();
  };
  socket._writev = (chunks, done) => {
    written.push(chunks.map(({ chunk }) => chunk as Buffer));
    if (!isSlow) done();
  };
  return { socket, written };
}

function textsOf(buffers: readonly Buffer[]): string[] {
  return buffers.map((bytes) => bytes.toString());
}
