/** Server name and ALPN of ClientHellos: of Node's own TLS client, built ones, broken ones. */
import { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClientHelloReader, parseClientHello } from '../../src/codec/tls_hello.ts';
import { DETAILS, type Detail } from '../../src/model/fault_detail.ts';

const uint8 = (value: number): Buffer => Buffer.from([value]);
const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const vector8 = (...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint8(body.length), body]);
};
const vector16 = (...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint16(body.length), body]);
};
const extension = (type: number, data: Buffer): Buffer =>
  Buffer.concat([uint16(type), vector16(data)]);
const serverName = (name: string, type = 0): Buffer =>
  extension(0, vector16(uint8(type), vector16(Buffer.from(name, 'latin1'))));
const alpn = (...names: string[]): Buffer =>
  extension(16, vector16(...names.map((name) => vector8(Buffer.from(name, 'latin1')))));

interface HelloParts {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly ciphers?: Buffer;
  readonly compression?: Buffer;
  /** Null: the hello ends before them. */
  readonly extensions?: readonly Buffer[] | null;
  readonly tail?: Buffer;
}

function hello(parts: HelloParts = {}): Buffer {
  const { extensions = [] } = parts;
  return Buffer.concat([
    uint16(parts.version ?? 0x0303),
    Buffer.alloc(32, 7),
    vector8(parts.sessionId ?? Buffer.alloc(32)),
    vector16(parts.ciphers ?? Buffer.from([0x13, 0x01])),
    vector8(parts.compression ?? Buffer.from([0])),
    extensions === null ? Buffer.alloc(0) : vector16(...extensions),
    parts.tail ?? Buffer.alloc(0),
  ]);
}

/** The handshake message in records of `recordLength` bytes. */
function records(body: Buffer, recordLength = 16_384, type = 1): Buffer {
  const length = Buffer.from([body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
  const message = Buffer.concat([uint8(type), length, body]);
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordLength) {
    const fragment = message.subarray(at, at + recordLength);
    out.push(Buffer.from([0x16, 3, 1]), uint16(fragment.length), fragment);
  }
  return Buffer.concat(out);
}

const told = (bytes: Buffer): unknown => {
  const result = parseClientHello(bytes);
  return result.kind === 'malformed' ? result.cause.detail : result;
};

/** Given whole and in every prefix: nothing is told before the last byte, and nothing else then. */
function check(bytes: Buffer, expected: unknown): void {
  expect(told(bytes)).toEqual(expected);
  for (let length = 0; length < bytes.length; length++) {
    const early = told(bytes.subarray(0, length));
    if (typeof expected !== 'string' || early !== expected) {
      expect(early).toEqual({ kind: 'need-more' });
    }
  }
}

async function nodeHello(options: {
  readonly servername?: string;
  readonly ALPNProtocols?: string[];
}): Promise<Buffer> {
  const captured = Promise.withResolvers<Buffer>();
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      captured.resolve(chunk);
      done();
    },
  });
  const client = connect({ socket, ...options });
  client.on('error', () => {});
  const bytes = await captured.promise;
  client.destroy();
  return bytes;
}

describe('of a real client', () => {
  it.each([
    [
      { servername: 'Api.Example.com', ALPNProtocols: ['h2', 'http/1.1'] },
      'api.example.com',
      ['h2', 'http/1.1'],
    ],
    [{ servername: 'a.test' }, 'a.test', []],
    [{ servername: '' }, '', []],
  ])('%j', async (options, name, protocols) => {
    const bytes = await nodeHello(options);
    check(bytes, { kind: 'hello', serverName: name, alpn: protocols });
    expect(told(Buffer.concat([bytes, Buffer.from('more')]))).toEqual(told(bytes));
  });
});

describe('accepted', () => {
  const named = hello({ extensions: [serverName('a.test'), alpn('h2')] });
  const expected = { kind: 'hello', serverName: 'a.test', alpn: ['h2'] };

  it.each([1, 2, 3, 4, 5, 7, 40, 16_384])('in records of %i bytes', (length) => {
    check(records(named, length), expected);
  });

  it('without extensions, or with none that tell', () => {
    const none = { kind: 'hello', serverName: '', alpn: [] };
    check(records(hello({ extensions: null })), none);
    check(records(hello({ extensions: [] })), none);
    check(records(hello({ extensions: [extension(0x0a0a, Buffer.alloc(9))] })), none);
  });

  it('with a session id of none', () => {
    check(records(hello({ sessionId: Buffer.alloc(0), extensions: [serverName('x')] })), {
      kind: 'hello',
      serverName: 'x',
      alpn: [],
    });
  });
});

