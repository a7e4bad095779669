/** Header blocks and frames as clients and origins send them. */
import { encodeHuffman } from '../../src/codec/http2/huffman.ts';

export const REQUEST_FIELDS: readonly string[] = [
  ...[':method', 'GET', ':scheme', 'http', ':authority', 'api.default.svc:8080'],
  ...[':path', '/v1/items/4711?verbose=1', 'user-agent', 'bench/1.0 (linux)', 'accept', '*/*'],
  ...['accept-encoding', 'gzip, deflate', 'x-request-id', '6f1e0c1e-7f0b-4f57-9a51-2a1f6ac0d1aa'],
  ...['authorization', 'Bearer abcdefghijklmnopqrstuvwxyz0123456789'],
];

const RESPONSE_FIELDS: readonly string[] = [
  ...[':status', '200', 'content-type', 'application/json', 'content-length', '34'],
  ...['date', 'Mon, 01 Jan 2026 00:00:00 GMT', 'server', 'origin/1.2'],
];

/** What most clients send first: with incremental indexing. */
export const INSERTING_BLOCK = literalBlock(REQUEST_FIELDS, 0x40);
/** The same fields later: an index each, the last one inserted is 62. */
export const REPEATED_BLOCK = Buffer.from(
  Array.from({ length: REQUEST_FIELDS.length / 2 }, (_, i) => {
    return 0xbe + REQUEST_FIELDS.length / 2 - 1 - i;
  }),
);
export const LITERAL_BLOCK = literalBlock(REQUEST_FIELDS, 0x00);
/** Never indexed, so that nothing of it is remembered. */
export const SECRET_BLOCK = literalBlock(REQUEST_FIELDS, 0x10);
export const RESPONSE_BLOCK = literalBlock(RESPONSE_FIELDS, 0x00);

/** Literals, Huffman coded. */
function literalBlock(fields: readonly string[], pattern: number): Buffer {
  const bytes: number[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    bytes.push(pattern);
    for (const text of [fields[i] as string, fields[i + 1] as string]) {
      const coded = encodeHuffman(Buffer.from(text, 'latin1'));
      bytes.push(0x80 | coded.length, ...coded);
    }
  }
  return Buffer.from(bytes);
}

export function frame(
  header: { readonly type: number; readonly flags: number; readonly streamId: number },
  payload: Buffer,
): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = header.type;
  bytes[4] = header.flags;
  bytes.writeUInt32BE(header.streamId, 5);
  return Buffer.concat([bytes, payload]);
}
