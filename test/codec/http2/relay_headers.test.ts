import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { HEAD, TRAILERS } from '../../../src/codec/http2/event.ts';
import { SLAB_BYTES, SlabPool } from '../../../src/codec/http2/slab_pool.ts';
import {
  block,
  data,
  drive,
  frame,
  framesIn,
  GET,
  greetedClient,
  greetedServer,
  headers,
  OK,
  settings,
  windowUpdate,
} from './wire.ts';

/** A response goes from an upstream to a downstream; what a client of ours then reads. */
function relay(bytes: readonly Buffer[], downstreamSettings: Buffer = settings()): string[] {
  const downstream = greetedServer();
  drive(downstream, Buffer.concat([downstreamSettings, headers(1, GET)]));
  const { stream } = downstream.facts;
  downstream.take();
  const upstream = greetedClient();
  request(upstream);
  const reader = greetedClient();
  request(reader);
  const read: string[] = [];
  for (const chunk of bytes) {
    upstream.receive(chunk, 0);
    for (let event = upstream.next(); event !== 0; event = upstream.next()) {
      if (event === HEAD || event === TRAILERS) downstream.relayHeaders(stream, upstream.facts);
      else if (event === 2) downstream.sendData(stream, upstream.facts.bytes, upstream.facts);
    }
    read.push(...drive(reader, Buffer.concat(downstream.take())));
  }
  return read;
}

function request(connection: Http2Connection<string>): void {
  connection.sendHeaders(
    connection.openStream(1, false),
    { fields: GET, kinds: null, from: 0 },
    true,
  );
}

describe('relayHeaders', () => {
  it('passes a head, content and trailers on', () => {
    const bytes = [
      headers(1, [...OK, 'x', 'y'], 4),
      data(1, 'abc'),
      headers(1, ['grpc-status', '0']),
    ];
    expect(relay(bytes)).toEqual([
      'head 1 :status|200|x|y',
      'data 1 abc',
      'trailers 1 grpc-status|0 end',
    ]);
  });

  it('passes the same fields on whatever the upstream’s encoding, in one frame or many', () => {
    const field = fc.tuple(fc.constantFrom('x', 'set-cookie', 'server', 'x-long'), fc.nat(9000));
    fc.assert(
      fc.property(
        fc.array(field, { maxLength: 6 }),
        fc.boolean(),
        fc.boolean(),
        (list, isIndexed, isSmall) => {
          const fields = [...OK, ...list.flatMap(([name, length]) => [name, 'v'.repeat(length)])];
          const bytes = isIndexed ? indexing(fields) : block(fields);
          const parts: Buffer[] = [];
          for (let at = 0; at < bytes.length; at += 16_384) {
            const part = bytes.subarray(at, at + 16_384);
            const isLast = at + 16_384 >= bytes.length;
            parts.push(frame(at === 0 ? 1 : 9, (isLast ? 4 : 0) | (at === 0 ? 1 : 0), 1, part));
          }
          // A client without a table is told so at the start of the next block.
          const told = relay([Buffer.concat(parts)], isSmall ? settings([1, 0]) : settings());
          expect(told).toEqual([`head 1 ${fields.join('|')} end`]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('trailers that must wait for a window are encoded when they leave', () => {
    const downstream = greetedServer();
    drive(downstream, Buffer.concat([settings([4, 1]), headers(1, GET)]));
    const { stream } = downstream.facts;
    const upstream = greetedClient();
    request(upstream);
    drive(upstream, headers(1, OK, 4));
    downstream.relayHeaders(stream, upstream.facts);
    downstream.sendData(stream, Buffer.from('ab'), { start: 0, end: 2, isEndStream: false });
    drive(upstream, headers(1, ['grpc-status', '0']));
    downstream.relayHeaders(stream, upstream.facts);
    drive(downstream, windowUpdate(1, 9));
    const frames = framesIn(downstream.take()).map(({ type, flags }) => `${type} ${flags}`);
    expect(frames.slice(-3)).toEqual(['0 0', '0 0', '1 5']);
  });

  it('announces a smaller table once, in the first block after it', () => {
    const downstream = greetedServer();
    drive(
      downstream,
      Buffer.concat([settings([1, 100]), settings([1, 50]), headers(1, GET), headers(3, GET)]),
    );
    for (const stream of [...downstream.streams()]) {
      downstream.respond(stream, { status: 200, fields: [], isEndStream: true });
    }
    const blocks = framesIn(downstream.take()).filter(({ type }) => type === 1);
    expect(blocks.map(({ payload }) => payload.toString('hex'))).toEqual(['2088', '88']);
  });
});

/** Every literal with incremental indexing, as an upstream does that has not seen our SETTINGS. */
function indexing(fields: readonly string[]): Buffer {
  const bytes = block(fields);
  const literal = Buffer.from(bytes);
  // Names that are not in the static table are literals with the pattern 0x00.
  for (let i = 2, at = 1; i < fields.length; i += 2) {
    const isNew = bytes[at] === 0x00;
    if (isNew) literal[at] = 0x40;
    at += block(fields.slice(i, i + 2)).length;
  }
  return literal;
}

describe('SlabPool', () => {
  it('never gives the same bytes to two writers, and gives back what is left', () => {
    const pool = new SlabPool();
    const first = pool.take(100);
    first.used = 100;
    const second = pool.take(100);
    expect(second.buffer).not.toBe(first.buffer);
    pool.giveBack(first);
    expect(pool.take(100)).toBe(first);
    expect(pool.take(SLAB_BYTES + 1).buffer.length).toBe(SLAB_BYTES + 1);
  });

  it('what was taken stays as it is, whoever writes next', () => {
    const a = greetedServer();
    const b = greetedServer();
    const taken: [Buffer, string][] = [];
    for (let i = 0; i < 2000; i++) {
      const connection = i % 3 === 0 ? b : a;
      const other = connection === a ? b : a;
      connection.ping();
      other.ping();
      drive(connection, headers(2 * i + 1, GET));
      const { stream } = connection.facts;
      connection.respond(stream, { status: 200, fields: ['x', String(i)], isEndStream: true });
      for (const chunk of connection.take()) taken.push([chunk, chunk.toString('hex')]);
      connection.flushed();
    }
    expect(taken.every(([chunk, hex]) => chunk.toString('hex') === hex)).toBe(true);
  });
});
