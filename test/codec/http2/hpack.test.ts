import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  KIND_BAD_VALUE,
  KIND_CODE_MASK,
  KIND_MALFORMED,
  KIND_NEVER_INDEXED,
  nameCode,
  valueFlag,
} from '../../../src/codec/http2/field_kind.ts';
import {
  HPACK_MALFORMED,
  HPACK_OK,
  HPACK_TOO_LARGE,
  HpackDecoder,
} from '../../../src/codec/http2/hpack_decoder.ts';
import { encodedLengthMax, encodeFields } from '../../../src/codec/http2/hpack_encoder.ts';
import { encodeHuffman } from '../../../src/codec/http2/huffman.ts';
import { LiteralCache } from '../../../src/codec/http2/literal_cache.ts';
import { block } from './wire.ts';

const WIDE = { listBytesMax: 1 << 20, fieldCountMax: 10_000 };

interface Step {
  readonly hex: string;
  readonly fields: readonly string[];
  readonly tableBytes: number;
}

/** One decoder reads the blocks of a story in turn. */
function checkStory(tableBytesMax: number, steps: readonly Step[]): void {
  const decoder = new HpackDecoder(tableBytesMax);
  for (const { hex, fields, tableBytes } of steps) {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    expect(decoder.decode(bytes, 0, bytes.length, WIDE)).toBe(HPACK_OK);
    expect(decoder.fields).toEqual(fields);
    expect(decoder.tableBytes).toBe(tableBytes);
  }
}

function outcomeOf(hex: string, tableBytesMax = 4096): number {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return new HpackDecoder(tableBytesMax).decode(bytes, 0, bytes.length, WIDE);
}

