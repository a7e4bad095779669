/** What is told of changes that people make, in their words. */
import { describe, expect, it } from 'vitest';
import { changeLines } from '../../../src/cli/ask/change_text.ts';
import { changesDocument } from '../../../src/control/compare/changes_document.ts';
import { verdictChanges } from '../../../src/control/compare/verdict_changes.ts';
import { finish } from '../../../src/model/steps.ts';
import { inventoryOf } from '../../support/inventory.ts';
import { COMPARE_OPTIONS, inputOf } from '../../support/policy_changes.ts';

const INVENTORY = inventoryOf(`
endpoints:
  - { name: shop/api-1, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/api-2, ip: 10.0.0.2, labels: { app: api } }
  - { name: shop/web, ip: 10.0.0.3, labels: { app: web } }
  - { name: shop/office, ip: 10.0.0.4, labels: { app: office } }
  - { name: lab/probe, ip: 10.0.0.5, labels: { app: probe } }
`);

const API = { endpointSelector: { matchLabels: { app: 'api' } } };
const WEB = { fromEndpoints: [{ matchLabels: { app: 'web' } }] };

function cnp(name: string, spec: object, annotations: object = {}): object {
  const metadata = { name, namespace: 'shop', annotations };
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
}

function to(port: string, http: readonly object[] | null = null): object {
  const ports = [{ port, protocol: 'TCP' }];
  return { toPorts: [{ ports, ...(http === null ? {} : { rules: { http } }) }] };
}

function group(...externalCIDRs: readonly string[]): object {
  const metadata = { name: 'partners' };
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumCIDRGroup', metadata, spec: { externalCIDRs } };
}

function textOf(before: readonly object[], after: readonly object[]): readonly string[] {
  const pair = { before: inputOf(before, INVENTORY), after: inputOf(after, INVENTORY) };
  const result = finish(verdictChanges(pair, COMPARE_OPTIONS));
  if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
  const document = changesDocument(result, INVENTORY.endpoints, 4);
  const options = { isAll: false, io: { hasColour: false }, endpointCount: 5 };
  return changeLines(document, options);
}

const WEB_GETS = cnp('api', { ...API, ingress: [{ ...WEB, ...to('80', [{ method: 'GET' }]) }] });
const WEB_ALL = cnp('api', { ...API, ingress: [{ ...WEB, ...to('80') }] });
const PARTNERS = cnp('api', { ...API, ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'partners' }] }] });
const DRY_RUN = { 'sallyport.dev/dry-run': 'true' };
const NOTHING = ['No verdict would change, whoever asks whom.'];
const HEAD = 'ingress of shop/api-* (2 pods)';
const COUNT = '2 of 5 pods and nodes would have another verdict for somebody.';

const cases: readonly [
  about: string,
  before: readonly object[],
  after: readonly object[],
  lines: readonly string[],
][] = [
  ['nothing', [WEB_ALL], [WEB_ALL], NOTHING],
  [
    'the same under another name',
    [WEB_ALL],
    [cnp('other', { ...API, ingress: [{ ...WEB, ...to('80') }] })],
    NOTHING,
  ],
  [
    'a policy that selects nobody',
    [],
    [cnp('x', { endpointSelector: { matchLabels: { app: 'none' } }, ingress: [{}] })],
    NOTHING,
  ],
  [
    'the first policy',
    [],
    [WEB_ALL],
    [
      HEAD,
      '  allowed -> denied on everything: from everyone but shop/web, host',
      '  allowed -> denied on everything but TCP 80: from shop/web',
      COUNT,
    ],
  ],
  [
    'rules where everything was allowed',
    [WEB_ALL],
    [WEB_GETS],
    [
      HEAD,
      '  allowed -> judged by rules on TCP 80: from shop/web',
      '      + GET of any path',
      COUNT,
    ],
  ],
  [
    'no rules any more',
    [WEB_GETS],
    [WEB_ALL],
    [
      HEAD,
      '  judged by rules -> allowed on TCP 80: from shop/web',
      '      - GET of any path',
      COUNT,
    ],
  ],
  [
    'a deny beside it',
    [WEB_ALL],
    [WEB_ALL, cnp('no', { ...API, ingressDeny: [{ fromEntities: ['all'], ...to('80') }] })],
    [HEAD, '  allowed -> denied on TCP 80: from shop/web, host', COUNT],
  ],
  [
    'prefixes of a group',
    [PARTNERS, group('192.0.2.0/24')],
    [PARTNERS, group('192.0.2.0/24', '198.51.100.0/24')],
    [HEAD, '  denied -> allowed on everything: from 198.51.100.0/24', COUNT],
  ],
];

describe('what is told of', () => {
  it.each(cases)('%s', (_, before, after, lines) => {
    expect(textOf(before, after)).toEqual(lines);
  });
});

it('a policy in dry-run changes nothing', () => {
  expect(textOf([], [cnp('api', { ...API, ingress: [WEB] }, DRY_RUN)])).toEqual(NOTHING);
});
