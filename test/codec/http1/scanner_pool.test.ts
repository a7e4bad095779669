/** Connections whose heads come in pieces at the same time do not see each other, though they share scanners. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FAULT, HEAD, MESSAGE_END, NEED_MORE } from '../../../src/codec/http1/events.ts';
import { RequestParser } from '../../../src/codec/http1/request_parser.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';

const OPTIONS = {
  limits: DEFAULT_LIMITS,
  isHttp10Enabled: false,
  areTrailersForwarded: true,
  isPathNormalised: true,
};

it('heads that come in pieces on many connections are each read as they are', () => {
  const piece = fc.record({ connection: fc.nat(24), length: fc.integer({ min: 1, max: 40 }) });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 200 }), fc.boolean(), (pieces, hasBad) => {
      const connections = Array.from({ length: 25 }, (_, number) => new Connection(number, hasBad));
      for (const { connection, length } of pieces) connections[connection]?.feed(length);
      for (const connection of connections) connection.feed(Number.POSITIVE_INFINITY);
      for (const { seen, expected } of connections) expect(seen).toEqual(expected);
    }),
  );
});

class Connection {
  readonly seen: string[] = [];
  readonly expected: readonly string[];
  readonly #parser = new RequestParser(OPTIONS);
  #bytes: Buffer;

  constructor(number: number, hasBad: boolean) {
    const isBad = hasBad && number % 3 === 0;
    const paths = Array.from({ length: 3 }, (_, i) => `/${number}/${'x'.repeat(number + 1)}/${i}`);
    const heads = paths.map(
      (path) => `GET ${path} HTTP/1.1\r\nhost: h${number}\r\nx: ${path}\r\n\r\n`,
    );
    this.#bytes = Buffer.from(
      `${heads.join('')}${isBad ? 'GET / HTTP/1.1\r\nhost : x\r\n\r\n' : ''}`,
    );
    this.expected = [
      ...paths.map((path) => `${path} h${number} ${path}`),
      ...(isBad ? ['malformed-field'] : []),
    ];
  }

  feed(length: number): void {
    const chunk = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(chunk.length);
    const parser = this.#parser;
    for (let offset = 0; ; offset = parser.offset) {
      const event = parser.next(chunk, offset);
      if (event === NEED_MORE) return;
      if (event === HEAD) {
        const { path, authority } = parser.head;
        this.seen.push(`${path} ${authority} ${parser.head.field('x')}`);
      } else if (event === FAULT) {
        if (!this.seen.includes(parser.fault)) this.seen.push(parser.fault);
        return;
      } else if (event !== MESSAGE_END) {
        throw new Error('no content was sent');
      }
    }
  }
}
