import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { DATA, HEAD, NEED_MORE, SENT, TRAILERS } from '../../../src/codec/http2/event.ts';
import { KIND_NEVER_INDEXED, KIND_OTHER } from '../../../src/codec/http2/field_kind.ts';
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame.ts';
import type { Limits } from '../../../src/model/limits.ts';
import {
  client,
  data,
  drive,
  frame,
  framesIn,
  GET,
  greetedServer,
  headers,
  limitsWith,
  POST,
  SETTINGS_ACK,
  server,
  settings,
  told,
  windowUpdate,
} from './wire.ts';

/** Reads what goes over the wire in one direction and keeps the accounts of RFC 9113 6.9 itself. */
class Auditor {
  #initialWindow = 65_535;
  #connectionWindow = 65_535;
  readonly #streamWindows = new Map<number, number>();

  /** Frames of the side that sends content. */
  onSent(chunks: readonly Buffer[]): void {
    for (const { type, streamId, payload } of framesIn(chunks)) {
      if (type !== 0) continue;
      const streamWindow = this.#window(streamId) - payload.length;
      this.#connectionWindow -= payload.length;
      this.#streamWindows.set(streamId, streamWindow);
      // Empty frames may go out at any time (6.9.1).
      if (payload.length === 0) continue;
      expect(this.#connectionWindow).toBeGreaterThanOrEqual(0);
      expect(streamWindow).toBeGreaterThanOrEqual(0);
    }
  }

  /** Frames that the other side has received and not sent yet: they count from now on. */
  onReceived(chunks: readonly Buffer[]): void {
    for (const { type, flags, streamId, payload } of framesIn(chunks)) {
      if (type === 8 && streamId === 0) this.#connectionWindow += payload.readUInt32BE();
      else if (type === 8) {
        this.#streamWindows.set(streamId, this.#window(streamId) + payload.readUInt32BE());
      } else if (type === 4 && (flags & 1) === 0) {
        for (let at = 0; at < payload.length; at += 6) {
          if (payload.readUInt16BE(at) !== 4) continue;
          const change = payload.readUInt32BE(at + 2) - this.#initialWindow;
          this.#initialWindow += change;
          for (const [id, window] of this.#streamWindows)
            this.#streamWindows.set(id, window + change);
        }
      }
    }
  }

  #window(streamId: number): number {
    return this.#streamWindows.get(streamId) ?? this.#initialWindow;
  }
}

interface Sender {
  readonly connection: Http2Connection<string>;
  pending: number;
}

function pump(connection: Http2Connection<string>, onEvent: (event: number) => void): void {
  for (let event = connection.next(); event !== NEED_MORE; event = connection.next()) {
    expect(event).not.toBe(11);
    onEvent(event);
  }
}

/** A client sends random pieces on a few streams to a server that credits at random. */
function transfer(limits: Limits, pieces: readonly (readonly [number, number, number])[]): void {
  const sender: Sender = { connection: client(limits), pending: 0 };
  const receiver = server(limits);
  const auditor = new Auditor();
  const given = new Map<number, string>();
  const got = new Map<number, string>();
  const ended = new Set<number>();
  let seed = 0;

  const toReceiver = (): void => {
    const chunks = sender.connection.take();
    auditor.onSent(chunks);
    sender.connection.flushed();
    if (chunks.length > 0) receiver.receive(Buffer.concat(chunks), 0);
    pump(receiver, (event) => {
      const { stream, bytes, start, end, isEndStream } = receiver.facts;
      if (event === DATA && end > start)
        got.set(stream.id, (got.get(stream.id) ?? '') + bytes.toString('latin1', start, end));
      if ((event === DATA || event === TRAILERS) && isEndStream) ended.add(stream.id);
    });
  };
  const toSender = (): void => {
    const chunks = receiver.take();
    receiver.flushed();
    if (chunks.length > 0) sender.connection.receive(Buffer.concat(chunks), 0);
    auditor.onReceived(chunks);
    pump(sender.connection, (event) => {
      if (event === SENT) sender.pending -= sender.connection.facts.byteCount;
    });
  };

  toReceiver();
  toSender();
  for (const id of [1, 3, 5]) {
    const stream = sender.connection.openStream(id, false);
    sender.connection.sendHeaders(stream, { fields: POST, kinds: null, from: 0 }, false);
  }
  for (const [id, length, credit] of pieces) {
    const stream = sender.connection.stream(id);
    if (stream === null) throw new Error('no stream');
    const content = Buffer.alloc(length, 97 + (seed++ % 26));
    given.set(id, (given.get(id) ?? '') + content.toString('latin1'));
    const bounds = { start: 0, end: length, isEndStream: false };
    sender.pending += length - sender.connection.sendData(stream, content, bounds);
    toReceiver();
    for (const open of receiver.streams()) receiver.credit(open, credit);
    toSender();
  }
  for (const id of [1, 3, 5]) {
    const stream = sender.connection.stream(id);
    if (stream === null) throw new Error('no stream');
    if (id === 3)
      sender.connection.sendHeaders(stream, { fields: ['x', 'y'], kinds: null, from: 0 }, true);
    else
      sender.connection.sendData(stream, Buffer.alloc(0), { start: 0, end: 0, isEndStream: true });
  }
  for (let round = 0; round < 2000 && ended.size < 3; round++) {
    toReceiver();
    for (const open of receiver.streams()) receiver.discard(open);
    toSender();
  }
  expect(sender.pending).toBe(0);
  expect([...ended].sort()).toEqual([1, 3, 5]);
  expect(got).toEqual(given);
}

describe('windows (RFC 9113 6.9)', () => {
  it('are never exceeded, and everything arrives whole and in order', () => {
    const piece = fc.tuple(
      fc.constantFrom(1, 3, 5),
      fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 40_000 })),
      fc.nat(30_000),
    );
    const window = fc.constantFrom(1024, 5000, 65_535, 200_000);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), window, (pieces, h2StreamWindowBytes) => {
        transfer(limitsWith({ h2StreamWindowBytes, h2ConnectionWindowBytes: 65_536 }), pieces);
      }),
      { numRuns: 150 },
    );
  });

  it('a window made smaller by SETTINGS goes below zero and must be filled up first', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 10]), headers(1, GET)]));
    const { stream } = connection.facts;
    connection.respond(stream, { status: 200, fields: [], isEndStream: false });
    const content = Buffer.from('0123456789abcdef');
    expect(connection.sendData(stream, content, { start: 0, end: 16, isEndStream: true })).toBe(10);
    drive(connection, settings([4, 4]));
    expect(stream.sendWindow).toBe(-6);
    connection.take();
    expect(drive(connection, windowUpdate(1, 6))).toEqual([]);
    expect(connection.take()).toEqual([]);
    expect(drive(connection, windowUpdate(1, 2))).toEqual(['sent 1 2']);
    expect(told(connection.take())).toEqual(['DATA 1 ab']);
    expect(drive(connection, settings([4, 40]))).toEqual(['settings', 'sent 1 4 end']);
    expect(told(connection.take())).toEqual(['SETTINGS ack', 'DATA 1 cdef end']);
    expect(connection.streamCount).toBe(0);
  });

  it('SETTINGS that make a stream window overflow lose the connection', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([headers(1, POST, 4), windowUpdate(1, 0x7fff_ffff - 65_535)]));
    expect(drive(connection, settings([4, 65_536]))).toEqual(['fault FLOW_CONTROL_ERROR']);
  });

  it('trailers wait for the content before them', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 1]), headers(1, GET)]));
    const { stream } = connection.facts;
    connection.respond(stream, { status: 200, fields: [], isEndStream: false });
    connection.sendData(stream, Buffer.from('ab'), { start: 0, end: 2, isEndStream: false });
    const kinds = [KIND_OTHER, KIND_OTHER | KIND_NEVER_INDEXED, KIND_OTHER];
    const trailers = { fields: ['read', 'r', 'never', 'n', 'plain', 'p'], kinds, from: 2 };
    connection.sendHeaders(stream, trailers, true);
    expect(told(connection.take()).slice(-1)).toEqual(['DATA 1 a']);
    // What the peer read next has taken the place of the fields and of what they are.
    trailers.fields.fill('');
    kinds.fill(0);
    expect(drive(connection, windowUpdate(1, 1))).toEqual(['sent 1 1 end']);
    const left = connection.take();
    expect(told(left)).toEqual(['DATA 1 b', 'HEADERS 1 end']);
    const block = Buffer.concat(left).subarray(9 + 1 + 9);
    expect([...block]).toEqual([
      ...[0x10, 5, ...Buffer.from('never'), 1, 0x6e],
      ...[0x00, 5, ...Buffer.from('plain'), 1, 0x70],
    ]);
  });

  it('streams that wait for the connection window take turns of one frame', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 1 << 20]), headers(1, GET), headers(3, GET)]));
    for (const stream of connection.streams()) {
      connection.respond(stream, { status: 200, fields: [], isEndStream: false });
      const content = Buffer.alloc(100_000);
      connection.sendData(stream, content, { start: 0, end: content.length, isEndStream: false });
    }
    connection.take();
    const events = drive(connection, windowUpdate(0, 65_536));
    expect(events.map((event) => event.split(' ')[1])).toEqual(['1', '3', '1', '3']);
  });

  it('streams that wait take turns, however little the connection window opens', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 1 << 20]), headers(1, GET), headers(3, GET)]));
    for (const stream of connection.streams()) {
      connection.respond(stream, { status: 200, fields: [], isEndStream: false });
      const content = Buffer.alloc(100_000);
      connection.sendData(stream, content, { start: 0, end: content.length, isEndStream: false });
    }
    connection.take();
    const served = Array.from({ length: 4 }, () => drive(connection, windowUpdate(0, 100)));
    expect(served).toEqual([['sent 1 100'], ['sent 3 100'], ['sent 1 100'], ['sent 3 100']]);
  });
});

