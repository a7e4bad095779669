/** Reads what byte_writer.ts wrote. Throws a RangeError where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Buffer;
  #offset = 0;
  readonly #texts: string[] = [];
  readonly #objects: unknown[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#offset++);
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = this.byte();
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
  }

  float(): number {
    const value = this.#bytes.readDoubleLE(this.#offset);
    this.#offset += 8;
    return value;
  }

  fixed(): number {
    const value = this.#bytes.readUInt32LE(this.#offset);
    this.#offset += 4;
    return value;
  }

  text(): string {
    const byteLength = this.#bytes.readUInt32LE(this.#offset);
    const start = this.#offset + 4;
    const end = start + byteLength;
    if (end > this.#bytes.length) throw new RangeError('a text that is longer than its batch');
    this.#offset = end;
    return this.#bytes.toString('utf8', start, end);
  }

  word(): string {
    const index = this.number();
    if (index > this.#texts.length) throw new RangeError('a text that was never written');
    if (index === this.#texts.length) this.#texts.push(this.text());
    return this.#texts[index] as string;
  }

  words(): string[] {
    return this.list(() => this.word());
  }

  list<Item>(read: () => Item): Item[] {
    const count = this.number();
    if (count > this.#bytes.length) throw new RangeError('a list that is longer than its batch');
    return Array.from({ length: count }, read);
  }

  /** `read` for one that is new; one that was read is the same object. */
  shared<Item extends object>(read: () => Item): Item {
    const index = this.number();
    if (index < this.#objects.length) return this.#objects[index] as Item;
    const place = this.#objects.length;
    if (index > place) throw new RangeError('an object that was never written');
    this.#objects.push(null);
    const item = read();
    this.#objects[place] = item;
    return item;
  }
}
