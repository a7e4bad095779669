/**
 * Responses of legacy and sloppy upstreams that every client reads: they are sent on in their one canonical form,
 * and where their framing was not as it ought to be, nothing follows them. Requests are never read so.
 */
import { describe, expect, it } from 'vitest';
import { runRequests, runResponses } from '../../support/http1_driver.ts';

interface Case {
  readonly about: string;
  readonly read: string;
  readonly sent: string;
  /** Nothing may follow it. */
  readonly isLast?: boolean;
  readonly content?: string;
  readonly isClosed?: boolean;
  readonly method?: string;
}

const CASES: readonly Case[] = [
  {
    about: 'lines that end with LF alone',
    read: 'HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok',
    sent: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n',
    content: 'ok',
  },
  {
    about: 'line ends of both kinds',
    read: 'HTTP/1.1 200\nX: y\r\nContent-Length: 0\n\r\n',
    sent: 'HTTP/1.1 200 \r\nX: y\r\nContent-Length: 0\r\n\r\n',
  },
  {
    about: 'folded values',
    read: 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\t c \r\nContent-Length:\r\n 2\r\n\r\nok',
    sent: 'HTTP/1.1 200 OK\r\nX: a b c\r\nContent-Length: 2\r\n\r\n',
    content: 'ok',
  },
  {
    about: 'blanks before a colon',
    read: 'HTTP/1.1 200 OK\r\nX \t: y\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n',
    content: '0\r\n\r\n',
  },
  {
    about: 'several blanks before the status',
    read: 'HTTP/1.1   200 OK\r\nContent-Length: 0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  },
  {
    about: 'a status that no RFC knows',
    read: 'HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n',
    sent: 'HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n',
  },
  {
    about: '204 with a length',
    read: 'HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n',
    sent: 'HTTP/1.1 204 x\r\nconnection: close\r\n\r\n',
    isLast: true,
  },
  {
    about: '204 with a coding',
    read: 'HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n',
    sent: 'HTTP/1.1 204 x\r\nconnection: close\r\n\r\n',
    isLast: true,
  },
  {
    about: 'a length that is said twice',
    read: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
    sent: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\n',
    isLast: true,
    content: 'ok',
  },
  {
    about: 'a length that is said twice in one line',
    read: 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok',
    sent: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\n',
    isLast: true,
    content: 'ok',
  },
  {
    about: 'a length beside chunks',
    read: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n',
    isLast: true,
    content: '2\r\nok\r\n0\r\n\r\n',
  },
  {
    about: 'identity',
    read: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok',
    sent: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\n',
    isLast: true,
    content: 'ok',
  },
  {
    about: 'chunks by HTTP/1.0',
    read: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n',
    isLast: true,
    content: '2\r\nok\r\n0\r\n\r\n',
  },
  {
    about: 'blanks behind the size of a chunk',
    read: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2    \r\nok\r\n0 \r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    content: '2\r\nok\r\n0\r\n\r\n',
  },
  {
    about: 'a Connection that breaks the grammar',
    read: 'HTTP/1.1 200 OK\r\nConnection: keep alive, X-A,\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    isLast: true,
  },
  {
    about: 'a Connection that nominates the framing',
    read: 'HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    sent: 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n',
    isLast: true,
    content: '0\r\n\r\n',
  },
];

describe('a response with', () => {
  it.each(CASES)('$about: has one form', ({ read, sent, isLast = false, content = '' }) => {
    for (const cuts of [[], [1], [3, 2]]) {
      const { messages, fault } = runResponses(read, {}, cuts);
      const [first] = messages;
      expect([fault, first?.sent, first?.content, first?.isComplete]).toEqual([
        '',
        sent,
        content,
        true,
      ]);
      expect(first?.head.isPersistent).toBe(!isLast);
    }
  });

  it.each(CASES.filter(({ isLast }) => isLast))('$about: nothing may follow it', ({ read }) => {
    const requests = [{ method: 'GET' }, { method: 'GET' }];
    const { messages } = runResponses(`${read}HTTP/1.1 200 OK\r\n\r\n`, { requests });
    expect(messages).toHaveLength(1);
  });

  it.each([
    ['100 that closes', 'HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n', 'Continue'],
    ['100 of HTTP/1.0', 'HTTP/1.0 100 Continue\r\n\r\n', 'Continue'],
    ['102 with a length', 'HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n', 'Processing'],
  ])('a %s before it: the interim one says nothing of the connection', (_, interim, reason) => {
    const final = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
    const { messages, fault } = runResponses(interim + final);
    const sent = messages.map((message) => message.sent);
    expect([fault, sent.length, sent[1]]).toEqual(['', 2, final]);
    expect(sent[0]).toMatch(new RegExp(`^HTTP/1\\.1 10[02] ${reason}\\r\\n\\r\\n$`));
  });
});

it.each([
  'GET / HTTP/1.1\nhost: x\n\n',
  'GET / HTTP/1.1\r\nhost: x\n\r\n',
  'GET / HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n',
  'GET / HTTP/1.1\r\nhost: x\r\nx : a\r\n\r\n',
  'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok',
  'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2, 2\r\n\r\nok',
  'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\n\r\n',
  'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0 \r\n\r\n',
  'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n',
  'GET / HTTP/1.1\r\nhost: x\r\nconnection: content-length\r\n\r\n',
])('a request is never read so: %j', (bytes) => {
  expect(runRequests(bytes).fault).not.toBe('');
});
