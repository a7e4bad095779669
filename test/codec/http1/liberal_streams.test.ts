/**
 * What is sent on of a response that was read liberally has one reading: that of Node's own parser, which no longer
 * needs to be liberal. Whatever upstreams mix and however it is cut, nothing is left over for another response.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { runResponses } from '../../support/http1_driver.ts';
import { runLlhttp } from '../../support/llhttp.ts';

const BODIES = ['', 'ok', '2\r\nok\r\n0\r\n\r\n', '2 \r\nok\r\n0\t\r\nX: y\r\n\r\n', '0\r\n\r\n'];

const VERSION = fc.constantFrom('HTTP/1.1 ', 'HTTP/1.0 ', 'HTTP/1.1   ');
const STATUS = fc.constantFrom(
  '200 OK',
  '200',
  '204 x',
  '205 x',
  '304 x',
  '700 ',
  '404 \x80 ',
  '200\t',
);
const NAME = fc.constantFrom(
  'Content-Length',
  'Content-Length',
  'Transfer-Encoding',
  'Transfer-Encoding',
  'Connection',
  'X-A',
  'Upgrade',
  'Trailer',
  'Keep-Alive',
);
const VALUE = fc.constantFrom(
  '2',
  '2, 2',
  '02',
  '0',
  '2,3',
  '-2',
  'chunked',
  'Chunked',
  'identity',
  'gzip, chunked',
  'chunked, chunked',
  'close',
  'keep-alive',
  'close, content-length',
  ', x-a',
  'transfer-encoding',
  'upgrade',
  '\x80',
  '',
);
const BLANK = fc.constantFrom('', '', '', ' ', '\t', ' \t');
const FOLD = fc.constantFrom('', '', '', '\r\n ', '\n\t', '\r\n \r\n ');
const LINE_END = fc.constantFrom('\r\n', '\r\n', '\n', '\r\r\n');
const LINE = fc
  .tuple(NAME, BLANK, BLANK, FOLD, VALUE, BLANK, LINE_END)
  .map(([name, before, blank, fold, value, after, end]) => {
    return `${name}${before}:${blank}${fold}${value}${after}${end}`;
  });
const STREAM = fc
  .tuple(
    VERSION,
    STATUS,
    LINE_END,
    fc.array(LINE, { maxLength: 4 }),
    LINE_END,
    fc.constantFrom(...BODIES),
  )
  .map(([version, status, end, lines, last, body]) => {
    return `${version}${status}${end}${lines.join('')}${last}${body}`;
  });

it('what is sent on is one sound response to anyone', () => {
  let readCount = 0;
  let liberalCount = 0;
  fc.assert(
    fc.property(STREAM, fc.array(fc.nat({ max: 9 }), { maxLength: 4 }), (read, cuts) => {
      const requests = [{ method: 'GET' }, { method: 'GET' }];
      const { messages } = runResponses(read, { isClosed: true, requests }, cuts);
      const [message] = messages;
      if (message?.isComplete !== true) return;
      const { head } = message;
      readCount++;
      if (head.isLiberal) liberalCount++;
      const start = head.isCanonical ? head.raw.toString('latin1') : message.sent;
      const { error, messages: seen } = runLlhttp(
        Buffer.from(start + message.content, 'latin1'),
        'response',
      );
      expect([error, seen.length, seen[0]?.status]).toEqual(['', 1, head.status]);
      expect(seen[0]?.isComplete).toBe(true);
      // Who goes on after it is told to, and who does not is told, too.
      if (!head.isPersistent) expect(seen[0]?.isKeptAlive).toBe(false);
      const again = runResponses(start + message.content, { isClosed: true });
      expect(again.messages.map((one) => [one.head.isLiberal, one.content])).toEqual([
        [head.status > 599, message.content],
      ]);
    }),
    { numRuns: 5000 },
  );
  expect(readCount).toBeGreaterThan(200);
  expect(liberalCount).toBeGreaterThan(20);
});
