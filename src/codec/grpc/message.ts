/**
 * `grpc-message`: percent-encoded UTF-8, so that any text fits into a field value (gRPC over HTTP/2,
 * "Status-Message").
 */

/** Everything outside space to "~", and "%" itself, is encoded, one byte at a time. */
export function encodeGrpcMessage(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : percentEncoded(byte);
  }
  // A field value neither begins nor ends with white space (RFC 9110 5.5).
  return encoded.replace(/^ | $/g, '%20');
}

/** Invalid escapes stay as they are: a message must never be lost to a decoder. */
export function decodeGrpcMessage(value: string): string {
  const bytes: number[] = [];
  for (let i = 0; i < value.length; i++) {
    const digits = value.slice(i + 1, i + 3);
    if (value.charAt(i) === '%' && /^[0-9A-Fa-f]{2}$/.test(digits)) {
      bytes.push(Number.parseInt(digits, 16));
      i += 2;
    } else {
      bytes.push(value.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

function percentEncoded(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}
