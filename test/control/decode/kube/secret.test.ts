import { describe, expect, it } from 'vitest';
import {
  decodeSecret,
  placeOfSecret,
  secretsNamedBy,
} from '../../../../src/control/decode/kube/secret.ts';
import type { PolicyDocument } from '../../../../src/control/decode/policy_document.ts';
import { decodePolicyObject } from '../../../../src/control/decode/policy_object.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';

const NAME = { namespace: 'shop', name: 'token', uid: null };

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

describe('a secret', () => {
  it.each([
    ['its one item', { data: { any: base64('s3cr3t') } }, 's3cr3t'],
    ['bytes as requests have them', { data: { any: base64('ü') } }, 'Ã¼'],
    ['an empty one', { data: { any: '' } }, ''],
  ])('says %s', (_, object, value) => {
    expect(decodeSecret(object, NAME)).toEqual({ kind: 'facts', facts: { value, copyOf: null } });
  });

  it.each([
    ['no items', {}, 'must have exactly one item (found 0)'],
    ['two items', { data: { a: 'YQ==', b: 'YQ==' } }, 'must have exactly one item (found 2)'],
    ['a text', { data: 'hunter2' }, 'must have exactly one item (found 0)'],
    ['an item of another type', { data: { a: 7 } }, 'the value of a secret must be base64'],
    [
      'an item that is not base64',
      { data: { a: 'hunter2!' } },
      'the value of a secret must be base64',
    ],
    [
      'a line end',
      { data: { a: base64('hunter2\n') } },
      'the value has control characters, such as a line end at its end: no header could be equal to it',
    ],
  ])('with %s is refused, and nothing of it is told', (_, object, message) => {
    const decoded = decodeSecret(object, NAME);
    expect(decoded).toEqual({
      kind: 'refused',
      problems: [
        {
          place: { kind: 'object', apiKind: 'Secret', ...NAME, field: 'data' },
          field: 'data',
          message,
        },
      ],
    });
  });

  it('as a copy says whose it is, as two can have one name', () => {
    const secret = { namespace: 'a-b', name: 'c' };
    expect(placeOfSecret(secret, 'cilium-secrets')).toEqual(
      placeOfSecret({ namespace: 'a', name: 'b-c' }, 'cilium-secrets'),
    );
    expect(placeOfSecret(secret, null)).toBe(secret);
    const labels = {
      'secretsync.cilium.io/owning-secret-namespace': 'a-b',
      'secretsync.cilium.io/owning-secret-name': 'c',
    };
    expect(decodeSecret({ metadata: { labels }, data: { x: 'YQ==' } }, NAME)).toMatchObject({
      facts: { value: 'a', copyOf: secret },
    });
  });
});

describe('policies', () => {
  it('name the secrets of their header matches', () => {
    const http = (secret: object): object => ({
      headerMatches: [
        { name: 'X-Token', secret },
        { name: 'X-Other', value: 'a', mismatch: 'LOG' },
      ],
    });
    const documents = [
      policy('CiliumNetworkPolicy', 'shop', [
        http({ name: 'own' }),
        http({ name: 'empty', namespace: '' }),
      ]),
      policy('CiliumNetworkPolicy', 'shop', [http({ name: 'own' })]),
      policy('CiliumClusterwideNetworkPolicy', null, [
        http({ name: 'other', namespace: 'vault' }),
        http({ name: 'nowhere' }),
        http({ name: 'a', namespace: 'b' }),
      ]),
    ];
    expect(secretsNamedBy(documents)).toEqual([
      { namespace: 'b', name: 'a' },
      { namespace: 'shop', name: 'empty' },
      { namespace: 'shop', name: 'own' },
      { namespace: 'vault', name: 'other' },
    ]);
  });
});

function policy(kind: string, namespace: string | null, http: readonly object[]): PolicyDocument {
  const object = {
    apiVersion: 'cilium.io/v2',
    kind,
    metadata: { name: 'p', ...(namespace === null ? {} : { namespace }) },
    spec: {
      endpointSelector: {},
      ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http } }] }],
    },
  };
  const ref = { apiKind: kind, namespace, name: 'p', uid: null };
  const decoded = decodePolicyObject(object, ref, { limits: DEFAULT_LIMITS });
  if (decoded.kind !== 'document') throw new Error(JSON.stringify(decoded.problems));
  return decoded.document;
}