const REQUEST = [
  ':method',
  'GET',
  ':scheme',
  'http',
  ':path',
  '/',
  ':authority',
  'www.example.com',
];
const REQUEST_2 = [...REQUEST, 'cache-control', 'no-cache'];
const REQUEST_3 = [
  ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html'],
  ...[':authority', 'www.example.com', 'custom-key', 'custom-value'],
];
const DATE = 'Mon, 21 Oct 2013 20:13:21 GMT';
const RESPONSE = [
  ...[':status', '302', 'cache-control', 'private'],
  ...['date', DATE, 'location', 'https://www.example.com'],
];
const RESPONSE_2 = [':status', '307', ...RESPONSE.slice(2)];
const COOKIE = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const RESPONSE_3 = [
  ...[':status', '200', 'cache-control', 'private', 'date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
  ...['location', 'https://www.example.com', 'content-encoding', 'gzip', 'set-cookie', COOKIE],
];

describe('the stories of RFC 7541 appendix C', () => {
  it.each<[string, Step]>([
    [
      'C.2.1 literal with indexing',
      {
        hex: '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
        fields: ['custom-key', 'custom-header'],
        tableBytes: 55,
      },
    ],
    [
      'C.2.2 literal without indexing',
      {
        hex: '040c 2f73 616d 706c 652f 7061 7468',
        fields: [':path', '/sample/path'],
        tableBytes: 0,
      },
    ],
    [
      'C.2.3 literal never indexed',
      {
        hex: '1008 7061 7373 776f 7264 0673 6563 7265 74',
        fields: ['password', 'secret'],
        tableBytes: 0,
      },
    ],
    ['C.2.4 indexed', { hex: '82', fields: [':method', 'GET'], tableBytes: 0 }],
  ])('%s', (_, step) => checkStory(4096, [step]));

  it('C.3 requests without Huffman', () =>
    checkStory(4096, [
      { hex: '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', fields: REQUEST, tableBytes: 57 },
      { hex: '8286 84be 5808 6e6f 2d63 6163 6865', fields: REQUEST_2, tableBytes: 110 },
      {
        hex: '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
        fields: REQUEST_3,
        tableBytes: 164,
      },
    ]));

  it('C.4 requests with Huffman', () =>
    checkStory(4096, [
      { hex: '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', fields: REQUEST, tableBytes: 57 },
      { hex: '8286 84be 5886 a8eb 1064 9cbf', fields: REQUEST_2, tableBytes: 110 },
      {
        hex: '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
        fields: REQUEST_3,
        tableBytes: 164,
      },
    ]));

  it('C.5 responses without Huffman, with eviction', () =>
    checkStory(256, [
      {
        hex: `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
              2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
              6c65 2e63 6f6d`.replace(/\s/g, ''),
        fields: RESPONSE,
        tableBytes: 222,
      },
      { hex: '4803 3330 37c1 c0bf', fields: RESPONSE_2, tableBytes: 222 },
      {
        hex: `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
              54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
              5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
              3d31`.replace(/\s/g, ''),
        fields: RESPONSE_3,
        tableBytes: 215,
      },
    ]));

  it('C.6 responses with Huffman, with eviction', () =>
    checkStory(256, [
      {
        hex: `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
              2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`.replace(/\s/g, ''),
        fields: RESPONSE,
        tableBytes: 222,
      },
      { hex: '4883 640e ffc1 c0bf', fields: RESPONSE_2, tableBytes: 222 },
      {
        hex: `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
              77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
              9587 3160 65c0 03ed 4ee5 b106 3d50 07`.replace(/\s/g, ''),
        fields: RESPONSE_3,
        tableBytes: 215,
      },
    ]));
});

describe('what cannot be decoded', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond both tables', 'be'],
    ['a name index beyond both tables', '7e 01 61'],
    ['an integer that is cut off', 'ff'],
    ['an integer that never ends', 'ff 80 80 80 80 80 80 00'],
    ['an integer that is too large', 'ff ff ff ff ff 7f'],
    ['a string that is cut off', '00 05 61'],
    ['a string length that is cut off', '00'],
    ['a value that is missing', '00 01 61'],
    ['a size update above the limit', '3f e2 1f'],
    ['a size update behind a field', '82 20'],
    ['a third size update', '20 20 20'],
    ['EOS in a string', '00 84 ff ff ff ff 01 61'],
    ['wrong padding', '00 81 00 01 61'],
  ])('%s', (_, hex) => expect(outcomeOf(hex)).toBe(HPACK_MALFORMED));

  it('takes two size updates at the start of a block', () => {
    expect(outcomeOf('20 3f e1 1f 82')).toBe(HPACK_OK);
  });

  it('refuses what a smaller table has evicted', () => {
    const decoder = new HpackDecoder(4096);
    const first = Buffer.from('400161 0162'.replaceAll(' ', ''), 'hex');
    decoder.decode(first, 0, first.length, WIDE);
    decoder.setTableBytesMax(0);
    expect(decoder.decode(Buffer.from([0xbe]), 0, 1, WIDE)).toBe(HPACK_MALFORMED);
  });

  it('never throws on any bytes, cut into any blocks', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), (blocks) => {
        const decoder = new HpackDecoder(200);
        for (const bytes of blocks) {
          decoder.decode(Buffer.from(bytes), 0, bytes.length, WIDE);
          expect(decoder.tableBytes).toBeLessThanOrEqual(200);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('bounds', () => {
  const bounds = { listBytesMax: 200, fieldCountMax: 3 };

  function decode(decoder: HpackDecoder, bytes: Buffer): number {
    return decoder.decode(bytes, 0, bytes.length, bounds);
  }

  it('counts fields', () => {
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, Buffer.from([0x82, 0x82, 0x82]))).toBe(HPACK_OK);
    expect(decode(decoder, Buffer.from([0x90, 0x90, 0x90, 0x90]))).toBe(HPACK_TOO_LARGE);
    expect(decoder.fields).toHaveLength(6);
  });

  it('keeps what tells how to answer, wherever it stands, and only so much of it', () => {
    const decoder = new HpackDecoder(4096);
    const long = block(['x', 'y'.repeat(300), ':path', `/${'z'.repeat(2000)}`]);
    const rest = block(['content-type', 'application/grpc', 'accept', 'a']);
    expect(decode(decoder, Buffer.concat([Buffer.of(0x82), long, rest]))).toBe(HPACK_TOO_LARGE);
    expect(decoder.fields).toEqual([':method', 'GET', 'content-type', 'application/grpc']);
    expect(decode(decoder, Buffer.alloc(1000, 0x82))).toBe(HPACK_TOO_LARGE);
    expect(decoder.fields.length).toBeLessThan(30);
  });

  it('counts bytes with 32 a field, before it keeps them', () => {
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, block(['a', 'x'.repeat(167)]))).toBe(HPACK_OK);
    expect(decode(decoder, block(['a', 'x'.repeat(168)]))).toBe(HPACK_TOO_LARGE);
    expect(decoder.fields).toEqual([]);
  });

  it('stays in step beyond its bounds: a bomb of references, then the table is still right', () => {
    const decoder = new HpackDecoder(4096);
    const insert = Buffer.from([0x40, 1, 0x61, 100, ...Buffer.alloc(100, 0x78)]);
    const bomb = Buffer.concat([
      insert,
      Buffer.alloc(60_000, 0xbe),
      Buffer.from('40016201790000', 'hex').subarray(0, 5),
    ]);
    expect(decode(decoder, bomb)).toBe(HPACK_TOO_LARGE);
    expect(decoder.fields.length).toBeLessThanOrEqual(6);
    expect(decode(decoder, Buffer.from([0xbe]))).toBe(HPACK_OK);
    expect(decoder.fields).toEqual(['b', 'y']);
  });

  it('an entry larger than the table empties it', () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, Buffer.from('4001610162', 'hex'));
    expect(decoder.tableBytes).toBe(34);
    decode(decoder, Buffer.from([0x40, 1, 0x61, 40, ...Buffer.alloc(40, 0x78)]));
    expect(decoder.tableBytes).toBe(0);
  });
});