describe('content that waits', () => {
  const window = 1000;

  /** Streams with `count` times their window to send, all windows used up. */
  function stalled(count: number): Http2Connection<string> {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, window]), windowUpdate(0, 1 << 20)]));
    for (let i = 0; i < count; i++) {
      drive(connection, headers(2 * i + 1, GET));
      const { stream } = connection.facts;
      connection.respond(stream, { status: 200, fields: [], isEndStream: false });
      const content = Buffer.alloc(4 * window);
      connection.sendData(stream, content, { start: 0, end: content.length, isEndStream: true });
    }
    connection.take();
    return connection;
  }

  it('is counted, and no more once it has left or goes nowhere', () => {
    const connection = stalled(4);
    expect(connection.heldBytes).toBe(4 * 3 * window);
    drive(connection, windowUpdate(1, window));
    expect(connection.heldBytes).toBe(11 * window);
    drive(
      connection,
      Buffer.concat([windowUpdate(1, 2 * window), frame(3, 0, 3, Buffer.alloc(4))]),
    );
    expect(connection.heldBytes).toBe(6 * window);
    const rest = connection.stream(5);
    if (rest !== null) connection.resetStream(rest, 8);
    expect(connection.heldBytes).toBe(3 * window);
    drive(connection, settings([4, 10 * window]));
    expect([connection.heldBytes, connection.streamCount]).toEqual([0, 0]);
  });

  it('of a head that is not whole is counted, too', () => {
    const connection = greetedServer();
    drive(connection, frame(1, 0, 1, Buffer.alloc(1000, 0x82)));
    expect(connection.heldBytes).toBe(1000);
    drive(connection, frame(9, 4, 1, Buffer.alloc(0)));
    expect(connection.heldBytes).toBe(0);
  });

  it('goes on whatever became of the windows in between', () => {
    const connection = stalled(2);
    // Below zero, and back: what was lost by it is to be given again (RFC 9113 6.9.2).
    drive(connection, Buffer.concat([settings([4, 0]), windowUpdate(1, window)]));
    expect(told(connection.take())).toEqual(['SETTINGS ack']);
    expect(drive(connection, windowUpdate(1, 1))).toEqual(['sent 1 1']);
    expect(drive(connection, settings([4, window]))).toEqual(['settings', 'sent 1 1000']);
    expect(drive(connection, settings([4, window + 1]))).toEqual([
      'settings',
      'sent 1 1',
      'sent 3 1',
    ]);
  });

  it('leaves as many bytes a turn, in however many pieces it came', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 1 << 20]), headers(1, GET), headers(3, GET)]));
    const [large, small] = connection.streams();
    if (large === undefined || small === undefined) throw new Error('two streams');
    for (const stream of [large, small]) {
      connection.respond(stream, { status: 200, fields: [], isEndStream: false });
    }
    const content = Buffer.alloc(65_536);
    connection.sendData(large, content, { start: 0, end: 65_535, isEndStream: false });
    connection.sendData(large, content, { start: 0, end: 65_536, isEndStream: false });
    for (let i = 0; i < 64; i++) {
      connection.sendData(small, content, { start: 0, end: 1024, isEndStream: false });
    }
    connection.take();
    expect(drive(connection, windowUpdate(0, 65_536))).toEqual([
      'sent 1 16384',
      'sent 3 16384',
      'sent 1 16384',
      'sent 3 16384',
    ]);
  });
});

