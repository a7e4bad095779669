import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { CLIENT_PREFACE, ERROR_CODES } from '../../../src/codec/http2/frame.ts';
import {
  block,
  client,
  data,
  drive,
  frame,
  GET,
  greetedClient,
  greetedServer,
  headers,
  joined,
  limitsWith,
  OK,
  POST,
  reset,
  SETTINGS_ACK,
  server,
  settings,
  told,
  uint32,
  windowUpdate,
} from './wire.ts';

const HEAD_1 = `head 1 ${GET.join('|')} end`;
const POST_1 = `head 1 ${POST.join('|')}`;

/** A server connection is fed `bytes` behind the greeting; what it tells and what it sends. */
function check(bytes: readonly Buffer[], events: readonly string[], sent: readonly string[]): void {
  const connection = greetedServer();
  expect(drive(connection, Buffer.concat(bytes))).toEqual(events);
  expect(told(connection.take())).toEqual(sent);
}

const lost = (code: string, lastStreamId = 0): [string[], string[]] => [
  [`fault ${code}`],
  [`GOAWAY ${lastStreamId} ${code}`],
];

describe('greeting (RFC 9113 3.4)', () => {
  it('a server says SETTINGS and its connection window', () => {
    expect(told(server().take())).toEqual(['SETTINGS', `WINDOW_UPDATE 0 ${1024 * 1024 - 65_535}`]);
  });

  it('a client says the preface first', () => {
    const chunks = client().take();
    expect(Buffer.concat(chunks).subarray(0, 24).equals(CLIENT_PREFACE)).toBe(true);
    expect(told(chunks)[0]).toBe('SETTINGS');
  });

  it('acknowledges SETTINGS, and notices the acknowledgement', () => {
    const connection = server();
    connection.take();
    drive(connection, Buffer.concat([CLIENT_PREFACE, settings()]));
    expect(told(connection.take())).toEqual(['SETTINGS ack']);
    expect(connection.areSettingsAcknowledged).toBe(false);
    drive(connection, SETTINGS_ACK);
    expect(connection.areSettingsAcknowledged).toBe(true);
  });

  it.each([
    ['another preface', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a preface that ends otherwise', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\rX')],
    ['no SETTINGS', Buffer.concat([CLIENT_PREFACE, headers(1, GET)])],
    ['DATA first', Buffer.concat([CLIENT_PREFACE, data(1, 'x')])],
    ['an acknowledgement first', Buffer.concat([CLIENT_PREFACE, SETTINGS_ACK])],
  ])('a server is lost on %s', (_, bytes) => {
    expect(drive(server(), bytes)).toEqual(['fault PROTOCOL_ERROR']);
  });
});