/** A reference for the table: what an encoder with a real dynamic table would do, field by field. */
class IndexingEncoder {
  readonly #entries: [string, string][] = [];
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  encode(fields: readonly (readonly [string, string, number])[]): Buffer {
    const parts: Buffer[] = [];
    for (const [name, value, style] of fields) {
      const index = this.#entries.findIndex(([n, v]) => n === name && v === value);
      const nameIndex = this.#entries.findIndex(([n]) => n === name);
      if (index >= 0 && style % 4 !== 3) {
        parts.push(integer(0x80, 7, 62 + index));
        continue;
      }
      const pattern = [0x40, 0x40, 0x00, 0x10][style % 4] as number;
      const prefix = pattern === 0x40 ? 6 : 4;
      parts.push(
        nameIndex >= 0 ? integer(pattern, prefix, 62 + nameIndex) : Buffer.from([pattern]),
      );
      if (nameIndex < 0) parts.push(text(name, style > 3));
      parts.push(text(value, style > 3));
      if (pattern === 0x40) this.#insert(name, value);
    }
    return Buffer.concat(parts);
  }

  #insert(name: string, value: string): void {
    this.#entries.unshift([name, value]);
    const size = (): number =>
      this.#entries.reduce((sum, [n, v]) => sum + n.length + v.length + 32, 0);
    while (size() > this.#bytesMax) this.#entries.pop();
  }
}

function integer(pattern: number, prefix: number, value: number): Buffer {
  const mask = (1 << prefix) - 1;
  if (value < mask) return Buffer.from([pattern | value]);
  const bytes = [pattern | mask];
  let rest = value - mask;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

function text(value: string, isHuffman: boolean): Buffer {
  const raw = Buffer.from(value, 'latin1');
  const bytes = isHuffman ? Buffer.from(encodeHuffman(raw)) : raw;
  return Buffer.concat([integer(isHuffman ? 0x80 : 0, 7, bytes.length), bytes]);
}

const latin1Text = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));

