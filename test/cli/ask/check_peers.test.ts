/** What `check` says of peers, ports and default deny, with the place and what to write instead. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../test_io.ts';

const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-peers-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

const ENDPOINTS = `endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/web, ip: 10.0.0.2, labels: { app: web } }
cidrs:
  - { cidr: 172.16.0.9/32, identity: 6 }
`;
writeFileSync(join(DIRECTORY, 'endpoints.yaml'), ENDPOINTS);

function cnp(spec: object, name = 'p'): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { endpointSelector: { matchLabels: { app: 'api' } }, ...spec },
  };
}

function ccnp(spec: object): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'c' },
    spec: { endpointSelector: {}, ...spec },
  };
}

interface FoundFinding {
  readonly id: string;
  readonly severity: string;
  readonly line: number;
  readonly field: string;
  readonly message: string;
  readonly instead?: string;
}

async function findings(policies: readonly object[], ...flags: readonly string[]) {
  writeFileSync(join(DIRECTORY, 'p.yaml'), policies.map((one) => stringify(one)).join('---\n'));
  const io = testIo({ cwd: DIRECTORY });
  await runCommandLine(['check', 'p.yaml', '-o', 'json', ...flags], io);
  expect(io.stderr.text).toBe('');
  return (JSON.parse(io.stdout.text) as { findings: readonly FoundFinding[] }).findings;
}

const WEB = [{ matchLabels: { app: 'web' } }];
const NOT_SYSTEM = {
  matchExpressions: [
    { key: 'k8s:io.kubernetes.pod.namespace', operator: 'NotIn', values: ['kube-system'] },
  ],
};
const POD = { key: 'k8s:io.kubernetes.pod.namespace', operator: 'Exists' };
const dnsRule = (...rules: object[]): object => ({
  toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system' } }],
  toPorts: [{ ports: [{ port: '53', protocol: 'UDP' }], rules: { dns: rules } }],
});
const toApi = { toFQDNs: [{ matchName: 'api.example.com' }] };

const cases: readonly (readonly [string, readonly object[], readonly (readonly string[])[]])[] = [
  [
    'deny rules alone switch default deny on',
    [cnp({ ingressDeny: [{ fromEndpoints: WEB }] })],
    [['deny-only', '', 'enableDefaultDeny: { ingress: false }']],
  ],
  [
    'not when the policy says that they do not',
    [cnp({ ingressDeny: [{ fromEndpoints: WEB }], enableDefaultDeny: { ingress: false } })],
    [],
  ],
  [
    'nor when another policy allows something for the same endpoints',
    [
      cnp({ ingressDeny: [{ fromEndpoints: WEB }] }),
      ccnp({ ingress: [{ fromEntities: ['all'] }] }),
    ],
    [],
  ],
  [
    'one that is for others does not count',
    [
      cnp({ egressDeny: [{ toEntities: ['world'] }] }),
      cnp(
        { endpointSelector: { matchLabels: { app: 'db' } }, egress: [{ toEntities: ['all'] }] },
        'q',
      ),
    ],
    [['deny-only', '', 'enableDefaultDeny: { egress: false }']],
  ],
  [
    'names without any rules.dns',
    [cnp({ egress: [toApi] })],
    [['fqdn-not-askable', 'egress[0]', 'rules: { dns: [{ matchName: "api.example.com" }] }']],
  ],
  [
    'names that no rules.dns lets through',
    [cnp({ egress: [toApi, dnsRule({ matchName: 'www.example.com' })] })],
    [['fqdn-not-askable', 'egress[0]', 'rules: { dns: [{ matchName: "api.example.com" }] }']],
  ],
  ['the same name', [cnp({ egress: [toApi, dnsRule({ matchName: 'API.example.com' })] })], []],
  ['any name', [cnp({ egress: [toApi, dnsRule({ matchPattern: '*' })] })], []],
  [
    'rules.dns of another policy that selects the same endpoints',
    [cnp({ egress: [toApi] }), ccnp({ egress: [dnsRule({ matchPattern: '*' })] })],
    [],
  ],
  [
    'a pattern that covers the pattern',
    [
      cnp({
        egress: [
          { toFQDNs: [{ matchPattern: '*.example.com' }, { matchName: 'example.com' }] },
          dnsRule({ matchPattern: '*.example.com' }, { matchName: 'example.com' }),
        ],
      }),
    ],
    [],
  ],
  [
    'a selector that only excludes a namespace',
    [cnp({ ingress: [{ fromEndpoints: [NOT_SYSTEM] }] })],
    [
      [
        'negative-selector',
        'ingress[0]',
        '{ key: k8s:io.kubernetes.pod.namespace, operator: Exists }',
      ],
    ],
  ],
  [
    'not with what was proposed',
    [
      cnp({
        ingress: [{ fromEndpoints: [{ matchExpressions: [...NOT_SYSTEM.matchExpressions, POD] }] }],
      }),
    ],
    [],
  ],
  [
    'an empty list of peers',
    [cnp({ ingress: [{ fromEndpoints: [] }] })],
    [['empty-peers', 'ingress[0]']],
  ],
  ['{} as a rule', [cnp({ egress: [{}] })], [['empty-rule', 'egress[0]', 'toEntities: [all]']]],
  [
    'an apex that its pattern does not cover',
    [cnp({ egress: [dnsRule({ matchPattern: '*.example.com' })] })],
    [['apex-not-covered', 'egress[0].toPorts[0]', 'matchName: example.com']],
  ],
  [
    'remote nodes, and the API server among them',
    [cnp({ egress: [{ toEntities: ['remote-node'] }] })],
    [['apiserver-is-node', 'egress[0]']],
  ],
  [
    'both say what they mean',
    [cnp({ egress: [{ toEntities: ['remote-node', 'kube-apiserver'] }] })],
    [],
  ],
];

describe('without endpoints', () => {
  it.each(cases)('%s', async (_, policies, expected) => {
    const found = await findings(policies);
    expect(
      found.map(({ id, field, instead }) =>
        instead === undefined ? [id, field] : [id, field, instead],
      ),
    ).toEqual(expected);
    for (const { line, message } of found) {
      expect(line).toBeGreaterThan(0);
      expect(message).not.toMatch(/undefined|null|\[object/);
    }
  });
});

describe('with endpoints', () => {
  const known: readonly (readonly [string, object, readonly string[]])[] = [
    ['a CIDR over pods', { egress: [{ toCIDR: ['10.0.0.0/8'] }] }, ['cidr-over-endpoints']],
    ['a CIDR over nodes', { egress: [{ toCIDR: ['172.16.0.0/12'] }] }, ['cidr-over-endpoints']],
    ['one beside them', { egress: [{ toCIDR: ['192.0.2.0/24'] }] }, []],
    ['the whole world', { egress: [{ toCIDR: ['0.0.0.0/0'] }] }, []],
    [
      'one from which they are excepted',
      { egress: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.0.0.0/24'] }] }] },
      [],
    ],
    [
      'a peer that nobody is',
      { ingress: [{ fromEndpoints: [{ matchLabels: { app: 'wbe' } }] }] },
      ['no-endpoint-selected'],
    ],
    ['a peer that somebody is', { ingress: [{ fromEndpoints: WEB }] }, []],
    [
      'a subject that nobody is',
      { endpointSelector: { matchLabels: { app: 'ap' } }, ingress: [{ fromEndpoints: WEB }] },
      ['no-endpoint-selected'],
    ],
  ];
  it.each(known)('%s', async (_, spec, expected) => {
    const found = await findings([cnp(spec)], '--endpoints', 'endpoints.yaml');
    expect(found.map(({ id }) => id)).toEqual(expected);
  });
});
