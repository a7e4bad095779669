/** Frames in and out, and the whole way of a request and its response through two connections, without sockets. */
import { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { FAULT, HEAD, NEED_MORE } from '../../../src/codec/http2/event.ts';
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_DATA,
  FRAME_HEADERS,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
} from '../../../src/codec/http2/frame.ts';
import { FrameReader, READ_MORE } from '../../../src/codec/http2/frame_reader.ts';
import { FrameWriter } from '../../../src/codec/http2/frame_writer.ts';
import { SlabPool } from '../../../src/codec/http2/slab_pool.ts';
import type { Http2Stream } from '../../../src/codec/http2/stream.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { frame, INSERTING_BLOCK, REPEATED_BLOCK, RESPONSE_BLOCK } from '../http2_blocks.ts';
import type { Work, Works } from '../work.ts';

const CONTENT_BYTES = 34;
const LARGE_BYTES = 16_384;
const EXCHANGES = 8;

export function works(): Works {
  const exchange = new Exchange();
  return {
    'read 16 frames: 8 heads, 8 times 34 bytes': reading(smallFrames(), 2 * EXCHANGES),
    'read one frame of 16 KiB': reading(
      frame({ type: FRAME_DATA, flags: 0, streamId: 1 }, Buffer.alloc(LARGE_BYTES)),
      1,
    ),
    'write 16 frames: 8 heads, 8 times 34 bytes': writing(),
    'a request and its response through both connections': () => exchange.run(),
  };
}

function smallFrames(): Buffer {
  const frames: Buffer[] = [];
  for (let i = 0; i < EXCHANGES; i++) {
    const streamId = 2 * i + 1;
    frames.push(frame({ type: FRAME_HEADERS, flags: FLAG_END_HEADERS, streamId }, RESPONSE_BLOCK));
    const content = Buffer.alloc(CONTENT_BYTES, 'x');
    frames.push(frame({ type: FRAME_DATA, flags: FLAG_END_STREAM, streamId }, content));
  }
  return Buffer.concat(frames);
}

function reading(chunk: Buffer, expected: number): Work {
  const reader = new FrameReader();
  return () => {
    let count = 0;
    reader.feed(chunk);
    while (reader.next() !== READ_MORE) count++;
    if (count !== expected) throw new Error(`${count} frames`);
    return reader.end;
  };
}

function writing(): Work {
  const writer = new FrameWriter(new SlabPool());
  const block = { start: 0, end: RESPONSE_BLOCK.length, isEndStream: false };
  const content = Buffer.alloc(CONTENT_BYTES, 'x');
  const bounds = { start: 0, end: CONTENT_BYTES, isEndStream: true };
  return () => {
    for (let i = 0; i < EXCHANGES; i++) {
      writer.writeBlock(2 * i + 1, RESPONSE_BLOCK, block);
      writer.writeData(2 * i + 1, content, bounds);
    }
    const { byteLength } = writer;
    writer.take();
    writer.allWritten();
    return byteLength;
  };
}

/** One exchange after another through both connections of a relay: GET, and an answer of 34 bytes. */
class Exchange {
  readonly #pool = new SlabPool();
  readonly #options = { limits: DEFAULT_LIMITS, pool: this.#pool, isPathNormalised: true };
  readonly #downstream = new Http2Connection<Http2Stream<unknown>>({
    ...this.#options,
    role: 'server',
  });
  readonly #upstream = new Http2Connection<Http2Stream<unknown>>({
    ...this.#options,
    role: 'client',
  });
  #streamId = 1;
  readonly #request = frame(
    { type: FRAME_HEADERS, flags: FLAG_END_HEADERS | FLAG_END_STREAM, streamId: 1 },
    REPEATED_BLOCK,
  );
  readonly #response: Buffer;

  constructor() {
    const content = Buffer.alloc(CONTENT_BYTES, 'x');
    this.#response = Buffer.concat([
      frame({ type: FRAME_HEADERS, flags: FLAG_END_HEADERS, streamId: 1 }, RESPONSE_BLOCK),
      frame({ type: FRAME_DATA, flags: FLAG_END_STREAM, streamId: 1 }, content),
    ]);
    const nothing = Buffer.alloc(0);
    const settings = frame({ type: FRAME_SETTINGS, flags: 0, streamId: 0 }, nothing);
    const acknowledged = frame({ type: FRAME_SETTINGS, flags: FLAG_ACK, streamId: 0 }, nothing);
    // A window for more content than a run can send.
    const increment = Buffer.from([0x7f, 0xfe, 0, 0]);
    const window = frame({ type: FRAME_WINDOW_UPDATE, flags: 0, streamId: 0 }, increment);
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.#drive(
      Buffer.concat([preface, settings, acknowledged, window]),
      Buffer.concat([settings, acknowledged]),
    );
    const flags = FLAG_END_HEADERS | FLAG_END_STREAM;
    this.#respondTo(frame({ type: FRAME_HEADERS, flags, streamId: 1 }, INSERTING_BLOCK));
  }

  run(): number {
    this.#request.writeUInt32BE(this.#streamId, 5);
    return this.#respondTo(this.#request);
  }

  #respondTo(request: Buffer): number {
    this.#response.writeUInt32BE(this.#streamId, 5);
    this.#response.writeUInt32BE(this.#streamId, this.#response.length - CONTENT_BYTES - 4);
    const byteCount = this.#drive(request, this.#response);
    this.#streamId += 2;
    if (this.#streamId > 0x7fff_0000) throw new Error('out of streams');
    return byteCount;
  }

  #drive(request: Buffer, response: Buffer): number {
    const downstream = this.#downstream;
    const upstream = this.#upstream;
    downstream.receive(request, 0);
    for (let event = downstream.next(); event !== NEED_MORE; event = downstream.next()) {
      const { facts } = downstream;
      if (event === FAULT) throw new Error(facts.cause?.detail);
      if (event !== HEAD || facts.requestHead === null) continue;
      const stream = upstream.openStream(facts.stream.id, false);
      stream.context = facts.stream;
      const source = facts.requestHead.source();
      if (source !== null) upstream.sendHeaders(stream, source, facts.isEndStream);
    }
    upstream.take();
    upstream.flushed();
    upstream.receive(response, 0);
    for (let event = upstream.next(); event !== NEED_MORE; event = upstream.next()) {
      const { facts } = upstream;
      if (event === FAULT) throw new Error(facts.cause?.detail);
      const to = facts.stream.context as Http2Stream<Http2Stream<unknown>> | null;
      if (to === null) continue;
      if (event === HEAD) downstream.relayHeaders(to, facts);
      else upstream.credit(facts.stream, downstream.sendData(to, facts.bytes, facts));
    }
    const byteCount = downstream.outputBytes;
    downstream.take();
    downstream.flushed();
    return byteCount;
  }
}