describe('round trips', () => {
  it('an encoder with a dynamic table: every story is read as it was meant', () => {
    const name = fc.constantFrom('a', 'x-token', 'cookie', ':path', 'x-long-name');
    const value = fc.oneof(fc.constantFrom('', '1', 'v'.repeat(50)), latin1Text(40));
    const field = fc.tuple(name, value, fc.integer({ min: 0, max: 7 }));
    const story = fc.array(fc.array(field, { maxLength: 8 }), { maxLength: 12 });
    fc.assert(
      fc.property(story, fc.constantFrom(0, 64, 100, 200, 4096), (lists, tableBytes) => {
        const encoder = new IndexingEncoder(tableBytes);
        const decoder = new HpackDecoder(tableBytes);
        for (const list of lists) {
          const bytes = encoder.encode(list);
          expect(decoder.decode(bytes, 0, bytes.length, WIDE)).toBe(HPACK_OK);
          expect(decoder.fields).toEqual(list.flatMap((field) => field.slice(0, 2)));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('our encoder: what it writes is read back, within its bound, and touches no table', () => {
    const name = fc.oneof(
      fc.constantFrom(':method', ':path', ':status', ':scheme', 'accept-encoding', 'authorization'),
      latin1Text(60),
    );
    const value = fc.oneof(
      fc.constantFrom('GET', 'POST', '/', 'http', 'https', '200', '404', 'gzip, deflate'),
      latin1Text(300),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (list) => {
        const fields = list.flat();
        const lengthMax = encodedLengthMax(fields, 0);
        const target = Buffer.alloc(lengthMax + 1);
        const end = encodeFields(target, 0, { fields, kinds: null, from: 0 });
        expect(end).toBeLessThanOrEqual(lengthMax);
        const decoder = new HpackDecoder(0);
        expect(decoder.decode(target, 0, end, WIDE)).toBe(HPACK_OK);
        expect(decoder.fields).toEqual(fields);
        expect(decoder.isSelfContained).toBe(true);
      }),
    );
  });

  it('marks secrets never-indexed, and keeps the mark of the client', () => {
    const decoder = new HpackDecoder(4096);
    const bytes = Buffer.concat([
      block(['authorization', 's', 'cookie', 'c', 'x', 'y', 'x-api-key', 'k']),
      Buffer.from('1001780173', 'hex'),
    ]);
    decoder.decode(bytes, 0, bytes.length, WIDE);
    const marked = decoder.kinds.map((kind) => (kind & KIND_NEVER_INDEXED) !== 0);
    expect(marked).toEqual([true, true, false, true, true]);
    const target = Buffer.alloc(100);
    const end = encodeFields(target, 0, { fields: decoder.fields, kinds: decoder.kinds, from: 0 });
    decoder.decode(target, 0, end, WIDE);
    expect(decoder.kinds.map((kind) => (kind & KIND_NEVER_INDEXED) !== 0)).toEqual(marked);
  });
});

function flagOf(value: string): number {
  return valueFlag(Buffer.from(value, 'latin1'), 0, value.length);
}

describe('literals that come again', () => {
  it('are read as if they were the first, whatever came between', () => {
    const decoder = new HpackDecoder(0);
    const literal = fc.oneof(fc.constantFrom('a', 'ab', 'x-token', 'v'.repeat(48)), latin1Text(60));
    const field = fc.tuple(literal, literal, fc.integer({ min: 0, max: 7 }));
    fc.assert(
      fc.property(fc.array(field, { maxLength: 30 }), (list) => {
        const bytes = new IndexingEncoder(0).encode(list);
        expect(decoder.decode(bytes, 0, bytes.length, WIDE)).toBe(HPACK_OK);
        expect(decoder.fields).toEqual(list.flatMap((one) => one.slice(0, 2)));
        expect(decoder.kinds.map((kind) => kind & ~KIND_NEVER_INDEXED)).toEqual(
          list.map(([name, value]) => nameCode(name) | flagOf(value)),
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('literals that are secrets', () => {
  it.each([
    ['authorization', 'Bearer one', 0x00],
    ['cookie', 'session=one', 0x00],
    ['proxy-authorization', 'Basic one', 0x00],
    ['set-cookie', 'session=one', 0x00],
    ['x-api-key', 'key one', 0x00],
    ['x-vault-token', 'token one', 0x00],
    ['x-plain', 'never indexed', 0x10],
  ])('are not kept for other connections: %s', (name, value, pattern) => {
    const literals = new LiteralCache();
    const decoder = new HpackDecoder(4096, literals);
    for (const indexing of [pattern, pattern === 0 ? 0x40 : pattern]) {
      const text = (it: string): number[] => [it.length, ...Buffer.from(it, 'latin1')];
      const bytes = Buffer.from([
        indexing,
        ...text(name),
        ...text(value),
        0,
        ...text('x'),
        ...text('open'),
      ]);
      expect(decoder.decode(bytes, 0, bytes.length, WIDE)).toBe(HPACK_OK);
      expect(decoder.fields).toEqual([name, value, 'x', 'open']);
    }
    expect(literals.texts).toContain('open');
    expect(literals.texts).not.toContain(value);
  });
});

describe('kinds', () => {
  it('every byte in a name and in a value is judged by the grammar', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      const decoder = new HpackDecoder(4096);
      const bytes = block([`x${char}y`, 'v', 'x', `v${char}w`, 'x', `${char}w`, 'x', `v${char}`]);
      decoder.decode(bytes, 0, bytes.length, WIDE);
      const isToken = /[!#$%&'*+\-.^_`|~0-9a-z]/.test(char);
      const isText = byte === 9 || (byte >= 32 && byte !== 127);
      const isBlank = byte === 9 || byte === 32;
      const [name, within, first, last] = decoder.kinds as [number, number, number, number];
      expect((name & KIND_CODE_MASK) === KIND_MALFORMED).toBe(!isToken);
      expect((within & KIND_BAD_VALUE) !== 0).toBe(!isText);
      expect((first & KIND_BAD_VALUE) !== 0).toBe(!isText || isBlank);
      expect((last & KIND_BAD_VALUE) !== 0).toBe(!isText || isBlank);
    }
  });

  it('a bad value stays bad when it is repeated from the table', () => {
    const decoder = new HpackDecoder(4096);
    const bytes = Buffer.from('4001780109be', 'hex');
    decoder.decode(bytes, 0, bytes.length, WIDE);
    expect(decoder.kinds.every((kind) => (kind & KIND_BAD_VALUE) !== 0)).toBe(true);
  });
});
