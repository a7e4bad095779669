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

const NAMED = `endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api }, namedPorts: { web: 8080 } }
  - { name: shop/api-2, ip: 10.0.0.2, labels: { app: api, v: two }, namedPorts: { web: 8081 } }
  - { name: shop/web, ip: 10.0.0.3, labels: { app: web }, namedPorts: { web: 9090 } }
  - { name: shop/one, ip: 10.0.0.4, labels: { app: web, v: one }, namedPorts: { web: 9090 } }
`;
writeFileSync(join(DIRECTORY, 'named.yaml'), NAMED);

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
          { toFQDNs: [{ matchPattern: '**.example.com' }, { matchName: 'example.com' }] },
          dnsRule({ matchPattern: '**.example.com' }, { matchName: 'example.com' }),
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
    [
      ['apex-not-covered', 'egress[0].toPorts[0]', 'matchName: example.com'],
      ['star-within-label', 'egress[0].toPorts[0]', 'matchPattern: "**.example.com"'],
    ],
  ],
  [
    'names that nobody can ask for',
    [
      cnp({
        egress: [
          dnsRule({ matchName: `${'l'.repeat(64)}.example.com` }),
          dnsRule({ matchName: '10.0.0.1' }),
        ],
      }),
    ],
    [
      ['never-matches', 'egress[0].toPorts[0]'],
      ['never-matches', 'egress[1].toPorts[0]'],
    ],
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
      'a name server that nobody is',
      {
        egress: [
          {
            toEndpoints: [{ matchLabels: { 'k8s-app': 'kube-dns' } }],
            toPorts: [
              {
                ports: [{ port: '53', protocol: 'UDP' }],
                rules: { dns: [{ matchName: 'a.eu.example.com' }] },
              },
            ],
          },
        ],
      },
      ['no-endpoint-selected'],
    ],
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

describe('port names', () => {
  const web = { toPorts: [{ ports: [{ port: 'web', protocol: 'TCP' }] }] };
  const API = [{ matchLabels: { app: 'api' } }];
  const TWO = [{ matchLabels: { app: 'api', v: 'two' } }];
  const told = (field: string, numbers: string) => [
    ['port-name-differs', field, expect.stringContaining(`(TCP ${numbers})`)],
  ];
  it.each<readonly [string, object, readonly (readonly unknown[])[]]>([
    [
      'of subjects that differ',
      { ingress: [{ fromEndpoints: WEB, ...web }] },
      told('ingress[0].toPorts[0]', '8080, 8081'),
    ],
    [
      'of subjects that agree, for remotes that do not',
      { endpointSelector: WEB[0], ingress: [{ fromEndpoints: API, ...web }] },
      [],
    ],
    [
      'of destinations that differ',
      { egress: [{ toEndpoints: API, ...web }] },
      told('egress[0].toPorts[0]', '8080, 8081'),
    ],
    ['of destinations that agree', { egress: [{ toEndpoints: WEB, ...web }] }, []],
    ['of one destination', { egress: [{ toEndpoints: TWO, ...web }] }, []],
    ['of any destination', { egress: [web] }, told('egress[0].toPorts[0]', '8080, 8081, 9090')],
  ])('%s', async (_, spec, expected) => {
    const found = await findings([cnp(spec)], '--endpoints', 'named.yaml');
    expect(found.map(({ id, field, message }) => [id, field, message])).toEqual(expected);
  });
});

describe('DNS rules beside HTTP rules', () => {
  const on = (peers: object, port: string, rules: object, protocol = 'TCP') => ({
    ...peers,
    toPorts: [{ ports: [{ port, protocol }], rules }],
  });
  const http = { http: [{ method: 'GET' }] };
  const dns = { dns: [{ matchPattern: '*' }] };
  const DNS_PODS = { toEndpoints: [{ matchLabels: { app: 'dns' } }] };
  const WEB_PODS = { toEndpoints: [{ matchLabels: { app: 'web' } }] };
  const MERGED = 'is rejected here';
  const HTTP_FIRST = 'never asked';
  it.each<readonly [string, readonly object[], string | null]>([
    [
      'of one selector',
      [cnp({ egress: [on(DNS_PODS, '53', dns), on(DNS_PODS, '53', http)] })],
      MERGED,
    ],
    [
      'of two policies of one subject',
      [
        cnp({ egress: [on(DNS_PODS, '53', dns)] }),
        cnp({ egress: [on(DNS_PODS, '53', http)] }, 'q'),
      ],
      MERGED,
    ],
    [
      'of a policy that selects more',
      [
        ccnp({ egress: [on({ toEntities: ['all'] }, '53', http)] }),
        cnp({ egress: [on(DNS_PODS, '53', dns)] }),
      ],
      HTTP_FIRST,
    ],
    [
      'of a policy that selects less',
      [
        ccnp({ egress: [on({ toEntities: ['all'] }, '53', dns)] }),
        cnp({ egress: [on(DNS_PODS, '53', http)] }),
      ],
      HTTP_FIRST,
    ],
    [
      'of any protocol',
      [cnp({ egress: [on(DNS_PODS, '53', dns, 'ANY'), on(DNS_PODS, '53', http)] })],
      MERGED,
    ],
    [
      'of a selector among others',
      [
        cnp({ egress: [on(DNS_PODS, '53', dns)] }),
        cnp({ egress: [on({ toEndpoints: [...DNS_PODS.toEndpoints, ...WEB] }, '53', http)] }, 'q'),
      ],
      MERGED,
    ],
    [
      'in a range',
      [
        cnp({
          egress: [
            on(DNS_PODS, '53', dns),
            {
              ...DNS_PODS,
              toPorts: [{ ports: [{ port: '50', endPort: 60, protocol: 'TCP' }], rules: http }],
            },
          ],
        }),
      ],
      HTTP_FIRST,
    ],
    [
      'of another port',
      [cnp({ egress: [on(DNS_PODS, '53', dns), on(DNS_PODS, '80', http)] })],
      null,
    ],
    [
      'of another protocol',
      [cnp({ egress: [on(DNS_PODS, '53', dns, 'UDP'), on(DNS_PODS, '53', http)] })],
      null,
    ],
    [
      'of other remotes',
      [cnp({ egress: [on(DNS_PODS, '53', dns), on(WEB_PODS, '53', http)] })],
      null,
    ],
  ])('%s', async (_, policies, expected) => {
    const found = (await findings(policies)).filter(({ id }) => id === 'dns-beside-http');
    const wanted = expected === null ? [] : [expect.stringContaining(expected)];
    expect(found.map(({ message }) => message)).toEqual(wanted);
    // Whether the set is in fact rejected as soon as there is such an endpoint.
    const known = await findings(policies, '--endpoints', 'endpoints.yaml');
    expect(known.some(({ id }) => id === 'invalid')).toBe(expected === MERGED);
  });
});
