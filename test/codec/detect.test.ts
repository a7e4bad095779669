/** What the first bytes of a connection tell, whatever the cuts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detectProtocol } from '../../src/codec/detect.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const detect = (text: string): string => detectProtocol(Buffer.from(text, 'latin1'));

describe('detect', () => {
  it.each([
    ['', 'need-more'],
    ['G', 'http1'],
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['get', 'http1'],
    ['\r', 'need-more'],
    ['\r\n', 'need-more'],
    ['\r\nGET', 'http1'],
    ['\r\n\r\n', 'other'],
    ['\rG', 'other'],
    ['\nGET', 'other'],
    [' GET', 'other'],
    ['P', 'need-more'],
    ['PR', 'need-more'],
    ['PRI * HTTP/2.0\r\n', 'need-more'],
    ['PUT', 'http1'],
    ['PRIX', 'http1'],
    ['PRI * HTTP/1.1\r\n', 'http1'],
    ['PRI * HTTP/2.0\r\n\r\nXX', 'http1'],
    [PREFACE.slice(0, -1), 'need-more'],
    [PREFACE, 'http2'],
    [`${PREFACE}\0\0\0\x04`, 'http2'],
    ['\x16', 'need-more'],
    ['\x16\x03', 'need-more'],
    ['\x16\x03\x01\x02\x00', 'need-more'],
    ['\x16\x03\x01\x02\x00\x01', 'tls'],
    ['\x16\x03\x03\x02\x00\x01\x00', 'tls'],
    ['\x16\x03\x01\x02\x00\x02', 'other'],
    ['\x16\x02', 'other'],
    ['\x15\x03\x01', 'other'],
    ['\x80\x2e\x01', 'other'],
    ['\0', 'other'],
    ['\xff\xfe', 'other'],
    ['(', 'other'],
    ['{"a":1}', 'other'],
  ])('%j is %s', (bytes, expected) => expect(detect(bytes)).toBe(expected));

  it('once told, more bytes never change it', () => {
    const start = fc.constantFrom(
      PREFACE,
      'GET / H',
      '\r\nGET',
      '\x16\x03\x01\x02\x00\x01',
      'P',
      '',
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 30 }), (text, rest) => {
        const bytes = Buffer.concat([Buffer.from(text, 'latin1'), rest]);
        let told = 'need-more';
        for (let length = 0; length <= bytes.length; length++) {
          const now = detectProtocol(bytes.subarray(0, length));
          if (told !== 'need-more') expect(now).toBe(told);
          told = now;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