describe('credit', () => {
  const content = Buffer.alloc(16_384);

  function send(connection: Http2Connection<string>, count: number, streamId = 1): string[] {
    return drive(
      connection,
      Buffer.concat(Array.from({ length: count }, () => data(streamId, content))),
    );
  }

  it('more than the stream window is an error of the stream', () => {
    const connection = greetedServer();
    drive(connection, headers(1, POST, 4));
    expect(send(connection, 4)).toHaveLength(1);
    expect(drive(connection, data(1, 'x'))).toEqual(['stream-error 1 FLOW_CONTROL_ERROR']);
  });

  it('of the connection is given as content comes: what waits for the caller costs only its own stream', () => {
    const connection = greetedServer(limitsWith({ h2ConnectionWindowBytes: 65_536 }));
    for (let id = 1; id < 200; id += 2) {
      expect(drive(connection, headers(id, POST, 4))).toHaveLength(1);
      expect(send(connection, 4, id)).toHaveLength(1);
      expect(drive(connection, data(id, 'x'))).toEqual([`stream-error ${id} FLOW_CONTROL_ERROR`]);
    }
  });

  it('is announced in halves, for the stream and the connection', () => {
    const connection = greetedServer(limitsWith({ h2ConnectionWindowBytes: 65_536 }));
    drive(connection, headers(1, POST, 4));
    send(connection, 1);
    expect(connection.take()).toEqual([]);
    send(connection, 1);
    expect(told(connection.take())).toEqual(['WINDOW_UPDATE 0 32768']);
    const { stream } = connection.facts;
    connection.credit(stream, 32_767);
    expect(connection.take()).toEqual([]);
    connection.credit(stream, 1);
    expect(told(connection.take())).toEqual(['WINDOW_UPDATE 1 32768']);
    connection.credit(stream, 1);
    expect(stream.owedBytes).toBe(0);
    expect(connection.take()).toEqual([]);
  });

  it('that was not worth a frame is announced when the window becomes smaller', () => {
    const connection = server(limitsWith({ h2StreamWindowBytes: 1024 }));
    connection.take();
    drive(connection, Buffer.concat([CLIENT_PREFACE, settings(), headers(1, POST, 4)]));
    const { stream } = connection.facts;
    // Less than half of what the client may send before it knows of the smaller window.
    drive(
      connection,
      Buffer.concat([data(1, Buffer.alloc(15_000)), data(1, Buffer.alloc(15_000))]),
    );
    connection.credit(stream, 30_000);
    expect(told(connection.take())).toEqual(['SETTINGS ack']);
    drive(connection, SETTINGS_ACK);
    // Its window is 1024 - 30,000 now: without this it would wait for ever.
    expect(told(connection.take())).toEqual(['WINDOW_UPDATE 1 30000']);
  });

  it('padding is credited at once', () => {
    const connection = greetedServer(limitsWith({ h2StreamWindowBytes: 1024 }));
    drive(connection, headers(1, POST, 4));
    const padded = frame(0, 8, 1, Buffer.concat([Buffer.from([255, 120]), Buffer.alloc(255)]));
    for (let i = 0; i < 100; i++) {
      expect(drive(connection, padded)).toEqual(['data 1 x']);
      connection.credit(connection.facts.stream, 1);
    }
  });

  it.each<[string, (connection: Http2Connection<string>) => void]>([
    ['we reset the stream', (connection) => connection.resetStream(connection.facts.stream, 8)],
    [
      'the client reset it',
      (connection) => void drive(connection, frame(3, 0, 1, Buffer.alloc(4))),
    ],
    ['the caller gave up', (connection) => connection.discard(connection.facts.stream)],
  ])('is owed for nothing any more when %s', (_, end) => {
    const connection = greetedServer(limitsWith({ h2ConnectionWindowBytes: 65_536 }));
    drive(connection, headers(1, POST, 4));
    send(connection, 3);
    const { stream } = connection.facts;
    end(connection);
    expect(stream.owedBytes).toBe(0);
  });

  it('is given for content that is dropped, slice by slice', () => {
    const connection = greetedServer(limitsWith({ h2ConnectionWindowBytes: 65_536 }));
    drive(connection, headers(1, POST, 4));
    const bytes = data(1, content);
    drive(connection, bytes.subarray(0, 100));
    connection.resetStream(connection.facts.stream, 8);
    connection.take();
    for (const at of [100, 1000, 9000]) {
      drive(connection, bytes.subarray(at, { 100: 1000, 1000: 9000 }[at] ?? bytes.length));
    }
    for (let i = 0; i < 50; i++) expect(send(connection, 1)).toEqual([]);
  });

  it('the head of a response may come before its request has left', () => {
    const connection = client();
    drive(connection, Buffer.concat([settings([4, 0])]));
    const stream = connection.openStream(1, false);
    connection.sendHeaders(stream, { fields: POST, kinds: null, from: 0 }, false);
    connection.sendData(stream, Buffer.from('abc'), { start: 0, end: 3, isEndStream: true });
    connection.receive(headers(1, [':status', '200']), 0);
    expect(connection.next()).toBe(HEAD);
    expect(connection.streamCount).toBe(1);
    expect(drive(connection, windowUpdate(1, 3))).toEqual(['sent 1 3 end']);
    expect(connection.streamCount).toBe(0);
  });
});
