/** DER (X.690): values with their tag and length. */

export function sequence(...parts: readonly Buffer[]): Buffer {
  return bytesOf(0x30, Buffer.concat(parts));
}

export function set(...parts: readonly Buffer[]): Buffer {
  return bytesOf(0x31, Buffer.concat(parts));
}

/** Explicitly tagged. */
export function wrap(tag: number, content: Buffer): Buffer {
  return bytesOf(0xa0 | tag, content);
}

/** Implicitly tagged, of a primitive value. */
export function choice(tag: number, content: Buffer): Buffer {
  return bytesOf(0x80 | tag, content);
}

/** Big-endian, not negative: the first bit is 0. */
export function integer(content: Buffer): Buffer {
  return bytesOf(0x02, content);
}

export function octets(content: Buffer): Buffer {
  return bytesOf(0x04, content);
}

export function utf8(text: string): Buffer {
  return bytesOf(0x0c, Buffer.from(text, 'utf8'));
}

/** A bit string whose last `unused` bits say nothing. */
export function bits(content: Buffer | number, unused: number): Buffer {
  const bytes = typeof content === 'number' ? Buffer.from([content]) : content;
  return bytesOf(0x03, Buffer.concat([Buffer.from([unused]), bytes]));
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return bytesOf(0x06, [first * 40 + second, ...rest.flatMap(base128)]);
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let left = value >>> 7; left > 0; left >>>= 7) bytes.unshift((left & 0x7f) | 0x80);
  return bytes;
}

/** In whole seconds. UTCTime until 2049, then GeneralizedTime (RFC 5280 4.1.2.5). */
export function time(epochMs: number): Buffer {
  const text = new Date(epochMs).toISOString().replace(/[-:T]|\.[0-9]+/g, '');
  const isLate = text >= '2050';
  return bytesOf(isLate ? 0x18 : 0x17, Buffer.from(isLate ? text : text.slice(2), 'latin1'));
}

export function bytesOf(tag: number, content: Buffer | readonly number[]): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(bytes.length)]), bytes]);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff);
  return [0x80 | bytes.length, ...bytes];
}