describe('connection errors', () => {
  it.each<[string, Buffer[], string]>([
    ['DATA on 0', [data(0, 'x')], 'PROTOCOL_ERROR'],
    ['HEADERS on 0', [headers(0, GET)], 'PROTOCOL_ERROR'],
    ['RST_STREAM on 0', [reset(0)], 'PROTOCOL_ERROR'],
    ['PRIORITY on 0', [frame(2, 0, 0, Buffer.alloc(5))], 'PROTOCOL_ERROR'],
    ['SETTINGS on a stream', [frame(4, 0, 1)], 'PROTOCOL_ERROR'],
    ['PING on a stream', [frame(6, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['GOAWAY on a stream', [frame(7, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['CONTINUATION of nothing', [frame(9, 4, 1)], 'PROTOCOL_ERROR'],
    ['PUSH_PROMISE', [frame(5, 4, 1, Buffer.alloc(4))], 'PROTOCOL_ERROR'],
    ['DATA on an idle stream', [data(1, 'x')], 'PROTOCOL_ERROR'],
    ['RST_STREAM on an idle stream', [reset(1)], 'PROTOCOL_ERROR'],
    ['WINDOW_UPDATE on an idle stream', [windowUpdate(1, 1)], 'PROTOCOL_ERROR'],
    ['HEADERS on an even stream', [headers(2, GET)], 'PROTOCOL_ERROR'],
    ['SETTINGS of 5 bytes', [frame(4, 0, 0, Buffer.alloc(5))], 'FRAME_SIZE_ERROR'],
    ['SETTINGS ack with a payload', [frame(4, 1, 0, Buffer.alloc(6))], 'FRAME_SIZE_ERROR'],
    ['PING of 7 bytes', [frame(6, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
    ['RST_STREAM of 3 bytes', [frame(3, 0, 1, Buffer.alloc(3))], 'FRAME_SIZE_ERROR'],
    ['WINDOW_UPDATE of 3 bytes', [frame(8, 0, 0, Buffer.alloc(3))], 'FRAME_SIZE_ERROR'],
    ['GOAWAY of 7 bytes', [frame(7, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
    ['PRIORITY of 4 bytes', [frame(2, 0, 1, Buffer.alloc(4))], 'FRAME_SIZE_ERROR'],
    ['a frame of 16,385 bytes', [frame(0, 0, 1, Buffer.alloc(16_385))], 'FRAME_SIZE_ERROR'],
    ['padding as long as DATA', [frame(0, 8, 1, Buffer.from([1]))], 'PROTOCOL_ERROR'],
    ['padding as long as HEADERS', [frame(1, 0xd, 1, Buffer.from([1]))], 'PROTOCOL_ERROR'],
    ['priority cut off', [frame(1, 0x25, 1, Buffer.alloc(4))], 'PROTOCOL_ERROR'],
    [
      'HEADERS that depend on themselves',
      [frame(1, 0x25, 1, Buffer.from([0, 0, 0, 1, 0]))],
      'PROTOCOL_ERROR',
    ],
    [
      'PRIORITY that depends on itself',
      [frame(2, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
      'PROTOCOL_ERROR',
    ],
    ['WINDOW_UPDATE of 0', [windowUpdate(0, 0)], 'PROTOCOL_ERROR'],
    ['a connection window that overflows', [windowUpdate(0, 0x7fff_ffff)], 'FLOW_CONTROL_ERROR'],
    ['ENABLE_PUSH of 2', [settings([2, 2])], 'PROTOCOL_ERROR'],
    ['INITIAL_WINDOW_SIZE of 2^31', [settings([4, 2 ** 31])], 'FLOW_CONTROL_ERROR'],
    ['MAX_FRAME_SIZE of 16,383', [settings([5, 16_383])], 'PROTOCOL_ERROR'],
    ['MAX_FRAME_SIZE of 2^24', [settings([5, 2 ** 24])], 'PROTOCOL_ERROR'],
    ['a block that cannot be decoded', [frame(1, 5, 1, Buffer.from([0x80]))], 'COMPRESSION_ERROR'],
    ['DATA within a block', [frame(1, 0, 1, block(GET)), data(1, 'x')], 'PROTOCOL_ERROR'],
    ['PING within a block', [frame(1, 0, 1), frame(6, 0, 0, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['an unknown frame within a block', [frame(1, 0, 1), frame(77, 0, 1)], 'PROTOCOL_ERROR'],
    ['CONTINUATION of another stream', [frame(1, 0, 1), frame(9, 4, 3)], 'PROTOCOL_ERROR'],
  ])('%s', (_, bytes, code) => check(bytes, ...lost(code)));

  it('nothing is told after one, whatever comes', () => {
    const connection = greetedServer();
    drive(connection, data(0, 'x'));
    connection.take();
    expect(drive(connection, headers(1, GET))).toEqual(['fault PROTOCOL_ERROR']);
    expect(connection.take()).toEqual([]);
  });
});

describe('streams on a server (RFC 9113 5.1)', () => {
  it.each<[string, Buffer[], string[], string[]]>([
    ['a request without content', [headers(1, GET)], [HEAD_1], []],
    [
      'content and trailers',
      [headers(1, POST, 4), data(1, 'abc'), data(1, 'd'), headers(1, ['x', 'y'])],
      [POST_1, 'data 1 abcd', 'trailers 1 x|y end'],
      [],
    ],
    ['an end without content', [headers(1, POST, 4), data(1, '', 1)], [POST_1, 'data 1  end'], []],
    ['an empty frame tells nothing', [headers(1, POST, 4), data(1, '')], [POST_1], []],
    [
      'a block in three frames',
      [
        frame(1, 1, 1, block(GET).subarray(0, 3)),
        frame(9, 0, 1, block(GET).subarray(3, 5)),
        frame(9, 4, 1, block(GET).subarray(5)),
      ],
      [HEAD_1],
      [],
    ],
    [
      'padding and priority',
      [
        frame(
          1,
          0x2d,
          1,
          Buffer.concat([Buffer.from([2, 0, 0, 0, 3, 9]), block(GET), Buffer.alloc(2)]),
        ),
      ],
      [HEAD_1],
      [],
    ],
    [
      'a stream that was skipped',
      [headers(5, GET), headers(3, GET)],
      [HEAD_1.replace('1', '5'), 'fault PROTOCOL_ERROR'],
      ['GOAWAY 5 PROTOCOL_ERROR'],
    ],
    [
      'DATA after END_STREAM',
      [headers(1, GET), data(1, 'x')],
      [HEAD_1, 'stream-error 1 STREAM_CLOSED'],
      ['RST_STREAM 1 STREAM_CLOSED'],
    ],
    [
      'HEADERS after END_STREAM',
      [headers(1, GET), headers(1, ['x', 'y'])],
      [HEAD_1, 'stream-error 1 STREAM_CLOSED'],
      ['RST_STREAM 1 STREAM_CLOSED'],
    ],
    ['a reset', [headers(1, GET), reset(1)], [HEAD_1, 'reset 1 CANCEL'], []],
    [
      'HEADERS after its reset',
      [headers(1, GET), reset(1), headers(1, GET)],
      [HEAD_1, 'reset 1 CANCEL'],
      ['RST_STREAM 1 STREAM_CLOSED'],
    ],
    [
      'DATA after its reset',
      [headers(1, POST, 4), reset(1), data(1, 'x')],
      [POST_1, 'reset 1 CANCEL'],
      ['RST_STREAM 1 STREAM_CLOSED'],
    ],
    ['a reset twice', [headers(1, GET), reset(1), reset(1)], [HEAD_1, 'reset 1 CANCEL'], []],
    [
      'a late WINDOW_UPDATE',
      [headers(1, GET), reset(1), windowUpdate(1, 5)],
      [HEAD_1, 'reset 1 CANCEL'],
      [],
    ],
    [
      'WINDOW_UPDATE of 0',
      [headers(1, GET), windowUpdate(1, 0)],
      [HEAD_1, 'stream-error 1 PROTOCOL_ERROR'],
      ['RST_STREAM 1 PROTOCOL_ERROR'],
    ],
    [
      'a stream window that overflows',
      [headers(1, GET), windowUpdate(1, 0x7fff_ffff)],
      [HEAD_1, 'stream-error 1 FLOW_CONTROL_ERROR'],
      ['RST_STREAM 1 FLOW_CONTROL_ERROR'],
    ],
    [
      'PRIORITY of 4 bytes',
      [headers(1, GET), frame(2, 0, 1, Buffer.alloc(4))],
      [HEAD_1, 'stream-error 1 FRAME_SIZE_ERROR'],
      ['RST_STREAM 1 FRAME_SIZE_ERROR'],
    ],
    ['PRIORITY of an idle stream', [frame(2, 0, 9, Buffer.alloc(5))], [], []],
    [
      'a malformed request',
      [headers(1, [':method', 'GET'])],
      ['malformed 1 malformed-pseudo-field'],
      [],
    ],
    ['no fields at all', [headers(1, [])], ['malformed 1 malformed-pseudo-field'], []],
    [
      'trailers that end nothing',
      [headers(1, POST, 4), headers(1, ['x', 'y'], 4)],
      [POST_1, 'malformed 1 malformed-field'],
      [],
    ],
    [
      'trailers with a pseudo-field',
      [headers(1, POST, 4), headers(1, [':path', '/x'])],
      [POST_1, 'malformed 1 malformed-pseudo-field'],
      [],
    ],
    [
      'trailers with a field that policy should have seen',
      [headers(1, POST, 4), headers(1, ['authorization', 'x'])],
      [POST_1, 'malformed 1 malformed-field'],
      [],
    ],
    ['an unknown frame', [frame(0xaa, 0xff, 0, Buffer.alloc(30)), headers(1, GET)], [HEAD_1], []],
    ['a PING', [frame(6, 0, 0, Buffer.from('01234567'))], [], ['PING ack']],
    ['a GOAWAY', [frame(7, 0, 0, Buffer.alloc(8))], ['goaway'], []],
  ])('%s', (_, bytes, events, sent) => check(bytes, events, sent));

  it('after we reset a stream, what was on its way is dropped', () => {
    const connection = greetedServer();
    drive(connection, headers(1, POST, 4));
    connection.resetStream(connection.facts.stream, ERROR_CODES.CANCEL);
    connection.take();
    const late = [data(1, 'x'), headers(1, ['x', 'y']), reset(1), headers(3, GET)];
    expect(drive(connection, Buffer.concat(late))).toEqual([HEAD_1.replace('1', '3')]);
    expect(told(connection.take())).toEqual([]);
  });

  it('after both ends, more is an error of the connection', () => {
    const connection = greetedServer();
    drive(connection, headers(1, GET));
    connection.respond(connection.facts.stream, { status: 200, fields: [], isEndStream: true });
    expect(connection.streamCount).toBe(0);
    expect(drive(connection, data(1, 'x'))).toEqual(['fault STREAM_CLOSED']);
  });

  it('refuses streams above its number, and the client may try again', () => {
    const connection = greetedServer(limitsWith({ h2StreamCountMax: 2 }));
    const three = Buffer.concat([1, 3, 5].map((id) => headers(id, GET)));
    expect(drive(connection, three)).toHaveLength(2);
    expect(told(connection.take())).toEqual(['RST_STREAM 5 REFUSED_STREAM']);
    const first = connection.stream(1);
    if (first === null) throw new Error('no stream 1');
    connection.respond(first, { status: 200, fields: [], isEndStream: true });
    expect(drive(connection, headers(7, GET))).toEqual([HEAD_1.replace('1', '7')]);
  });

  it('tells a list beyond its bounds as such, and stays in step', () => {
    const connection = greetedServer();
    const wide = [...GET, ...Array.from({ length: 100 }, (_, i) => [`x${i}`, '']).flat()];
    expect(drive(connection, headers(1, wide))).toEqual(['malformed 1 head-too-large']);
    expect(drive(connection, headers(3, GET))).toEqual([HEAD_1.replace('1', '3')]);
  });
});

describe('Content-Length against DATA (RFC 9113 8.1.1)', () => {
  const post = (length: number): Buffer =>
    headers(1, [...POST, 'content-length', String(length)], 4);
  const malformed = 'malformed 1 malformed-content-length';

  it.each<[string, Buffer[], string[]]>([
    ['exact', [post(3), data(1, 'abc', 1)], ['data 1 abc end']],
    ['exact, in two', [post(3), data(1, 'ab'), data(1, 'c'), data(1, '', 1)], ['data 1 abc end']],
    [
      'exact, with trailers',
      [post(1), data(1, 'a'), headers(1, ['x', 'y'])],
      ['data 1 a', 'trailers 1 x|y end'],
    ],
    ['one byte more', [post(3), data(1, 'abcd', 1)], [malformed]],
    ['one byte more, later', [post(3), data(1, 'abc'), data(1, 'd')], ['data 1 abc', malformed]],
    ['one byte less', [post(3), data(1, 'ab', 1)], [malformed]],
    [
      'less before trailers',
      [post(3), data(1, 'ab'), headers(1, ['x', 'y'])],
      ['data 1 ab', malformed],
    ],
    ['0 and content', [post(0), data(1, 'a', 1)], [malformed]],
  ])('%s', (_, bytes, events) => {
    expect(drive(greetedServer(), Buffer.concat(bytes)).slice(1)).toEqual(events);
  });
});

describe('responses on a client', () => {
  function request(isHeadRequest = false): Http2Connection<string> {
    const connection = greetedClient();
    const stream = connection.openStream(1, isHeadRequest);
    connection.sendHeaders(stream, { fields: GET, kinds: null, from: 0 }, true);
    connection.take();
    return connection;
  }

  it.each<[string, Buffer[], string[]]>([
    ['a head', [headers(1, OK)], ['head 1 :status|200 end']],
    ['content', [headers(1, OK, 4), data(1, 'abc', 1)], ['head 1 :status|200', 'data 1 abc end']],
    [
      'trailers',
      [headers(1, OK, 4), headers(1, ['grpc-status', '0'])],
      ['head 1 :status|200', 'trailers 1 grpc-status|0 end'],
    ],
    [
      'an informational head',
      [headers(1, [':status', '103'], 4), headers(1, OK)],
      ['head 1 :status|103', 'head 1 :status|200 end'],
    ],
    ['101', [headers(1, [':status', '101'], 4)], ['malformed 1 malformed-response']],
    ['an informational end', [headers(1, [':status', '100'])], ['malformed 1 malformed-response']],
    ['no status', [headers(1, ['x', 'y'])], ['malformed 1 malformed-response']],
    ['two statuses', [headers(1, [...OK, ...OK])], ['malformed 1 malformed-response']],
    ['a status of two digits', [headers(1, [':status', '20'])], ['malformed 1 malformed-response']],
    [
      'a status that is no number',
      [headers(1, [':status', '2x0'])],
      ['malformed 1 malformed-response'],
    ],
    ['a status with a sign', [headers(1, [':status', '+99'])], ['malformed 1 malformed-response']],
    [
      'another pseudo-field',
      [headers(1, [...OK, ':path', '/'])],
      ['malformed 1 malformed-response'],
    ],
    [
      'connection',
      [headers(1, [...OK, 'connection', 'close'])],
      ['malformed 1 malformed-response'],
    ],
    ['te', [headers(1, [...OK, 'te', 'trailers'])], ['malformed 1 malformed-response']],
    ['a bad value', [headers(1, [...OK, 'x', 'a\nb'])], ['malformed 1 malformed-response']],
    ['content before a head', [data(1, 'x')], ['malformed 1 malformed-response']],
    [
      'a length that is not kept',
      [headers(1, [...OK, 'content-length', '2'], 4), data(1, 'a', 1)],
      ['head 1 :status|200|content-length|2', 'malformed 1 malformed-response'],
    ],
    [
      'content with 204',
      [headers(1, [':status', '204'], 4), data(1, 'a', 1)],
      ['head 1 :status|204', 'malformed 1 malformed-response'],
    ],
    [
      'a length with 304',
      [headers(1, [':status', '304', 'content-length', '9'])],
      ['head 1 :status|304|content-length|9 end'],
    ],
    ['a stream that was pushed', [headers(2, OK)], ['fault PROTOCOL_ERROR']],
    ['a stream that was not opened', [headers(3, OK)], ['fault PROTOCOL_ERROR']],
    ['ENABLE_PUSH', [settings([2, 1])], ['fault PROTOCOL_ERROR']],
    ['a refusal', [reset(1, 7)], ['reset 1 REFUSED_STREAM']],
  ])('%s', (_, bytes, events) => {
    expect(drive(request(), Buffer.concat(bytes))).toEqual(events);
  });

  it('a response to HEAD has a length and no content', () => {
    const head = headers(1, [...OK, 'content-length', '5']);
    expect(drive(request(true), head)).toEqual(['head 1 :status|200|content-length|5 end']);
    const withContent = Buffer.concat([headers(1, OK, 4), data(1, 'a')]);
    expect(drive(request(true), withContent)[1]).toBe('malformed 1 malformed-response');
  });

  it('opens as many streams as the upstream takes, with numbers that rise', () => {
    const connection = greetedClient();
    drive(connection, settings([3, 1]));
    expect(connection.canOpenStream(2)).toBe(false);
    expect(connection.canOpenStream(5)).toBe(true);
    const stream = connection.openStream(5, false);
    expect(connection.canOpenStream(7)).toBe(false);
    connection.resetStream(stream, ERROR_CODES.CANCEL);
    expect(connection.canOpenStream(5)).toBe(false);
    expect(connection.canOpenStream(3)).toBe(false);
    expect(connection.canOpenStream(7)).toBe(true);
    drive(connection, frame(7, 0, 0, Buffer.concat([uint32(5), uint32(0)])));
    expect(connection.canOpenStream(7)).toBe(false);
  });
});

describe('draining (RFC 9113 6.8)', () => {
  it('says GOAWAY twice, serves what was on its way, then refuses', () => {
    const connection = greetedServer();
    drive(connection, headers(1, GET));
    connection.beginDrain();
    connection.ping();
    expect(told(connection.take())).toEqual(['GOAWAY 2147483647 NO_ERROR', 'PING']);
    expect(drive(connection, headers(3, GET))).toEqual([HEAD_1.replace('1', '3')]);
    expect(drive(connection, frame(6, 1, 0, Buffer.alloc(8)))).toEqual(['ping-acked']);
    connection.endDrain();
    expect(told(connection.take())).toEqual(['GOAWAY 3 NO_ERROR']);
    expect(drive(connection, headers(5, GET))).toEqual([]);
    expect(told(connection.take())).toEqual(['RST_STREAM 5 REFUSED_STREAM']);
    expect(connection.streamCount).toBe(2);
  });
});

describe('any cut of the bytes', () => {
  const scene = Buffer.concat([
    CLIENT_PREFACE,
    settings([4, 1000], [1, 0]),
    SETTINGS_ACK,
    headers(1, POST, 4),
    frame(1, 0, 3, block(GET).subarray(0, 4)),
    frame(9, 5, 3, block(GET).subarray(4)),
    data(1, 'abcdef'),
    frame(0, 8, 1, Buffer.from('\x04ghi\0\0\0\0', 'latin1')),
    frame(0xbe, 0, 0, Buffer.alloc(9)),
    windowUpdate(1, 100),
    headers(1, ['x', 'y']),
    frame(6, 0, 0, Buffer.alloc(8)),
    headers(5, [...GET, 'Bad', 'name']),
    reset(3),
    headers(2, GET),
  ]);

  function run(chunks: readonly Buffer[]): { events: string[]; sent: string } {
    const connection = server();
    const events: string[] = [];
    for (const chunk of chunks) {
      if (!events.some((event) => event.startsWith('fault'))) {
        events.push(...drive(connection, chunk));
      }
    }
    return {
      events: joined(events),
      sent: Buffer.concat(connection.take()).toString('hex'),
    };
  }

  it('gives the same events and the same answers', () => {
    const whole = run([scene]);
    expect(whole.events.at(-1)).toBe('fault PROTOCOL_ERROR');
    expect(run([...scene].map((byte) => Buffer.of(byte)))).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(scene.length), { maxLength: 12 }), (cuts) => {
        const at = [...new Set(cuts)].sort((a, b) => a - b);
        const chunks = [0, ...at].map((start, i) => scene.subarray(start, at[i] ?? scene.length));
        expect(run(chunks)).toEqual(whole);
      }),
    );
  });
});

describe('a reply of our own', () => {
  it.each([
    [['X', 'y']],
    [['connection', 'close']],
    [[':path', '/']],
    [['x', 'a\r\nb']],
    [['x', '\u010a']],
    [['\u0161', 'x']],
  ])('never goes out with %j', (fields) => {
    const connection = greetedServer();
    drive(connection, headers(1, GET));
    const reply = { status: 403, fields, isEndStream: true };
    expect(() => connection.respond(connection.facts.stream, reply)).toThrow();
    expect(connection.take()).toEqual([]);
  });
});

describe('isGreeted and isInHead', () => {
  it('tell what a client still owes', () => {
    const connection = server();
    expect(connection.isGreeted).toBe(false);
    drive(connection, Buffer.concat([CLIENT_PREFACE, settings()]));
    expect([connection.isGreeted, connection.isInHead]).toEqual([true, false]);
    const part = frame(1, 1, 1, block(GET));
    drive(connection, part.subarray(0, 5));
    expect(connection.isInHead).toBe(true);
    drive(connection, part.subarray(5, 15));
    expect(connection.isInHead).toBe(true);
    drive(connection, part.subarray(15));
    expect(connection.isInHead).toBe(true);
    drive(connection, frame(9, 4, 1));
    expect(connection.isInHead).toBe(false);
  });
});

describe('random bytes', () => {
  it('never throw, in either role, with or without a greeting', () => {
    const anyFrame = fc
      .tuple(fc.nat(10), fc.nat(255), fc.nat(6), fc.uint8Array({ maxLength: 30 }))
      .map(([type, flags, id, payload]) => frame(type, flags, id, payload));
    const chunk = fc.oneof(
      anyFrame,
      fc.uint8Array({ maxLength: 50 }).map((b) => Buffer.from(b)),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 30 }), fc.nat(3), (chunks, kind) => {
        const make = [server, client, greetedServer, greetedClient][kind] as typeof server;
        const connection = make();
        if (kind === 3) connection.openStream(1, false);
        for (const bytes of chunks) {
          const events = drive(connection, bytes);
          for (const stream of connection.streams()) connection.credit(stream, 5);
          if (events.some((event) => event.startsWith('malformed'))) {
            connection.resetStream(connection.facts.stream, 1);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
