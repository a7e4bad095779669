/** Learned addresses in the inventory: labelled by the selectors of the policies, and the same object as long as they say the same. */
import { describe, expect, it } from 'vitest';
import { FqdnSelectors } from '../../../src/control/names/fqdn_selectors.ts';
import { LearnedAddresses } from '../../../src/control/names/learned_addresses.ts';
import { NameCache } from '../../../src/control/names/name_cache.ts';
import { whyUnlearnable } from '../../../src/control/names/unlearnable.ts';
import {
  type IpAddress,
  type IpPrefix,
  type IpText,
  parseIp,
  parsePrefix,
} from '../../../src/model/address.ts';
import type { PolicySpec } from '../../../src/policy/rule.ts';

const BOUNDS = {
  nameAddressCountMax: 10,
  holderAddressCountMax: 10,
  addressNameCountMax: 10,
  addressCountMax: 10,
  ttlMinMs: 0,
  ttlMaxMs: 1_000_000,
  graceMs: 0,
};

/** As far as it is looked at here. */
function selectors(...texts: readonly string[]): FqdnSelectors {
  const peers = texts.map((text) =>
    text.includes('*')
      ? { kind: 'fqdn', matchName: null, matchPattern: text }
      : { kind: 'fqdn', matchName: text, matchPattern: null },
  );
  return FqdnSelectors.of([{ rules: [{ peers }, { peers: null }] } as unknown as PolicySpec]);
}

function learnedBy(cache: NameCache, chosen: FqdnSelectors): LearnedAddresses {
  const learned = new LearnedAddresses(cache, () => true);
  learned.select(chosen);
  return learned;
}

const learn = (cache: NameCache, name: string, ...ips: string[]): void =>
  cache.learn(
    {
      name,
      holder: 'shop/web',
      addresses: ips.map((ip) => parseIp(ip) as IpAddress),
      ttlSeconds: 60,
    },
    0,
  );

const told = (learned: LearnedAddresses): readonly string[] =>
  learned.list().map(({ address, labels }) => `${address.text} ${labels.join(' ')}`);

describe('learned addresses', () => {
  it('have the label of each selector that selects a name of theirs', () => {
    const cache = new NameCache(BOUNDS);
    const learned = learnedBy(
      cache,
      selectors('API.Stripe.com', '*.amazonaws.com', '*.s3.amazonaws.com', 'other.test'),
    );
    learn(cache, 'api.stripe.com.', '192.0.2.1', '2001:db8::1');
    learn(cache, 'eu.amazonaws.com.', '192.0.2.2');
    learn(cache, 'api.stripe.com.', '192.0.2.2');
    learn(cache, 'nobody.asks.test.', '192.0.2.3');
    expect(told(learned)).toEqual([
      '192.0.2.1 fqdn:API.Stripe.com',
      '192.0.2.2 fqdn:*.amazonaws.com fqdn:API.Stripe.com',
      '2001:db8::1 fqdn:API.Stripe.com',
    ]);
  });

  it('that did not change are the very same objects, and the same list when nothing did', () => {
    const cache = new NameCache(BOUNDS);
    const learned = learnedBy(cache, selectors('a.test'));
    learn(cache, 'a.test.', '192.0.2.1');
    const before = learned.list();
    learn(cache, 'a.test.', '192.0.2.1');
    expect(learned.list()).toBe(before);
    learn(cache, 'a.test.', '192.0.2.2');
    expect(learned.list()[0]).toBe(before[0]);
    expect(learned.list()).toHaveLength(2);
  });

  it('follow the policies, names that were learned before them as well', () => {
    const cache = new NameCache(BOUNDS);
    const learned = learnedBy(cache, selectors('a.test'));
    learn(cache, 'a.test.', '192.0.2.1');
    learn(cache, 'b.test.', '192.0.2.2');
    expect(told(learned)).toEqual(['192.0.2.1 fqdn:a.test']);
    learned.select(selectors('*.test'));
    expect(told(learned)).toEqual(['192.0.2.1 fqdn:*.test', '192.0.2.2 fqdn:*.test']);
    learned.select(selectors());
    expect(told(learned)).toEqual([]);
  });

  it('go when their names do', () => {
    const cache = new NameCache(BOUNDS);
    const learned = learnedBy(cache, selectors('a.test'));
    learn(cache, 'a.test.', '192.0.2.1');
    expect(learned.list()).toHaveLength(1);
    cache.expire(60_000);
    expect(learned.list()).toHaveLength(0);
  });
});

describe('an address that cannot be learned', () => {
  const cluster = {
    ips: new Set<IpText>([(parseIp('192.0.2.77') as IpAddress).text]),
    prefixes: [
      parsePrefix('10.244.0.0/16', { allowBare: false, allowHostBits: false }) as IpPrefix,
    ],
  };

  it.each([
    ...['127.0.0.1', '127.9.9.9', '0.0.0.0', '169.254.169.254', '224.0.0.1', '255.255.255.255'],
    ...['::1', '::', 'fe80::1', 'ff02::1', '::ffff:127.0.0.1', '::127.0.0.1'],
    // Translated, or sent on, as IPv4.
    ...['64:ff9b::169.254.169.254', '64:ff9b:1::127.0.0.1', '2002:a9fe:a9fe::1', '2002:7f00:1::'],
    // Metadata of clouds.
    ...['100.100.100.200', '192.0.0.192', 'fd00:ec2::254', 'fd20:ce::254'],
  ])('is special: %s', (text) => {
    expect(whyUnlearnable(parseIp(text) as IpAddress, cluster)).toBe('special');
  });

  it.each([
    ...['192.0.2.77', '10.244.3.9', '::ffff:10.244.3.9'],
    ...['64:ff9b::192.0.2.77', '64:ff9b::10.244.3.9', '2002:af4:309::1'],
  ])('is the cluster’s: %s', (text) => {
    expect(whyUnlearnable(parseIp(text) as IpAddress, cluster)).toBe('cluster');
  });

  it.each([
    ...['192.0.2.78', '10.0.0.1', '8.8.8.8', 'fd00::1', '2001:db8::1'],
    ...['64:ff9b::8.8.8.8', '64:ff9b::10.0.0.1', '2002:808:808::1'],
  ])('is not: %s', (text) => {
    expect(whyUnlearnable(parseIp(text) as IpAddress, cluster)).toBe(null);
  });
});
