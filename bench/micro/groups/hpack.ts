/** HTTP/2 heads: decoded, validated and encoded again as the relay does. */
import { HPACK_OK, HpackDecoder } from '../../../src/codec/http2/hpack_decoder.ts';
import { encodedLengthMax, encodeFields } from '../../../src/codec/http2/hpack_encoder.ts';
import type { Http2RequestHead } from '../../../src/codec/http2/request_head.ts';
import { RequestRules } from '../../../src/codec/http2/request_rules.ts';
import { Cause } from '../../../src/model/fault_detail.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import {
  INSERTING_BLOCK,
  LITERAL_BLOCK,
  REPEATED_BLOCK,
  REQUEST_FIELDS,
  SECRET_BLOCK,
} from '../http2_blocks.ts';
import type { Works } from '../work.ts';

const BOUNDS = { listBytesMax: 61_440, fieldCountMax: 100 };
const TABLE_BYTES = 4096;

export function works(): Works {
  const decoder = new HpackDecoder(TABLE_BYTES);
  decode(decoder, INSERTING_BLOCK);
  const literals = new HpackDecoder(TABLE_BYTES);
  const rules = new RequestRules({ limits: DEFAULT_LIMITS, isPathNormalised: true });
  const target = Buffer.alloc(encodedLengthMax(REQUEST_FIELDS, 0));
  const validated = (): Http2RequestHead => {
    decode(decoder, REPEATED_BLOCK);
    const head = rules.read(decoder);
    if (head instanceof Cause) throw new Error(head.detail);
    return head;
  };
  return {
    'decode 9 fields of the dynamic table': () => decode(decoder, REPEATED_BLOCK),
    'decode 9 fields, Huffman literals': () => decode(literals, LITERAL_BLOCK),
    'decode 9 fields, Huffman literals never seen': () => decode(literals, SECRET_BLOCK),
    'decode 9 fields and insert them': () => decode(new HpackDecoder(TABLE_BYTES), INSERTING_BLOCK),
    'decode and validate a request': () => validated().path.length,
    'decode, validate and encode a request': () => {
      const source = validated().source();
      if (source === null) throw new Error('a head that cannot be sent');
      return encodeFields(target, 0, source);
    },
    'encode 9 fields, stateless': () =>
      encodeFields(target, 0, { fields: REQUEST_FIELDS, kinds: null, from: 0 }),
  };
}

function decode(decoder: HpackDecoder, block: Buffer): number {
  if (decoder.decode(block, 0, block.length, BOUNDS) !== HPACK_OK) throw new Error('not decoded');
  return decoder.listBytes;
}
