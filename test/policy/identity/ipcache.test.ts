import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpPrefix, parseIp, parsePrefix, prefixContains } from '../../../src/model/address.ts';
import type { Identity } from '../../../src/model/identity.ts';
import { Ipcache } from '../../../src/policy/identity/ipcache.ts';

describe('the ipcache', () => {
  const cache = cacheOf({
    '10.0.0.0/8': 1,
    '10.1.0.0/16': 2,
    '10.1.2.3/32': 3,
    '10.1.128.0/17': 4,
    '0.0.0.0/0': 5,
    '2001:db8::/32': 6,
    '2001:db8:0:8000::/49': 7,
  });
  const cases: readonly [ip: string, identity: number | null][] = [
    ['10.9.9.9', 1],
    ['10.1.0.1', 2],
    ['10.1.127.255', 2],
    ['10.1.128.0', 4],
    ['10.1.2.3', 3],
    ['10.1.2.4', 2],
    ['192.0.2.1', 5],
    ['::ffff:10.1.2.3', 3],
    ['2001:db8::1', 6],
    ['2001:db8:0:8000::1', 7],
    ['2001:db8:0:7fff::1', 6],
    ['2001:db9::1', null],
    ['not an address', null],
  ];
  it.each(cases)('%s is %s', (ip, identity) => {
    expect(cache.lookup(ip)).toBe(identity);
  });

  it('answers as a search through all prefixes does', () => {
    const octet = fc.constantFrom(0, 1, 127, 128, 255);
    const ip = fc.tuple(octet, octet, octet, octet).map((bytes) => bytes.join('.'));
    const prefix = fc
      .tuple(ip, fc.integer({ min: 0, max: 32 }))
      .map(([a, n]) => prefixOf(`${a}/${n}`));
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 12 }), ip, (prefixes, address) => {
        const entries = prefixes.map((one, index) => ({
          prefix: one,
          identity: index as Identity,
        }));
        expect(new Ipcache(entries).lookup(address)).toBe(searched(entries, address));
      }),
    );
  });
});

/** The longest one that contains the address; of equal ones the first. */
function searched(
  entries: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[],
  ip: string,
): Identity | null {
  const address = parseIp(ip);
  if (address === null) return null;
  const full = { address, length: address.bytes.length * 8, text: ip };
  let best: (typeof entries)[number] | null = null;
  for (const entry of entries) {
    if (!prefixContains(entry.prefix, full)) continue;
    if (best === null || entry.prefix.length > best.prefix.length) best = entry;
  }
  return best?.identity ?? null;
}

function cacheOf(identities: Readonly<Record<string, number>>): Ipcache {
  return new Ipcache(
    Object.entries(identities).map(([text, identity]) => ({
      prefix: prefixOf(text),
      identity: identity as Identity,
    })),
  );
}

function prefixOf(text: string): IpPrefix {
  const prefix = parsePrefix(text, { allowBare: false, allowHostBits: true });
  if (prefix === null) throw new Error(`not a prefix: ${text}`);
  return prefix;
}
