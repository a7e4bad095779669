/** What is not learned, whether it is known before the answer or after it. */
import { describe, expect, it } from 'vitest';
import { NameLearning } from '../../../src/control/names/name_learning.ts';
import { EMPTY_INPUT, type PolicyInput } from '../../../src/control/set/policy_input.ts';
import { type IpAddress, type IpPrefix, parseIp, parsePrefix } from '../../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { NO_NAMES } from '../../../src/model/name_counts.ts';
import type { PolicySpec } from '../../../src/policy/rule.ts';

const prefix = (text: string): IpPrefix =>
  parsePrefix(text, { allowBare: true, allowHostBits: false }) as IpPrefix;

const SPEC = {
  rules: [{ peers: [{ kind: 'fqdn', matchName: 'a.test', matchPattern: null }] }],
} as unknown as PolicySpec;

const DOCUMENTS = [{ specs: [SPEC], wirePolicies: [] }] as unknown as PolicyInput['documents'];

function inputWith(...podPrefixes: readonly string[]): PolicyInput {
  const inventory = { ...EMPTY_INPUT.inventory, podPrefixes: podPrefixes.map(prefix) };
  return { ...EMPTY_INPUT, documents: DOCUMENTS, inventory };
}

function learningWith(...neverLearned: readonly string[]): NameLearning {
  return new NameLearning({
    limits: DEFAULT_LIMITS,
    isOwnAddress: () => false,
    neverLearned: neverLearned.map(prefix),
  });
}

const answer = (learning: NameLearning, ...ips: readonly string[]): boolean =>
  learning.learn(
    {
      name: 'a.test.',
      holder: 'shop/web',
      addresses: ips.map((ip) => parseIp(ip) as IpAddress),
      ttlSeconds: 60,
    },
    0,
  );

const told = (learning: NameLearning, input: PolicyInput): readonly string[] =>
  (learning.joined(input).inventory.learned ?? []).map(({ address }) => address.text);

describe('an address in a range that is the cluster’s', () => {
  it('is not learned, though nobody has it', () => {
    const learning = learningWith('10.96.0.0/12', 'fd00:9::1');
    const input = inputWith('10.244.1.0/24');
    learning.joined(input);
    expect(answer(learning, '10.244.1.77', '10.96.0.99', 'fd00:9::1')).toBe(false);
    expect(answer(learning, '10.244.1.77', '10.244.2.77', '10.112.0.1', 'fd00:9::2')).toBe(true);
    expect(told(learning, input)).toEqual(['10.112.0.1', '10.244.2.77', 'fd00:9::2']);
  });

  it('loses its name when the range becomes the cluster’s, and has it again when it is no more', () => {
    const learning = learningWith();
    const input = inputWith();
    learning.joined(input);
    answer(learning, '10.244.1.77', '192.0.2.1');
    expect(told(learning, input)).toEqual(['10.244.1.77', '192.0.2.1']);
    expect(told(learning, inputWith('10.244.1.0/24'))).toEqual(['192.0.2.1']);
    expect(told(learning, inputWith('10.244.2.0/24'))).toEqual(['10.244.1.77', '192.0.2.1']);
  });
});

describe('what became of answers', () => {
  it('is counted: each address of a name once, and why one is refused each time', () => {
    const learning = new NameLearning({
      ...{ limits: DEFAULT_LIMITS, neverLearned: [prefix('10.96.0.0/12')] },
      isOwnAddress: (ip) => ip === '192.0.2.9',
    });
    learning.joined(inputWith());
    answer(learning, '198.51.100.1', '10.96.0.1', '192.0.2.9', '127.0.0.1');
    answer(learning, '198.51.100.1', '198.51.100.2', '127.0.0.1');
    const refused = { special: 2, cluster: 1, own: 1 };
    const kept = { names: 1, addresses: 2, learned: 2, evicted: 0, refused };
    expect(learning.counts).toEqual({ ...kept, expired: 0 });
    learning.expire(2 * DEFAULT_LIMITS.dnsLearnedTtlMaxMs);
    expect(learning.counts).toEqual({ ...kept, names: 0, addresses: 0, expired: 2 });
  });

  it('of a name that nothing selects is nothing', () => {
    const learning = learningWith();
    answer(learning, '127.0.0.1', '198.51.100.1');
    expect(learning.counts).toEqual(NO_NAMES);
  });
});
