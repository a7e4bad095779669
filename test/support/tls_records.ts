/** Records that a TLS server sends in the clear: RFC 8446 4.1.3 and 5.1. */

export function record(type: number, fragment: Buffer): Buffer {
  const { length } = fragment;
  return Buffer.concat([Buffer.from([type, 3, 3, length >> 8, length & 0xff]), fragment]);
}

function serverHello(random: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([3, 3]), random, Buffer.from([0, 0x13, 1, 0, 0, 0])]);
  return record(22, Buffer.concat([Buffer.from([2, 0, 0, body.length]), body]));
}

export const SERVER_HELLO = serverHello(Buffer.alloc(32, 5));
/** A HelloRetryRequest is a ServerHello of this random. */
export const RETRY = serverHello(
  Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex'),
);