describe('malformed', () => {
  const broken: [detail: Detail, about: string, bytes: Buffer][] = [
    ['hello-record', 'an alert', Buffer.from([0x15, 3, 1, 0, 2, 1, 0])],
    ['hello-record', 'SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 1, 0])],
    ['hello-record', 'another major version', Buffer.from([0x16, 2, 0, 0, 5])],
    ['hello-record', 'an empty record', Buffer.from([0x16, 3, 1, 0, 0])],
    ['hello-record', 'a record of over 2^14 bytes', Buffer.from([0x16, 3, 1, 0x40, 1])],
    ['hello-message', 'a ServerHello', records(hello(), 16_384, 2)],
    [
      'hello-record',
      'another record in between',
      Buffer.concat([records(hello(), 50).subarray(0, 55), Buffer.from([0x17, 3, 3])]),
    ],
    ['hello-version', 'an unknown hello version', records(hello({ version: 0x0200 }))],
    ['hello-form', 'a session id of 33 bytes', records(hello({ sessionId: Buffer.alloc(33) }))],
    ['hello-form', 'no cipher suite', records(hello({ ciphers: Buffer.alloc(0) }))],
    ['hello-form', 'half a cipher suite', records(hello({ ciphers: Buffer.alloc(3) }))],
    ['hello-form', 'no compression method', records(hello({ compression: Buffer.alloc(0) }))],
    ['hello-form', 'bytes after the extensions', records(hello({ tail: Buffer.from([0]) }))],
    ['hello-form', 'extensions cut short', records(hello({ extensions: null, tail: uint16(5) }))],
    [
      'hello-extensions',
      'an extension longer than the list',
      records(hello({ extensions: [Buffer.from([0, 0, 0, 9, 0])] })),
    ],
    [
      'hello-extensions',
      'half an extension header',
      records(hello({ extensions: [Buffer.from([0, 0, 0])] })),
    ],
    [
      'hello-extensions',
      'two server_name extensions',
      records(hello({ extensions: [serverName('a'), serverName('b')] })),
    ],
    [
      'hello-extensions',
      'two ALPN extensions',
      records(hello({ extensions: [alpn('a'), alpn('b')] })),
    ],
    [
      'hello-extensions',
      'the same unknown extension twice',
      records(
        hello({ extensions: [extension(9, Buffer.alloc(0)), extension(9, Buffer.alloc(0))] }),
      ),
    ],
    [
      'hello-server-name',
      'a name of another type',
      records(hello({ extensions: [serverName('a', 1)] })),
    ],
    ['hello-server-name', 'an empty name', records(hello({ extensions: [serverName('')] }))],
    [
      'hello-server-name',
      'an empty server_name',
      records(hello({ extensions: [extension(0, Buffer.alloc(0))] })),
    ],
    [
      'hello-server-name',
      'two names',
      records(
        hello({
          extensions: [
            extension(
              0,
              vector16(...['a', 'b'].flatMap((name) => [uint8(0), vector16(Buffer.from(name))])),
            ),
          ],
        }),
      ),
    ],
    ['hello-alpn', 'an empty ALPN list', records(hello({ extensions: [alpn()] }))],
    ['hello-alpn', 'an empty ALPN name', records(hello({ extensions: [alpn('')] }))],
    ...[
      'a b',
      'a\0.test',
      'a\r\n',
      'a..b',
      '.a',
      'a.',
      '*',
      'a/b',
      'é',
      'a:1',
      'a,b',
      'a'.repeat(254),
    ].map((name): [Detail, string, Buffer] => [
      'hello-server-name',
      `the name ${JSON.stringify(name).slice(0, 20)}`,
      records(hello({ extensions: [serverName(name)] })),
    ]),
  ];
  it.each(broken)('%s: %s', (detail, _, bytes) => check(bytes, detail));

  it('every word has a case', () => {
    const seen = new Set<string>(broken.map(([detail]) => detail));
    const words = Object.keys(DETAILS).filter((one) => one.startsWith('hello-'));
    const all = [...seen, 'hello-behind', 'hello-too-long'];
    expect(all.sort()).toEqual(words.sort());
  });

  it('hello-behind: a second message in the record of the hello', () => {
    const whole = records(hello());
    const more = Buffer.concat([whole, Buffer.from([1])]);
    more.writeUInt16BE(whole.length - 5 + 1, 3);
    check(more, 'hello-behind');
  });

  it('hello-too-long: as soon as it says so', () => {
    const long = parseClientHello(records(hello()).subarray(0, 9), 20);
    expect(long).toMatchObject({ kind: 'malformed', cause: { detail: 'hello-too-long' } });
  });
});

describe('in any pieces', () => {
  const named = hello({ extensions: [extension(21, Buffer.alloc(300)), serverName('a.test')] });
  const streams: readonly [about: string, bytes: Buffer][] = [
    ['a hello, and more', Buffer.concat([records(named), Buffer.from('more')])],
    ['a hello in small records', records(named, 20)],
    [
      'a hello as long as the bound',
      records(hello({ extensions: [extension(21, Buffer.alloc(438))] })),
    ],
    ['a hello longer by one', records(hello({ extensions: [extension(21, Buffer.alloc(439))] }))],
    [
      'a hello that says it is longer',
      records(hello({ extensions: [extension(21, Buffer.alloc(4000))] })),
    ],
    ['a hello that is longer by its records', records(named, 1)],
    ['two hellos in a record', twice(records(named))],
    ['damage', Buffer.concat([records(named, 50).subarray(0, 55), Buffer.from([0x17, 3, 3])])],
  ];
  const BYTES_MAX = 526;
  it('the bound is where it is said to be', () => {
    const kinds = streams.map(([, bytes]) => parseClientHello(bytes, BYTES_MAX).kind);
    expect(streams[2]?.[1].length).toBe(BYTES_MAX);
    expect(kinds).toEqual([...Array(3).fill('hello'), ...Array(5).fill('malformed')]);
  });

  it.each(streams)('%s: the same result, found at the same byte', (_, bytes) => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (lengths) => {
        const reader = new ClientHelloReader(BYTES_MAX);
        let seen = 0;
        for (let i = 0; seen < bytes.length; i++) {
          seen += lengths[i % lengths.length] as number;
          if (reader.read(bytes.subarray(0, seen)).kind !== 'need-more') break;
        }
        const whole = new ClientHelloReader(BYTES_MAX);
        expect(reader.read(bytes)).toEqual(whole.read(bytes));
        expect(reader.byteLength).toBe(whole.byteLength);
      }),
    );
  });
});

