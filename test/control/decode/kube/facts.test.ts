/** Whatever an object says, it is read or refused with its name, and never throws. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCiliumEndpoint,
  decodeCiliumEndpointSlice,
  decodeCiliumIdentity,
} from '../../../../src/control/decode/kube/cilium_objects.ts';
import { decodeEndpointSlice } from '../../../../src/control/decode/kube/endpoint_slice.ts';
import type { Decoded, FactsName } from '../../../../src/control/decode/kube/fact_reader.ts';
import { decodeNamespace } from '../../../../src/control/decode/kube/namespace.ts';
import { decodeCiliumNode, decodeNode } from '../../../../src/control/decode/kube/node.ts';
import { decodePod, readablePodIps } from '../../../../src/control/decode/kube/pod.ts';
import { decodeSecret } from '../../../../src/control/decode/kube/secret.ts';
import { decodeService } from '../../../../src/control/decode/kube/service.ts';
import { runs } from '../../../support/property_runs.ts';

const NAME: FactsName = { namespace: 'shop', name: '300', uid: 'u' };

const DECODERS: Readonly<Record<string, (object: unknown, name: FactsName) => Decoded<unknown>>> = {
  Pod: decodePod,
  Namespace: decodeNamespace,
  Node: decodeNode,
  Service: decodeService,
  EndpointSlice: decodeEndpointSlice,
  Secret: decodeSecret,
  CiliumEndpoint: decodeCiliumEndpoint,
  CiliumEndpointSlice: decodeCiliumEndpointSlice,
  CiliumIdentity: decodeCiliumIdentity,
  CiliumNode: decodeCiliumNode,
};

const FIELDS = fc.constantFrom(
  ...[
    'metadata',
    'spec',
    'status',
    'labels',
    'annotations',
    'selector',
    'data',
    'endpoints',
    'addresses',
  ],
  ...[
    'containers',
    'initContainers',
    'ports',
    'name',
    'containerPort',
    'protocol',
    'podIP',
    'podIPs',
    'ip',
  ],
  ...[
    'identity',
    'id',
    'networking',
    'addressing',
    'ipv4',
    'named-ports',
    'security-labels',
    'type',
  ],
  ...[
    'addressType',
    'ownerReferences',
    'kind',
    'uid',
    'creationTimestamp',
    '__proto__',
    'constructor',
    'toString',
  ],
  ...[
    'clusterIP',
    'clusterIPs',
    'ipFamilies',
    'externalIPs',
    'loadBalancer',
    'ingress',
    'targetPort',
    'nodePort',
  ],
  ...['sessionAffinity', 'conditions', 'ready', 'hints', 'forZones', 'nodeName', 'port'],
);
const SCALARS = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    80,
    70_000,
    1e300,
    '',
    'TCP',
    'IPv4',
    'Always',
    'InternalIP',
  ),
  fc.constantFrom<unknown>(
    '10.0.0.1',
    '10.0.0.256',
    'fd00::1',
    'x'.repeat(2000),
    '2026-01-01T00:00:00Z',
    '\u0000',
  ),
  fc.string(),
);
/** Objects whose fields are those of real ones, with anything in them. */
const { object } = fc.letrec<{ object: unknown; any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'medium' },
    SCALARS,
    tie('object'),
    fc.array(tie('any'), { maxLength: 3 }),
  ),
  object: fc.dictionary(FIELDS, tie('any'), { maxKeys: 6 }),
}));

describe.each(Object.entries(DECODERS))('%s', (kind, decode) => {
  it('of any shape is read or refused with its name', () => {
    fc.assert(
      fc.property(object, (value) => {
        const decoded = decode(JSON.parse(JSON.stringify(value)), NAME);
        if (decoded.kind === 'facts') return;
        expect(decoded.problems.length).toBeGreaterThan(0);
        for (const { place } of decoded.problems) {
          expect(place).toMatchObject({
            kind: 'object',
            apiKind: kind,
            namespace: 'shop',
            name: '300',
          });
        }
      }),
      runs(150),
    );
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['a text', 'text'],
    ['a list', [[]]],
  ])('that is %s does not throw', (_, value) => {
    expect(() => decode(value, NAME)).not.toThrow();
  });
});

describe('too much', () => {
  const many = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, 'v']));

  it.each<[string, Decoded<unknown>, string]>([
    [
      'labels',
      decodePod({ metadata: { labels: many(1001) } }, NAME),
      'has 1001 labels (allowed: 1000)',
    ],
    [
      'addresses',
      decodePod(
        { status: { podIPs: Array.from({ length: 17 }, () => ({ ip: '10.0.0.1' })) } },
        NAME,
      ),
      'has 17 items (allowed: 16)',
    ],
    [
      'endpoints of a slice',
      decodeEndpointSlice({ addressType: 'IPv4', endpoints: new Array(1001).fill({}) }, NAME),
      'has 1001 items (allowed: 1000)',
    ],
    [
      'ports of a Service at each of its addresses',
      decodeService(
        {
          spec: {
            clusterIP: '10.96.0.1',
            externalIPs: Array.from({ length: 99 }, (_, at) => `203.0.113.${at}`),
            ports: Array.from({ length: 101 }, (_, at) => ({ name: `p${at}`, port: 1000 + at })),
          },
        },
        NAME,
      ),
      '100 addresses with 101 ports each are too many (allowed: 10000 pairs)',
    ],
  ])('%s are refused', (_, decoded, message) => {
    expect(decoded).toMatchObject({ kind: 'refused', problems: [{ message }] });
  });

  it('wrong items of one object are told ten times', () => {
    const labels = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`-${at}`, 'v']));
    const decoded = decodePod({ metadata: { labels } }, NAME);
    expect(decoded.kind === 'refused' && decoded.problems.length).toBe(10);
  });
});

it('addresses of a pod are found when the rest of it cannot be read', () => {
  const odd = {
    metadata: { labels: 7 },
    status: { podIP: '10.0.0.1', podIPs: [{ ip: 'fd00::1' }, { ip: 'x' }] },
  };
  expect(decodePod(odd, NAME).kind).toBe('refused');
  expect(readablePodIps(odd, NAME).map(({ text }) => text)).toEqual(['10.0.0.1', 'fd00::1']);
});

it('names of labels and their values are those that the API server takes', () => {
  const key63 = `a${'b'.repeat(61)}c`;
  const good = { a: '', 'A_b.c-d': 'x', [`ex.ample/${key63}`]: `y${'z'.repeat(62)}` };
  expect(decodePod({ metadata: { labels: good } }, NAME).kind).toBe('facts');
  for (const [key, value] of Object.entries({
    '': 'v',
    '-a': 'v',
    'a-': 'v',
    'a/b/c': 'v',
    '/a': 'v',
    'Ex/a': 'v',
    [`${key63}d`]: 'v',
    'a b': 'v',
    k1: 'a b',
    k2: '-a',
    k3: 'a=b',
    k4: 'a;b',
    k5: 'ü',
    k6: `z${'z'.repeat(63)}`,
  })) {
    expect([key, decodePod({ metadata: { labels: { [key]: value } } }, NAME).kind]).toEqual([
      key,
      'refused',
    ]);
  }
});
