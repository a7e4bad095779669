/**
 * Whatever we accept, llhttp accepts and reads alike (see test/support/http1_differential.ts for the
 * rule and the exceptions). HTTP1_DIFFERENTIAL_SECONDS says for how long; node
 * test/soak/http1_differential.ts runs the same loop for as long as told.
 */
import { describe, expect, it } from 'vitest';
import {
  compareForwarded,
  compareRead,
  runDifferential,
} from '../../support/http1_differential.ts';
import { runRequests } from '../../support/http1_driver.ts';
import { streamOf } from '../../support/http1_streams.ts';
import { runLlhttp } from '../../support/llhttp.ts';

const seconds = Number(process.env['HTTP1_DIFFERENTIAL_SECONDS'] ?? 5);
const seed = Number(process.env['HTTP1_DIFFERENTIAL_SEED'] ?? Date.now() % 1_000_000_000);

describe('against llhttp', () => {
  it.each(['request', 'response'] as const)(
    'we are never looser: %s',
    (kind) => {
      const milliseconds = (seconds * 1000) / 2;
      const { difference, cases, accepted } = runDifferential(milliseconds, seed, kind);
      expect(difference).toBeNull();
      expect(accepted).toBeGreaterThan(cases / 10);
    },
    (seconds + 30) * 1000,
  );

  it('the same seed makes the same case', () => {
    for (let i = 0; i < 100; i++) {
      expect(streamOf(i)).toBe(streamOf(i));
      expect(streamOf(i, 'response')).toBe(streamOf(i, 'response'));
    }
  });

  it('a difference would be seen', () => {
    const stream = 'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
    const { messages } = runRequests(stream);
    const read = runLlhttp(Buffer.from(stream), 'request').messages;
    expect(compareRead(messages, '', read)).toBeNull();
    expect(compareForwarded(messages)).toBeNull();
    const message = messages[0];
    if (message === undefined) throw new Error('no request');
    const { sent } = message;
    const smuggled = 'GET /b HTTP/1.1\r\nHost: a\r\n\r\n';
    for (const tampered of [
      { ...message, content: `x${smuggled}` },
      { ...message, content: 'y' },
      { ...message, content: '' },
      { ...message, sent: sent.replace('/a', '/b') },
      { ...message, sent: sent.replace('POST', 'PUT') },
      { ...message, sent: sent.replace('Host', 'X: y\r\nHost') },
    ]) {
      const isSeen =
        compareForwarded([tampered]) !== null || compareRead([tampered], '', read) !== null;
      expect(isSeen).toBe(true);
    }
    expect(compareRead(messages, '', [])).not.toBeNull();
    expect(compareRead([], '', read)).not.toBeNull();
  });
});
