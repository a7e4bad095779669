/**
 * hot path
 *
 * HPACK, decoding side (RFC 7541): one header block → flat [name, value, ...] with the kind of
 * each field beside it. All bounds hold while decoding. A field of the dynamic table is decoded,
 * checked and made into strings once, when it is inserted; a reference to it shares them.
 *
 * A list beyond its bounds is no error of the connection: decoding goes on without keeping fields,
 * so that the dynamic table stays in step and the stream alone can be refused.
 */
import { latin1 } from '../http1/syntax.ts';
import {
  isCredential,
  KIND_CODE_MASK,
  KIND_CONTENT_TYPE,
  KIND_NEVER_INDEXED,
  KIND_PSEUDO_MAX,
  nameCode,
  STATIC_KINDS,
  valueFlag,
} from './field_kind.ts';
import { decodedLengthMax, decodeHuffman } from './huffman.ts';
import { LiteralCache, NO_SLOT } from './literal_cache.ts';
import { STATIC_COUNT, STATIC_FIELDS } from './static_table.ts';

export const HPACK_OK = 0;
/**
 * The list has more bytes or fields than allowed; `fields` holds its beginning, and of the rest what tells which
 * request it was and how to answer it, wherever that stands.
 */
export const HPACK_TOO_LARGE = 1;
/** The block cannot be decoded: the connection is lost (COMPRESSION_ERROR). */
export const HPACK_MALFORMED = 2;

export type HpackOutcome = typeof HPACK_OK | typeof HPACK_TOO_LARGE | typeof HPACK_MALFORMED;

export interface HpackBounds {
  /** Sum of name and value lengths and 32 a field (RFC 7541 4.1). */
  readonly listBytesMax: number;
  readonly fieldCountMax: number;
}

/** RFC 7541 4.1: what a field costs beyond its bytes. */
const FIELD_OVERHEAD_BYTES = 32;

/** Of such fields beyond the bounds: how long, and how many. */
const ASKED_BYTES_MAX = 1024;
const ASKED_COUNT_MAX = 8;

/** Largest integer: every index, length and table size that can be legal is far below. */
const INTEGER_MAX = 0x0fff_ffff;
const INTEGER_BYTES_MAX = 4;

/** RFC 7541 4.2: after two changes of the limit, the lower one and the final one are signalled. */
const SIZE_UPDATE_COUNT_MAX = 2;

/** Decoded Huffman strings pass through here; grows to the largest string that a block can hold. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

/** Of all connections of a worker. */
const LITERALS = new LiteralCache();

export class HpackDecoder {
  /** A fresh array for each block: the caller may keep it. */
  fields: string[] = [];
  /** By field (not by array element): what `field_kind.ts` says. */
  kinds: number[] = [];
  listBytes = 0;
  /** The block neither read the dynamic table nor resized it, so that it means the same to anyone. */
  isSelfContained = true;
  /** After HPACK_TOO_LARGE: by the number of fields, not by their bytes. */
  isCountExceeded = false;

  readonly #table: DynamicTable;
  readonly #literals: LiteralCache;
  #bytes: Buffer = scratch;
  #at = 0;
  #end = 0;
  #fieldCount = 0;
  #isTooLarge = false;
  /** Fields that were kept all the same. */
  #askedCount = 0;
  #bounds: HpackBounds = { listBytesMax: 0, fieldCountMax: 0 };
  // The literal that was read last.
  #name = '';
  #nameKind = 0;
  #value = '';
  #valueFlag = 0;
  /** Where it is in the cache. */
  #slot = NO_SLOT;

  /** `tableBytesMax` is the SETTINGS_HEADER_TABLE_SIZE that is in force. */
  constructor(tableBytesMax: number, literals = LITERALS) {
    this.#table = new DynamicTable(tableBytesMax);
    this.#literals = literals;
  }

  /** When the peer has acknowledged a smaller SETTINGS_HEADER_TABLE_SIZE. */
  setTableBytesMax(tableBytesMax: number): void {
    this.#table.setLimit(tableBytesMax);
  }

  get tableBytes(): number {
    return this.#table.byteLength;
  }

