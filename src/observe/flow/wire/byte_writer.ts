/**
 * hot path
 *
 * Bytes of a batch while it is made. Texts and objects that come again are written once a batch, and then by their
 * number. The twin is byte_reader.ts.
 */
const CAPACITY_BYTES = 16 * 1024;
/** UTF-8 takes at most three bytes for a char of UTF-16. */
const BYTES_PER_CHAR_MAX = 3;
const LENGTH_BYTES = 4;
const FLOAT_BYTES = 8;
/** Of a number up to 2^53, seven bits a byte. */
const NUMBER_BYTES_MAX = 8;

export class ByteWriter {
  #bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  #length = 0;
  readonly #texts = new Map<string, number>();
  readonly #objects = new Map<object, number>();

  get byteLength(): number {
    return this.#length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** A whole number from 0 to 2^53 - 1. */
  number(value: number): void {
    this.#reserve(NUMBER_BYTES_MAX);
    const bytes = this.#bytes;
    let rest = value;
    while (rest > 127) {
      bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    bytes[this.#length++] = rest;
  }

  float(value: number): void {
    this.#reserve(FLOAT_BYTES);
    this.#bytes.writeDoubleLE(value, this.#length);
    this.#length += FLOAT_BYTES;
  }

  /** Of 32 bits, at a place that it can be written to again. */
  fixed(value: number, at = this.#length): void {
    if (at === this.#length) {
      this.#reserve(LENGTH_BYTES);
      this.#length += LENGTH_BYTES;
    }
    this.#bytes.writeUInt32LE(value, at);
  }

  /** One that hardly comes again. */
  text(text: string): void {
    this.#reserve(LENGTH_BYTES + BYTES_PER_CHAR_MAX * text.length);
    const bytes = this.#bytes;
    const start = this.#length + LENGTH_BYTES;
    const byteLength = bytes.write(text, start, 'utf8');
    bytes.writeUInt32LE(byteLength, this.#length);
    this.#length = start + byteLength;
  }

  /** One that comes again: a word, a name. */
  word(word: string): void {
    const known = this.#texts.get(word);
    if (known !== undefined) {
      this.number(known);
      return;
    }
    const index = this.#texts.size;
    this.#texts.set(word, index);
    this.number(index);
    this.text(word);
  }

  words(words: readonly string[]): void {
    this.number(words.length);
    for (let i = 0; i < words.length; i++) this.word(words[i] as string);
  }

  /** True when it is new in the batch: then its parts are to follow. */
  isNew(object: object): boolean {
    const known = this.#objects.get(object);
    if (known !== undefined) {
      this.number(known);
      return false;
    }
    const index = this.#objects.size;
    this.#objects.set(object, index);
    this.number(index);
    return true;
  }

  /** What was written. The next batch begins. */
  take(): Uint8Array {
    const batch = Uint8Array.prototype.slice.call(this.#bytes, 0, this.#length);
    this.#length = 0;
    this.#texts.clear();
    this.#objects.clear();
    if (this.#bytes.length > 8 * CAPACITY_BYTES)
      this.#bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
    return batch;
  }

  #reserve(byteLength: number): void {
    const wanted = this.#length + byteLength;
    if (wanted <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
