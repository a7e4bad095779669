/**
 * What a tenant may write is decoded in time that grows with its length: twice as much takes at most about twice as
 * long. Ratios of the same run; what else runs on the machine only adds, so the least of several counts.
 */

import { describe, expect, it } from 'vitest';
import { decodePolicyFile } from '../../../src/control/decode/policy_file.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { filePlace } from '../../support/file_place.ts';

const HEAD =
  'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: a\n  namespace: shop\n';
const REST = 'spec:\n  endpointSelector: {}\n  ingress: [{}]\n';

const KINDS: readonly (readonly [string, number, (count: number) => string])[] = [
  ['annotations', 6000, (n) => `${HEAD}  annotations:\n${lines(n, (i) => `    k${i}: v`)}${REST}`],
  ['labels', 6000, (n) => `${HEAD}  labels:\n${lines(n, (i) => `    k${i}: v`)}${REST}`],
  [
    'annotations in one line',
    6000,
    (n) => `${HEAD}  annotations: {${lines(n, (i) => `k${i}: v,`)}}\n${REST}`,
  ],
  [
    'anchors',
    4000,
    (n) => `${HEAD}  annotations:\n${lines(n, (i) => `    k${i}: &a${i} v`)}${REST}`,
  ],
  ['unknown fields', 2000, (n) => `${HEAD}${REST}${lines(n, (i) => `  bad${i}: 1`)}`],
  ['keys that repeat', 3000, (n) => `${HEAD}  annotations:\n${lines(n, () => '    k: v')}${REST}`],
  ['documents', 500, (n) => lines(n, (i) => `${HEAD.replace('name: a', `name: a${i}`)}${REST}---`)],
  [
    'JSON',
    6000,
    (n) =>
      JSON.stringify({
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: {
          name: 'a',
          annotations: Object.fromEntries(numbers(n).map((i) => [`k${i}`, 'v'])),
        },
        spec: { endpointSelector: {}, ingress: [{}] },
      }),
  ],
];

describe('decoding', () => {
  it.each(KINDS)('twice as many %s take at most about twice as long', (_name, count, textOf) => {
    const once = textOf(count);
    const twice = textOf(2 * count);
    decode(once);
    let least = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 8 && least > 2.5; attempt++) {
      least = Math.min(least, cpuOf(() => decode(twice)) / cpuOf(() => decode(once)));
    }
    // Comparing each with all others is 4.
    expect(least).toBeLessThan(3);
  });
});

describe('a key that stands twice in its map', () => {
  it.each([
    ['a map', 'a: 1\nb: 2\na: 3\n', 3, 1],
    ['a map in one line', '{a: 1, b: 2, "a": 3}\n', 1, 14],
    ['JSON', '{"a": 1, "b": {"c": 1, "c": 2}}', 1, 24],
    ['null', 'a:\n  ~: 1\n  null: 2\n', 3, 3],
  ])('is refused where it stands again: %s', (_name, text, line, column) => {
    const { problems } = decode(text);
    const told = problems.filter(({ message }) => message === 'Map keys must be unique');
    expect(told.map(({ place }) => [filePlace(place).line, filePlace(place).column])).toEqual([
      [line, column],
    ]);
  });

  it('is another where its type is', () => {
    const { problems } = decode('1: a\n"1": b\n');
    expect(problems.map(({ message }) => message)).not.toContain('Map keys must be unique');
  });
});

function decode(text: string) {
  return decodePolicyFile({ path: 'p.yaml', text }, { limits: DEFAULT_LIMITS });
}

/** Microseconds. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return Math.max(1, user + system);
}

function lines(count: number, lineOf: (i: number) => string): string {
  return numbers(count)
    .map((i) => `${lineOf(i)}\n`)
    .join('');
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}