/** The same message a second time in the record of the first. */
function twice(oneRecord: Buffer): Buffer {
  const both = Buffer.concat([oneRecord, oneRecord.subarray(5)]);
  both.writeUInt16BE(both.length - 5, 3);
  return both;
}

describe('bounded work', () => {
  it('every byte is looked at once, however few come at a time', () => {
    const bytes = records(hello({ extensions: [extension(21, Buffer.alloc(2000))] }), 1);
    const looked = Buffer.from(bytes);
    let reads = 0;
    const counted = new Proxy(looked, {
      get(target, name) {
        if (typeof name === 'string' && /^[0-9]+$/.test(name)) reads++;
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const reader = new ClientHelloReader(bytes.length);
    for (let length = 1; length <= bytes.length; length++) {
      const view = new Proxy(counted, {
        get: (target, name) =>
          name === 'length' ? length : (Reflect.get(target, name) as unknown),
      });
      reader.read(view as Buffer);
    }
    expect(reader.byteLength).toBe(bytes.length);
    expect(reads).toBeLessThanOrEqual(bytes.length);
  });

  it('thousands of records of one byte cost no more than they are', () => {
    const big = hello({ extensions: [extension(21, Buffer.alloc(2000)), serverName('a.test')] });
    expect(told(records(big, 1))).toEqual({ kind: 'hello', serverName: 'a.test', alpn: [] });
  });
});

it('random bytes and random damage never throw', () => {
  const good = records(hello({ extensions: [serverName('a.test'), alpn('h2', 'http/1.1')] }), 60);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseClientHello(Buffer.from(bytes));
      parseClientHello(Buffer.from([0x16, 3, 1, ...bytes]));
    }),
  );
  fc.assert(
    fc.property(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
      const damaged = Buffer.from(good);
      damaged[at] = byte;
      parseClientHello(damaged);
    }),
    { numRuns: 2000 },
  );
});
