/**
 * hot path
 *
 * One line while it is made: bytes, appended where they belong. Parts that repeat come as bytes, numbers are
 * written digit by digit, short texts char by char: a line made of strings costs their joining, their
 * flattening and the collection of all three times what this costs (bench/micro, access log).
 */
import { quote } from './json_text.ts';

const CAPACITY_BYTES = 2048;
/** Above, the call into Node's own copying pays. */
const BY_CHAR_LENGTH_MAX = 64;
const BY_BYTE_LENGTH_MAX = 32;
const ZERO = 0x30;
const DOT = 0x2e;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class LineBytes {
  #bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  #length = 0;

  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > CAPACITY_BYTES) this.#bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  }

  /** Until the next `clear`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** ASCII. */
  text(text: string): void {
    const { length } = text;
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#length;
    if (length > BY_CHAR_LENGTH_MAX) bytes.write(text, at, 'latin1');
    else for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    this.#length = at + length;
  }

  /** A JSON string literal. Any string will do. */
  quoted(text: string): void {
    const { length } = text;
    this.#reserve(length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const char = text.charCodeAt(i);
      if (char < 0x20 || char > 0x7e || char === QUOTE || char === BACKSLASH) {
        this.text(quote(text));
        return;
      }
      bytes[at++] = char;
    }
    bytes[at++] = QUOTE;
    this.#length = at;
  }

  bytes(part: Uint8Array): void {
    const { length } = part;
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#length;
    if (length > BY_BYTE_LENGTH_MAX) bytes.set(part, at);
    else for (let i = 0; i < length; i++) bytes[at + i] = part[i] as number;
    this.#length = at + length;
  }

  /** Towards zero; JSON has no NaN and no Infinity. */
  integer(value: number): void {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) this.#digits(Math.floor(value), 1);
    else this.text(Number.isFinite(value) ? String(Math.trunc(value)) : '0');
  }

  /** With up to three digits behind the point. */
  milliseconds(value: number): void {
    const micros = Math.round(value * 1000);
    if (!(micros >= 0 && micros <= MICROS_MAX)) {
      this.text(Number.isFinite(value) ? String(micros / 1000) : '0');
      return;
    }
    const whole = Math.floor(micros / 1000);
    this.#digits(whole, 1);
    const rest = micros - whole * 1000;
    if (rest === 0) return;
    this.#reserve(1);
    this.#bytes[this.#length++] = DOT;
    if (rest % 100 === 0) this.#digits(rest / 100, 1);
    else if (rest % 10 === 0) this.#digits(rest / 10, 2);
    else this.#digits(rest, 3);
  }

  /** Of a whole number from 0 on, at least so many, zeros in front. */
  #digits(value: number, countMin: number): void {
    let count = 1;
    for (let bound = 10; value >= bound; bound *= 10) count++;
    if (count < countMin) count = countMin;
    this.#reserve(count);
    const bytes = this.#bytes;
    const start = this.#length;
    let at = start + count - 1;
    let rest = value;
    // One at a time while the number is too large for 32 bits.
    for (; rest > INT32_MAX; at--) {
      const tens = Math.floor(rest / 10);
      bytes[at] = ZERO + (rest - tens * 10);
      rest = tens;
    }
    for (let small = rest | 0; at >= start; at--) {
      const tens = (small / 10) | 0;
      bytes[at] = ZERO + small - tens * 10;
      small = tens;
    }
    this.#length = start + count;
  }

  #reserve(byteLength: number): void {
    const wanted = this.#length + byteLength;
    if (wanted <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

const INT32_MAX = 2 ** 31 - 1;

/** Below, three digits behind the point are exact in a number. */
const MICROS_MAX = 1e12;
