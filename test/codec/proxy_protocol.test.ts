/** The PROXY protocol header, versions 1 and 2: accepted, refused, never more bytes than asked. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../src/codec/crc32c.ts';
import { parseProxyHeader } from '../../src/codec/proxy_protocol.ts';
import { DETAILS } from '../../src/model/fault_detail.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

interface Version2 {
  readonly command?: number;
  readonly family?: number;
  readonly body?: Buffer;
  readonly length?: number;
}

const IPV4_BODY = Buffer.from([10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 80]);
const IPV6_BODY = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0, 1, 0xff, 0xff]),
]);

function version2(parts: Version2 = {}): Buffer {
  const body = parts.body ?? IPV4_BODY;
  const length = parts.length ?? body.length;
  return Buffer.concat([
    SIGNATURE,
    Buffer.from([parts.command ?? 0x21, parts.family ?? 0x11, length >> 8, length & 0xff]),
    body,
  ]);
}

const tlv = (type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 0xff]), value]);

function withChecksum(damage = 0): Buffer {
  const header = version2({
    body: Buffer.concat([IPV4_BODY, tlv(0x02, Buffer.from('a.test')), tlv(0x03, Buffer.alloc(4))]),
  });
  header.writeUInt32BE((crc32c(header) ^ damage) >>> 0, header.length - 4);
  return header;
}

const told = (bytes: Buffer): unknown => {
  const result = parseProxyHeader(bytes);
  if (result.kind !== 'proxied') return result.kind === 'malformed' ? result.cause.detail : result;
  const { source, destination, byteLength } = result;
  return `${source.ip} ${source.port} ${destination.ip} ${destination.port} ${byteLength}`;
};

/** The same with bytes after it, and nothing told of any prefix (but that it is malformed). */
function check(header: string | Buffer, expected: unknown): void {
  const bytes = typeof header === 'string' ? Buffer.from(header, 'latin1') : header;
  expect(told(bytes)).toEqual(expected);
  expect(told(Buffer.concat([bytes, Buffer.from('GET / HTTP/1.1\r\n')]))).toEqual(expected);
  for (let length = 0; length < bytes.length; length++) {
    const early = told(bytes.subarray(0, length));
    if (typeof expected !== 'string' || early !== expected) {
      expect(early).toEqual({ kind: 'need-more' });
    }
  }
}

