/** What dnsperf tells, read back: its summary, and with -v the time of each question. */
import { describe, expect, it } from 'vitest';
import { dnsperfLoad, parseDnsperf } from '../../../bench/loads/dnsperf.ts';

/** As dnsperf 2.10 prints it. */
const SUMMARY = `DNS Performance Testing Tool
Version 2.10.0

[Status] Command line: dnsperf -s 127.0.0.1
Statistics:

  Queries sent:         1004
  Queries completed:    1000 (99.60%)
  Queries lost:         4 (0.40%)

  Response codes:       NOERROR 990 (99.00%), SERVFAIL 10 (1.00%)
  Average packet size:  request 37, response 53
  Run time (s):         2.000500
  Queries per second:   499.875031

  Average Latency (s):  0.000420 (min 0.000100, max 0.010000)
`;

describe('the summary of dnsperf', () => {
  it('has questions and seconds; what is lost and what has another code has failed', () => {
    expect(parseDnsperf(SUMMARY, 'NOERROR')).toEqual({
      requests: 1000,
      failures: 14,
      seconds: 2.0005,
      contentBytes: 0,
    });
    expect(parseDnsperf(SUMMARY, 'REFUSED').failures).toBe(1004);
  });

  it('with the time of each question: quantiles in milliseconds', () => {
    const each = Array.from(
      { length: 100 },
      (_, i) => `> NOERROR host-${i}.bench.example A 0.000${String(i + 100)}\n`,
    );
    expect(parseDnsperf(each.join('') + SUMMARY, 'NOERROR').latency).toEqual({
      p50Ms: expect.closeTo(0.15),
      p90Ms: expect.closeTo(0.19),
      p99Ms: expect.closeTo(0.199),
      p999Ms: expect.closeTo(0.199),
      maxMs: expect.closeTo(0.199),
    });
  });

  it('without a summary is an error that shows what came', () => {
    expect(() => parseDnsperf('no route to host', 'NOERROR')).toThrow('no route to host');
  });
});

it('the time of each question is asked for at a fixed rate only', () => {
  const load = (questionsPerSecond: number | null) =>
    dnsperfLoad({ names: ['a'], rcode: 'NOERROR', questionsPerSecond }).description;
  expect(load(5000)).toContain('-v -Q 5000');
  expect(load(null)).not.toMatch(/-v|-Q/);
});
