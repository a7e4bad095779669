/** What h2load tells, read back: its summary and its log of every request. */
import { describe, expect, it } from 'vitest';
import { h2load, latencyOf, parseH2load } from '../../../bench/loads/h2load.ts';

interface Told {
  readonly time?: string;
  readonly succeeded?: number;
  readonly refused?: number;
  readonly errored?: number;
  readonly dataBytes?: number;
}

/** Of 1,000 requests done, as h2load 1.52 prints it. */
function output(told: Told): string {
  const { time = '2.00s', succeeded = 1000, refused = 0, errored = 0, dataBytes = 34_000 } = told;
  return `Main benchmark duration is over for thread #0. Stopping all clients.

finished in ${time}, 500.00 req/s, 33.20KB/s
requests: 1000 total, 1008 started, 1000 done, ${succeeded} succeeded, ${refused} failed, ${errored} errored, 0 timeout
status codes: ${succeeded} 2xx, 0 3xx, ${refused} 4xx, 0 5xx
traffic: 66.41KB (68000) total, 18.00KB (18432) headers (space savings 60.42%), 33.20KB (${dataBytes}) data
                     min         max         mean         sd        +/- sd
time for request:       29us    200.21ms       729us      5.56ms    98.95%
`;
}

describe('the summary of h2load', () => {
  it('has requests, seconds and content', () => {
    expect(parseH2load(output({}), {})).toEqual({
      requests: 1000,
      failures: 0,
      seconds: 2,
      contentBytes: 34_000,
    });
  });

  it.each([
    ['950ms', 0.95],
    ['800us', 0.0008],
    ['61.25s', 61.25],
  ])('tells time in its own units: %s', (time, seconds) => {
    expect(parseH2load(output({ time }), {}).seconds).toBeCloseTo(seconds, 9);
  });

  it.each<[string, Told, Parameters<typeof parseH2load>[1], number]>([
    ['a refusal', { succeeded: 990, refused: 10 }, {}, 10],
    ['an error', { errored: 3 }, {}, 3],
    [
      'what is let through where a refusal is due',
      { succeeded: 4, refused: 996 },
      { expectedStatus: 403 },
      4,
    ],
    [
      'nothing, where a status does not say',
      { succeeded: 0, refused: 1000 },
      { expectedStatus: 'any' },
      0,
    ],
    [
      'a 200 without the message that it should have',
      { dataBytes: 39 * 900 },
      { answerBytes: 39 },
      100,
    ],
    [
      'nothing, when answers under way at the end came in part',
      { dataBytes: 39_020 },
      { answerBytes: 39 },
      0,
    ],
  ])('counts as failed: %s', (_what, told, options, failures) => {
    expect(parseH2load(output(told), options).failures).toBe(failures);
  });

  it('the content of uploads is what was sent', () => {
    const content = Buffer.alloc(1024);
    expect(parseH2load(output({}), { content }).contentBytes).toBe(1_024_000);
  });

  it('without a result is an error', () => {
    expect(() => parseH2load('invalid URI: /', {})).toThrow('h2load told no result: invalid URI');
  });
});

describe('the log of h2load', () => {
  const line = (micros: number, status = 200): string => `1795421896862498\t${status}\t${micros}\n`;

  it('gives percentiles of all durations, in milliseconds', () => {
    const log = Array.from({ length: 1000 }, (_, i) => line(1000 - i)).join('');
    expect(latencyOf(log)).toEqual({
      p50Ms: 0.5,
      p90Ms: 0.9,
      p99Ms: 0.99,
      p999Ms: 0.999,
      maxMs: 1,
    });
  });

  it('leaves out what was never answered', () => {
    const log = `${line(10)}${line(99_000, -1)}${line(20, 403)}`;
    expect(latencyOf(log)).toMatchObject({ p50Ms: 0.01, maxMs: 0.02 });
  });

  it('of nothing is none', () => {
    expect(latencyOf(line(5, -1))).toBeNull();
    expect(latencyOf('')).toBeNull();
  });
});

describe('the command in the report', () => {
  it('names all that makes the load, but for fields beyond a few', () => {
    const shape = { path: '/p', connections: 8, streams: 16 };
    const fields = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`x-${i}`, 'v']));
    const content = Buffer.alloc(5);
    expect(h2load({ ...shape, content, fields: { te: 'trailers' } }).description).toBe(
      'h2load -D SECONDS -c 8 -m 16 -H te: trailers -d 5_BYTES --log-file LOG URL/p',
    );
    expect(h2load({ ...shape, fields }).description).toContain('x-5: v … --log-file');
  });
});
