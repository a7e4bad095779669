/** What the loads tell, read back: failures are everything that is not the expected answer. */
import { describe, expect, it } from 'vitest';
import { resultOf } from '../../bench/loads/autocannon.ts';
import { parseWrk } from '../../bench/loads/wrk.ts';
import { findVersion } from '../../bench/subjects/tools.ts';
import { headerFields } from '../../bench/suites/http1.ts';

const WRK = `Running 1s test @ http://127.0.0.1:1/orders/42
  1 threads and 32 connections
Requests/sec:  41234.10

RESULT {"requests":41000,"micros":1000200,"bytes":5000000,"refused":7,"errors":3,"p50":612,"p90":900,"p99":1400,"p999":2500,"max":9100}
`;

describe('wrk', () => {
  it('tells microseconds, and failures are refusals and errors', () => {
    expect(parseWrk(WRK, 200)).toEqual({
      requests: 41_000,
      failures: 10,
      seconds: 1.0002,
      contentBytes: 0,
      latency: { p50Ms: 0.612, p90Ms: 0.9, p99Ms: 1.4, p999Ms: 2.5, maxMs: 9.1 },
    });
  });

  it('counts what was let through when refusals are expected', () => {
    expect(parseWrk(WRK, 403).failures).toBe(41_000 - 7 + 3);
  });

  it('without a result is an error', () => {
    expect(() => parseWrk('unable to connect', 200)).toThrow('wrk told no result');
  });
});

describe('autocannon', () => {
  const told = {
    requests: { total: 100 },
    errors: 2,
    duration: 1.5,
    latency: { p50: 1, p90: 2, p99: 3, p99_9: 4, max: 5 },
    statusCodeStats: { 200: { count: 90 }, 403: { count: 10 } },
  } as unknown as Parameters<typeof resultOf>[0];

  it('counts what is not the expected status as failed', () => {
    const options = { path: '/', connections: 1 };
    expect(resultOf(told, options).failures).toBe(12);
    expect(resultOf(told, { ...options, expectedStatus: 403 }).failures).toBe(92);
    expect(resultOf(told, { ...options, contentBytes: 1000 }).contentBytes).toBe(90_000);
  });
});

describe('header fields', () => {
  it.each([5, 20, 80])('%i are so many with the two of autocannon', (count) => {
    expect(Object.keys(headerFields(count))).toHaveLength(count - 2);
  });
});

describe('versions', () => {
  it.each([
    ['nginx version: nginx/1.22.1', '1.22.1'],
    ['HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/', '2.6.12-1+deb12u4'],
    ['envoy  version: 9e5580933739775e8bce/1.40.0/Clean/RELEASE/BoringSSL', '1.40.0'],
    ['h2load nghttp2/1.52.0', '1.52.0'],
    ['no numbers', 'unknown'],
  ])('%s', (text, version) => {
    expect(findVersion(text)).toBe(version);
  });
});
