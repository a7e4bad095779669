/** What is listed of names: by who asked, with what is left of it. */
import { describe, expect, it } from 'vitest';
import type { NamedAddress } from '../../../src/control/names/name_cache.ts';
import { nameRows } from '../../../src/control/names/name_rows.ts';
import { type IpAddress, parseIp } from '../../../src/model/address.ts';
import type { NameFilter } from '../../../src/model/name_row.ts';

const TIMES = { nowMs: 100_000, wallMs: Date.UTC(2026, 0, 2, 3, 4, 5), graceMs: 10_000 };
const ANY: NameFilter = { endpoint: null, matchPattern: null, source: null };

function entry(
  [name, ip]: readonly [string, string],
  [expiresAtMs, aliveAtMs]: readonly [number, number],
  ...holders: readonly string[]
): NamedAddress {
  return { name, address: parseIp(ip) as IpAddress, expiresAtMs, aliveAtMs, holders };
}

const ENTRIES = [
  entry(['api.test.', '192.0.2.2'], [160_000, 0], 'shop/web', 'shop/api'),
  entry(['api.test.', '192.0.2.1'], [160_000, 0], 'shop/web'),
  entry(['api.test.', '192.0.2.3'], [90_000, 99_000], 'shop/web'),
  entry(['s3.eu.test.', '2001:db8::1'], [95_000, 0], 'shop/api'),
];

const told = (filter: Partial<NameFilter>): readonly string[] =>
  nameRows(ENTRIES, { ...ANY, ...filter }, TIMES).map(
    ({ endpoint, source, fqdn, ttl, expirationTime, ips }) =>
      [endpoint, source, fqdn, ttl, expirationTime.slice(11, 19), ips.join()].join(' '),
  );

const WEB = 'shop/web lookup api.test. 60 03:05:15 192.0.2.1,192.0.2.2';
const WEB_OPEN = 'shop/web connection api.test. 0 03:04:14 192.0.2.3';
const API = 'shop/api lookup api.test. 60 03:05:15 192.0.2.2';
const API_OVER = 'shop/api lookup s3.eu.test. 0 03:04:10 2001:db8::1';

describe('rows of names', () => {
  it.each<[string, Partial<NameFilter>, readonly string[]]>([
    ['all, sorted', {}, [API, API_OVER, WEB_OPEN, WEB]],
    ['of an endpoint', { endpoint: 'shop/api' }, [API, API_OVER]],
    ['that a pattern selects', { matchPattern: '*.EU.test' }, [API_OVER]],
    ['that a pattern without a star selects', { matchPattern: 'api.test' }, [API, WEB_OPEN, WEB]],
    ['that a connection keeps', { source: 'connection' }, [WEB_OPEN]],
    ['of both filters', { source: 'lookup', endpoint: 'shop/web' }, [WEB]],
    ['of nobody', { endpoint: 'shop' }, []],
  ])('are %s', (_, filter, expected) => {
    expect(told(filter)).toEqual(expected);
  });
});
