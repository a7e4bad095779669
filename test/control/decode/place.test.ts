/** One printer of places: text for people, fields for programs, an order for both. */
import { describe, expect, it } from 'vitest';
import {
  comparePlaces,
  formatPlace,
  type ObjectPlace,
  type Place,
  placeFields,
  WHOLE_SET,
} from '../../../src/control/decode/place.ts';
import { formatProblem } from '../../../src/control/decode/problem.ts';

const OBJECT: ObjectPlace = {
  kind: 'object',
  apiKind: 'CiliumNetworkPolicy',
  namespace: 'shop',
  name: 'api',
  uid: 'u-1',
  field: 'spec.ingress[0]',
};
const RESOURCE: Place = { kind: 'resource', typeUrl: 'type/NetworkPolicy', name: '42', field: '' };

interface Case {
  readonly place: Place;
  readonly text: string;
  readonly problem: string;
  readonly fields: object;
}

const CASES: readonly Case[] = [
  {
    place: file('a.yaml', 3, 7),
    text: 'a.yaml:3:7',
    problem: 'a.yaml:3:7: spec: is bad',
    fields: { path: 'a.yaml', line: 3, column: 7 },
  },
  {
    place: file('a.yaml', 0, 0),
    text: 'a.yaml',
    problem: 'a.yaml: spec: is bad',
    fields: { path: 'a.yaml', line: 0, column: 0 },
  },
  {
    place: OBJECT,
    text: 'CiliumNetworkPolicy shop/api: spec.ingress[0]',
    problem: 'CiliumNetworkPolicy shop/api: spec: is bad',
    fields: {
      path: 'CiliumNetworkPolicy shop/api',
      line: 0,
      column: 0,
      object: { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'api', uid: 'u-1' },
    },
  },
  {
    place: { ...OBJECT, apiKind: 'CiliumCIDRGroup', namespace: null, field: '' },
    text: 'CiliumCIDRGroup api',
    problem: 'CiliumCIDRGroup api: spec: is bad',
    fields: {
      path: 'CiliumCIDRGroup api',
      line: 0,
      column: 0,
      object: { kind: 'CiliumCIDRGroup', namespace: null, name: 'api', uid: 'u-1' },
    },
  },
  {
    place: RESOURCE,
    text: 'type/NetworkPolicy 42',
    problem: 'type/NetworkPolicy 42: spec: is bad',
    fields: {
      path: 'type/NetworkPolicy 42',
      line: 0,
      column: 0,
      resource: { typeUrl: 'type/NetworkPolicy', name: '42' },
    },
  },
  {
    place: WHOLE_SET,
    text: 'the policy set',
    problem: 'the policy set: spec: is bad',
    fields: { path: 'the policy set', line: 0, column: 0 },
  },
];

describe('a place', () => {
  it.each(CASES)('is said in one way: $text', ({ place, text, problem, fields }) => {
    expect(formatPlace(place)).toBe(text);
    expect(formatProblem({ place, field: 'spec', message: 'is bad' })).toBe(problem);
    expect(placeFields(place)).toEqual(fields);
  });

  it('stands in the order of files, lines and columns', () => {
    const sorted = [
      OBJECT,
      file('a.yaml', 2, 9),
      file('a.yaml', 10, 1),
      file('a.yaml', 10, 2),
      file('b.yaml', 1, 1),
      WHOLE_SET,
    ];
    expect(sorted.toReversed().toSorted(comparePlaces)).toEqual(sorted);
  });
});

function file(path: string, line: number, column: number): Place {
  return { kind: 'file', path, line, column };
}
