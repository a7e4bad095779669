import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseReader } from '../../../bench/loads/response_reader.ts';

type Read = ReturnType<ResponseReader['read']>;

function readAll(text: string, cuts: readonly number[] = []): Read[] {
  const bytes = Buffer.from(text, 'latin1');
  const reader = new ResponseReader();
  const places = [...new Set([0, ...cuts.map((cut) => cut % bytes.length), bytes.length])];
  places.sort((a, b) => a - b);
  // One memory for all reads, as the connections have it.
  const shared = Buffer.alloc(bytes.length);
  return places.slice(1).map((end, i) => {
    const length = bytes.copy(shared, 0, places[i], end);
    return reader.read(shared.subarray(0, length));
  });
}

const OK = 'HTTP/1.1 200 OK\r\n';

describe('where a response ends', () => {
  it.each([
    { what: 'a length', text: `${OK}Content-Length: 5\r\n\r\nhello`, bytes: 5 },
    { what: 'no content', text: `${OK}content-length: 0\r\n\r\n`, bytes: 0 },
    {
      what: 'chunks',
      text: `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n`,
      bytes: 15,
    },
  ])('is found wherever it is cut: $what', ({ text, bytes }) => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 5 }), (cuts) => {
        const reads = readAll(text, cuts);
        const response = { status: 200, contentBytes: bytes, isLast: false };
        expect(reads.pop()).toEqual(response);
        expect(reads.every((read) => read === 'more')).toBe(true);
      }),
    );
  });

  it('tells status and close, and is ready for the next one', () => {
    const reader = new ResponseReader();
    const read = (text: string): Read => reader.read(Buffer.from(text, 'latin1'));
    expect(read('HTTP/1.1 403 Forbidden\r\ncontent-length: 1\r\n\r\nx')).toMatchObject({
      status: 403,
    });
    expect(read('HTTP/1.1 204 No Content\r\n\r\n')).toMatchObject({ status: 204, contentBytes: 0 });
    const last = 'HTTP/1.1 503 Busy\r\nConnection: close\r\ncontent-length: 0\r\n\r\n';
    expect(read(last)).toEqual({ status: 503, contentBytes: 0, isLast: true });
  });

  it.each([
    ['no framing', `${OK}\r\nhello`],
    ['more than the length', `${OK}content-length: 2\r\n\r\nhello`],
    ['something else', 'SSH-2.0-x\r\n\r\n'],
    ['no size of a chunk', `${OK}transfer-encoding: chunked\r\n\r\nxyz\r\n`],
    ['more after the last chunk', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP`],
  ])('is not guessed: %s', (_, text) => {
    expect(readAll(text)).toEqual(['unreadable']);
  });
});
