/** Whatever is written in whichever turns, the same bytes arrive in order; what lies side by side goes as one. */
import { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatheredWrite } from '../../src/proxy/gathered_write.ts';

describe('gathered writes', () => {
  it('arrive whole and in order, whatever was gathered and flushed when', () => {
    const memory = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const slice = fc
      .tuple(fc.nat(250), fc.integer({ min: 1, max: 6 }))
      .map(([at, length]) => ({ kind: 'write', bytes: memory.subarray(at, at + length) }) as const);
    // Neighbours, as heads and their content are.
    const neighbours = fc.nat(200).map((at) => ({ kind: 'write-two', at }) as const);
    const turn = fc.constantFrom({ kind: 'begin' }, { kind: 'end' }, { kind: 'flush' } as const);
    fc.assert(
      fc.property(fc.array(fc.oneof(slice, neighbours, turn)), (steps) => {
        const { socket, written } = recorded();
        const out = new GatheredWrite(socket);
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
          } else if (step.kind === 'begin') out.begin();
          else if (step.kind === 'end') out.end();
          else out.flush();
        }
        out.end();
        expect(Buffer.concat(written.flat()).equals(Buffer.concat(expected))).toBe(true);
        expect(socket.writableCorked).toBe(0);
      }),
    );
  });

  it('of a head and its content are one write of one slice', () => {
    const chunk = Buffer.from('head|content|next');
    const { socket, written } = recorded();
    const out = new GatheredWrite(socket);
    out.begin();
    out.write(chunk.subarray(0, 5));
    out.write(chunk.subarray(5, 13));
    expect(written).toEqual([]);
    out.end();
    expect(written.map(textsOf)).toEqual([['head|content|']]);
  });

  it('of slices from elsewhere are one write of all', () => {
    const { socket, written } = recorded();
    const out = new GatheredWrite(socket);
    out.begin();
    for (const text of ['a', 'b', 'c']) out.write(Buffer.from(text));
    out.end();
    expect(written.map(textsOf)).toEqual([['a', 'b', 'c']]);
  });

  it('of slices that only seem to be neighbours are not made one', () => {
    const first = Buffer.alloc(8, 'a').subarray(0, 4);
    const second = Buffer.alloc(8, 'b').subarray(4);
    const { socket, written } = recorded();
    const out = new GatheredWrite(socket);
    out.begin();
    out.write(first);
    out.write(second);
    out.end();
    expect(written.map(textsOf)).toEqual([['aaaa', 'bbbb']]);
  });

  it('tell when the one who makes the bytes has to wait', () => {
    const { socket } = recorded({ isSlow: true });
    const out = new GatheredWrite(socket);
    out.begin();
    expect(out.write(Buffer.alloc(100))).toBe(true);
    expect(out.end()).toBe(false);
  });

  it('that are discarded never arrive, and leave the socket uncorked', () => {
    const { socket, written } = recorded();
    const out = new GatheredWrite(socket);
    out.begin();
    out.write(Buffer.from('x'));
    out.discard();
    out.end();
    expect(written).toEqual([]);
    expect(socket.writableCorked).toBe(0);
  });
});

describe('what waits for the other side to read', () => {
  const SLAB_BYTES = 16 * 1024;

  it.each([
    ['written at once', () => {}, () => {}],
    [
      'gathered',
      (out: GatheredWrite) => out.begin(),
      (out: GatheredWrite) => {
        out.end();
      },
    ],
  ])('keeps no memory of others, %s', (_, begin, end) => {
    const { socket } = recorded({ isSlow: true });
    const waiting: Buffer[] = [];
    const push = socket.write.bind(socket);
    socket.write = (bytes: Buffer) => {
      waiting.push(bytes);
      return push(bytes);
    };
    const out = new GatheredWrite(socket);
    for (let n = 0; n < 100; n++) {
      const slab = Buffer.alloc(SLAB_BYTES, n);
      begin(out);
      out.write(slab.subarray(0, 10));
      out.write(slab.subarray(100, 110));
      end(out);
    }
    expect(Buffer.concat(waiting)).toHaveLength(2_000);
    const memory = new Set(waiting.map(({ buffer }) => buffer));
    const bytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Those that are being written when the first one stops are a slab.
    expect(bytes).toBeLessThan(2 * SLAB_BYTES);
  });
});

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
