/** The first record of a TLS client, built by hand: RFC 8446 4.1.2 and 5.1. */
export function clientHello(serverName: string): Buffer {
  const name = Buffer.from(serverName, 'latin1');
  const extension =
    serverName === ''
      ? Buffer.alloc(0)
      : Buffer.concat([uint16(0), vector16(vector16(Buffer.from([0]), vector16(name)))]);
  const body = Buffer.concat([
    uint16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    vector16(Buffer.from([0x13, 0x01])),
    Buffer.from([1, 0]),
    vector16(extension),
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), uint16(body.length), body]);
  return Buffer.concat([Buffer.from([0x16, 3, 1]), uint16(message.length), message]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function vector16(...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint16(body.length), body]);
}