  decode(bytes: Buffer, start: number, end: number, bounds: HpackBounds): HpackOutcome {
    this.fields = [];
    this.kinds = [];
    this.listBytes = 0;
    this.isSelfContained = true;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#fieldCount = 0;
    this.#isTooLarge = false;
    this.#askedCount = 0;
    this.#bounds = bounds;
    if (!this.#readSizeUpdates()) return HPACK_MALFORMED;
    while (this.#at < end) {
      const first = bytes[this.#at] as number;
      if (first >= 0x80) {
        if (!this.#readIndexed()) return HPACK_MALFORMED;
      } else if (first >= 0x40) {
        if (!this.#readLiteral(0x3f, false)) return HPACK_MALFORMED;
        const kind = this.#nameKind | this.#valueFlag;
        this.#table.insert(this.#name, this.#value, kind);
        this.#emit(this.#name, this.#value, kind);
      } else if (first >= 0x20) {
        return HPACK_MALFORMED;
      } else {
        if (!this.#readLiteral(0x0f, first >= 0x10)) return HPACK_MALFORMED;
        const flags = this.#valueFlag | (first >= 0x10 ? KIND_NEVER_INDEXED : 0);
        this.#emit(this.#name, this.#value, this.#nameKind | flags);
      }
    }
    return this.#isTooLarge ? HPACK_TOO_LARGE : HPACK_OK;
  }

  #readSizeUpdates(): boolean {
    for (let count = 0; this.#at < this.#end; count++) {
      if (((this.#bytes[this.#at] as number) & 0xe0) !== 0x20) return true;
      const size = this.#readInteger(0x1f);
      if (size < 0 || count === SIZE_UPDATE_COUNT_MAX || !this.#table.resize(size)) return false;
      this.isSelfContained = false;
    }
    return true;
  }

  #readIndexed(): boolean {
    let index = (this.#bytes[this.#at] as number) & 0x7f;
    if (index === 0x7f) index = this.#readInteger(0x7f);
    else this.#at++;
    if (index <= 0) return false;
    if (index <= STATIC_COUNT) {
      const at = 2 * (index - 1);
      const name = STATIC_FIELDS[at] as string;
      this.#emit(name, STATIC_FIELDS[at + 1] as string, STATIC_KINDS[index] as number);
      return true;
    }
    const slot = this.#table.slot(index - STATIC_COUNT - 1);
    if (slot < 0) return false;
    this.isSelfContained = false;
    const table = this.#table;
    this.#emit(
      table.names[slot] as string,
      table.values[slot] as string,
      table.kinds[slot] as number,
    );
    return true;
  }

  #readLiteral(prefixMask: number, isSecret: boolean): boolean {
    const nameIndex = this.#readInteger(prefixMask);
    if (nameIndex < 0) return false;
    if (nameIndex === 0) {
      if (!this.#readString(isSecret)) return false;
      this.#name = this.#value;
      this.#nameKind = this.#nameKindOf(this.#name);
    } else if (nameIndex <= STATIC_COUNT) {
      this.#name = STATIC_FIELDS[2 * (nameIndex - 1)] as string;
      this.#nameKind = STATIC_KINDS[nameIndex] as number;
    } else {
      const slot = this.#table.slot(nameIndex - STATIC_COUNT - 1);
      if (slot < 0) return false;
      this.isSelfContained = false;
      this.#name = this.#table.names[slot] as string;
      this.#nameKind = (this.#table.kinds[slot] as number) & KIND_CODE_MASK;
    }
    return this.#readString(isSecret || isCredential(this.#nameKind));
  }

  /** Into `#value`, `#valueFlag` and `#slot`. */
  #readString(isSecret: boolean): boolean {
    if (this.#at >= this.#end) return false;
    const isHuffman = (this.#bytes[this.#at] as number) >= 0x80;
    const length = this.#readInteger(0x7f);
    if (length < 0 || length > this.#end - this.#at) return false;
    const start = this.#at;
    const end = start + length;
    this.#at = end;
    this.#slot = NO_SLOT;
    if (isSecret) return this.#decodeString(start, end, isHuffman);
    const literals = this.#literals;
    const slot = literals.find(this.#bytes, start, end, isHuffman);
    this.#slot = slot;
    if (literals.isHit) {
      this.#value = literals.texts[slot] as string;
      this.#valueFlag = literals.valueFlags[slot] as number;
      return true;
    }
    if (!this.#decodeString(start, end, isHuffman)) return false;
    if (slot !== NO_SLOT) {
      const text = this.#value;
      literals.put(slot, {
        bytes: this.#bytes,
        start,
        end,
        isHuffman,
        text,
        valueFlag: this.#valueFlag,
      });
    }
    return true;
  }

  #decodeString(start: number, end: number, isHuffman: boolean): boolean {
    if (!isHuffman) {
      this.#valueFlag = valueFlag(this.#bytes, start, end);
      this.#value = latin1(this.#bytes, start, end);
      return true;
    }
    const lengthMax = decodedLengthMax(end - start);
    if (scratch.length < lengthMax) scratch = Buffer.allocUnsafeSlow(lengthMax);
    const decoded = decodeHuffman(this.#bytes, start, end, scratch);
    if (decoded < 0) return false;
    this.#valueFlag = valueFlag(scratch, 0, decoded);
    this.#value = latin1(scratch, 0, decoded);
    return true;
  }

  /** Of the string that was read last. */
  #nameKindOf(name: string): number {
    if (this.#slot === NO_SLOT) return nameCode(name);
    const known = this.#literals.nameKinds[this.#slot] as number;
    if (known >= 0) return known;
    const code = nameCode(name);
    this.#literals.nameKinds[this.#slot] = code;
    return code;
  }

  /** RFC 7541 5.1; -1 when it is cut off, too long or too large. */
  #readInteger(prefixMask: number): number {
    let value = (this.#bytes[this.#at++] as number) & prefixMask;
    if (value < prefixMask) return value;
    for (let count = 0; count < INTEGER_BYTES_MAX; count++) {
      if (this.#at >= this.#end) return -1;
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value <= INTEGER_MAX ? value : -1;
    }
    return -1;
  }

  #emit(name: string, value: string, kind: number): void {
    this.#fieldCount++;
    this.listBytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (
      this.listBytes > this.#bounds.listBytesMax ||
      this.#fieldCount > this.#bounds.fieldCountMax
    ) {
      if (!this.#isTooLarge) this.isCountExceeded = this.#fieldCount > this.#bounds.fieldCountMax;
      this.#isTooLarge = true;
      if (
        !isAsked(kind) ||
        value.length > ASKED_BYTES_MAX ||
        ++this.#askedCount > ASKED_COUNT_MAX
      ) {
        return;
      }
    }
    this.fields.push(name, value);
    this.kinds.push(kind);
  }
}

function isAsked(kind: number): boolean {
  const code = kind & KIND_CODE_MASK;
  return code <= KIND_PSEUDO_MAX || code === KIND_CONTENT_TYPE;
}

/**
 *     newest                     oldest
 *     index 0   1   2   ...   count - 1          slot = (newest - index) mod capacity
 *
 * A ring whose capacity is a power of two and which never holds more than limit / 32 entries.
 */
class DynamicTable {
  readonly names: string[] = [];
  readonly values: string[] = [];
  readonly kinds: number[] = [];
  byteLength = 0;

  #limit: number;
  /** What the encoder has chosen, at most the limit. */
  #bytesMax: number;
  #count = 0;
  #newest = -1;
  readonly #capacity: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#bytesMax = limit;
    this.#capacity = capacityFor(limit);
  }

  /** -1 when there is no such entry. */
  slot(index: number): number {
    return index < this.#count ? (this.#newest - index) & (this.#capacity - 1) : -1;
  }

  insert(name: string, value: string, kind: number): void {
    const size = name.length + value.length + FIELD_OVERHEAD_BYTES;
    this.#evictTo(this.#bytesMax - size);
    // RFC 7541 4.4: an entry larger than the table empties it and is not an error.
    if (size > this.#bytesMax) return;
    this.#newest = (this.#newest + 1) & (this.#capacity - 1);
    // The arrays grow as the ring is filled for the first time; slots are taken in order.
    this.names[this.#newest] = name;
    this.values[this.#newest] = value;
    this.kinds[this.#newest] = kind;
    this.#count++;
    this.byteLength += size;
  }

  /** A size update by the encoder; false when it is above the limit (RFC 7541 6.3). */
  resize(bytesMax: number): boolean {
    if (bytesMax > this.#limit) return false;
    this.#bytesMax = bytesMax;
    this.#evictTo(bytesMax);
    return true;
  }

  /**
   * A lower limit applies at once: an encoder that goes on with entries that it should have
   * evicted refers to none here and fails. It is never raised above that of the beginning.
   */
  setLimit(limit: number): void {
    this.#limit = Math.min(limit, this.#limit);
    if (this.#bytesMax > this.#limit) this.resize(this.#limit);
  }

  #evictTo(bytesMax: number): void {
    while (this.#count > 0 && this.byteLength > bytesMax) {
      const oldest = (this.#newest - this.#count + 1) & (this.#capacity - 1);
      this.byteLength -=
        (this.names[oldest] as string).length +
        (this.values[oldest] as string).length +
        FIELD_OVERHEAD_BYTES;
      this.names[oldest] = '';
      this.values[oldest] = '';
      this.#count--;
    }
  }
}

function capacityFor(limit: number): number {
  let capacity = 1;
  while (capacity < limit / FIELD_OVERHEAD_BYTES) capacity *= 2;
  return capacity;
}
