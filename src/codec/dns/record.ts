/** One resource record of a DNS message (RFC 1035 4.1.3), as places in it. Whoever walks over a message makes one and moves it. */
import { endOfName } from './name.ts';

/** Type, class, TTL and length behind the owner. */
const FIXED_BYTES = 10;
/** RFC 2181 8: with the first bit set it counts as 0. */
const TTL_MAX = 0x7fff_ffff;

export type RecordFault = 'record-cut' | 'record-name';

export class RecordWalk {
  ownerAt = 0;
  type = 0;
  class = 0;
  ttlSeconds = 0;
  dataAt = 0;
  dataEnd = 0;
  readonly #message: Buffer;

  constructor(message: Buffer, at: number) {
    this.#message = message;
    this.dataEnd = at;
  }

  /** To the record behind this one. Null, or why there is none. */
  next(): RecordFault | null {
    const message = this.#message;
    this.ownerAt = this.dataEnd;
    if (this.ownerAt >= message.length) return 'record-cut';
    const at = endOfName(message, this.ownerAt);
    if (at < 0) return 'record-name';
    if (at + FIXED_BYTES > message.length) return 'record-cut';
    this.type = message.readUInt16BE(at);
    this.class = message.readUInt16BE(at + 2);
    const ttl = message.readUInt32BE(at + 4);
    this.ttlSeconds = ttl > TTL_MAX ? 0 : ttl;
    this.dataAt = at + FIXED_BYTES;
    this.dataEnd = this.dataAt + message.readUInt16BE(at + 8);
    return this.dataEnd > message.length ? 'record-cut' : null;
  }
}