const TEXT_LINES = [
  ['proxy-missing', 'PROXY\r\n'],
  ['proxy-family', 'PROXY \r\n'],
  ['proxy-form', 'PROXY TCP4\r\n'],
  ['proxy-form', 'PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n'],
  ['proxy-form', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n'],
  ['proxy-form', 'PROXY TCP4  10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-form', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n'],
  ['proxy-form', 'PROXY TCP4 10.0.0.1\t10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.01 10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.256 10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 ::1 ::2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP6 [::1] ::2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP6 ::1%1 ::2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 -2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 x\r\n'],
  ['proxy-family', 'PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-family', 'PROXY tcp4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-family', 'PROXY UNKNOWNX\r\n'],
  ['proxy-missing', 'proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-missing', 'PROXZ TCP4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-missing', ' PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-missing', 'GET / HTTP/1.1\r\n'],
  ['proxy-missing', '\r\nPROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n\r\n'],
  ['proxy-address', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\r\n'],
] as const;

const BINARY_HEADERS = [
  ['proxy-command', 'version 1 in the binary form', version2({ command: 0x11 })],
  ['proxy-command', 'version 3', version2({ command: 0x31 })],
  ['proxy-command', 'another command', version2({ command: 0x22 })],
  ['proxy-family', 'UDP over IPv4', version2({ family: 0x12 })],
  ['proxy-family', 'UDP over IPv6', version2({ family: 0x22, body: IPV6_BODY })],
  ['proxy-family', 'a unix socket', version2({ family: 0x31, body: Buffer.alloc(216) })],
  ['proxy-family', 'an unknown family', version2({ family: 0x41 })],
  ['proxy-family', 'IPv4 over no transport', version2({ family: 0x10 })],
  ['proxy-too-short', 'too short for IPv4', version2({ body: IPV4_BODY.subarray(1) })],
  ['proxy-too-short', 'too short for IPv6', version2({ family: 0x21 })],
  ['proxy-tlv', 'half a TLV', version2({ body: Buffer.concat([IPV4_BODY, Buffer.from([1, 0])]) })],
  [
    'proxy-tlv',
    'a TLV longer than the header',
    version2({ body: Buffer.concat([IPV4_BODY, Buffer.from([1, 0, 5, 0])]) }),
  ],
  ['proxy-checksum', 'a wrong CRC32c', withChecksum(1)],
  [
    'proxy-checksum',
    'a CRC32c of 3 bytes',
    version2({ body: Buffer.concat([IPV4_BODY, tlv(3, Buffer.alloc(3))]) }),
  ],
  ['proxy-missing', 'a broken signature', Buffer.from('\r\n\r\n\0\r\nQUIT\r', 'latin1')],
] as const;

describe('version 1', () => {
  it.each([
    ['PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n', '10.0.0.1 12345 10.0.0.2 80 39'],
    ['PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n', '255.255.255.255 65535 0.0.0.0 0 44'],
    ['PROXY TCP6 2001:db8::1 ::1 1 2\r\n', '2001:db8::1 1 ::1 2 32'],
    ['PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 2\r\n', '2001:db8::1 1 ::1 2 41'],
  ])('accepts %j', (line, expected) => check(line, expected));

  it('takes UNKNOWN for the sender itself', () => {
    check('PROXY UNKNOWN\r\n', { kind: 'local', byteLength: 15 });
    check('PROXY UNKNOWN ffff::1 ::2 1 2\r\n', { kind: 'local', byteLength: 31 });
  });

  it.each(TEXT_LINES)('%s: refuses %j', (detail, line) => check(line, detail));

  it('is at most 107 bytes', () => {
    check(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`, { kind: 'local', byteLength: 107 });
    expect(told(Buffer.from(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`))).toBe('proxy-too-long');
    expect(told(Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`))).toBe('proxy-too-long');
  });
});

describe('version 2', () => {
  it.each([
    ['IPv4', version2(), '10.0.0.1 12345 10.0.0.2 80 28'],
    ['IPv6', version2({ family: 0x21, body: IPV6_BODY }), '2001:db8::1 1 2001:db8::2 65535 52'],
    [
      'IPv4 with TLVs',
      version2({
        body: Buffer.concat([IPV4_BODY, tlv(1, Buffer.from('h2')), tlv(4, Buffer.alloc(0))]),
      }),
      '10.0.0.1 12345 10.0.0.2 80 36',
    ],
    ['a right CRC32c', withChecksum(), '10.0.0.1 12345 10.0.0.2 80 44'],
  ])('accepts %s', (_, header, expected) => check(header, expected));

  it.each([
    ['LOCAL without addresses', version2({ command: 0x20, family: 0, body: Buffer.alloc(0) }), 16],
    ['LOCAL with addresses, left out', version2({ command: 0x20 }), 28],
    ['PROXY of an unspecified family', version2({ family: 0, body: Buffer.alloc(5) }), 21],
  ])('%s is the sender itself', (_, header, byteLength) => {
    check(header, { kind: 'local', byteLength });
  });

  it.each(BINARY_HEADERS)('%s: refuses %s', (detail, _, header) => check(header, detail));

  it('is bounded before its bytes have come', () => {
    const long = version2({ length: 521 });
    expect(told(long)).toBe('proxy-too-long');
    expect(told(version2({ length: 520 }))).toEqual({ kind: 'need-more' });
    expect(parseProxyHeader(version2({ length: 16 }), 28)).toMatchObject({
      kind: 'malformed',
      cause: { detail: 'proxy-too-long' },
    });
  });

  it('an IPv4-mapped IPv6 address is the IPv4 one', () => {
    const mapped = Buffer.from(`${'00'.repeat(10)}ffff0a000001`, 'hex');
    const body = Buffer.concat([mapped, mapped, Buffer.from([0, 1, 0, 2])]);
    check(version2({ family: 0x21, body }), '10.0.0.1 1 10.0.0.1 2 52');
  });
});

it('CRC-32C has the value of its check string', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
});

it('random bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      for (const start of [Buffer.alloc(0), SIGNATURE, Buffer.from('PROXY TCP4 ')]) {
        parseProxyHeader(Buffer.concat([start, bytes]));
      }
    }),
  );
});

it('every word on PROXY headers has a case', () => {
  const seen = new Set<string>([...TEXT_LINES, ...BINARY_HEADERS].map(([detail]) => detail));
  const words = Object.keys(DETAILS).filter((one) => one.startsWith('proxy-'));
  expect([...seen.add('proxy-too-long')].sort()).toEqual(words.sort());
});
