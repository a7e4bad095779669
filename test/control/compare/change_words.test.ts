/** How changes are told: ports in few words, pods by what their names have in common. */
import { describe, expect, it } from 'vitest';
import { commonName } from '../../../src/control/compare/remote_names.ts';
import { readFlow } from '../../../src/control/compare/seen_flow.ts';
import { trafficText } from '../../../src/control/compare/traffic_text.ts';
import type { PolicyProtocol } from '../../../src/model/identity.ts';

type Area = readonly [protocol: PolicyProtocol, first: number, last: number];

const ALL: readonly Area[] = [
  ['TCP', 1, 65535],
  ['UDP', 1, 65535],
  ['SCTP', 1, 65535],
  ['ICMP', 1, 256],
  ['ICMPv6', 1, 256],
  ['other', 0, 0],
];

describe('traffic is told as', () => {
  const cases: readonly [text: string, areas: readonly Area[]][] = [
    ['everything', ALL],
    ['TCP 80', [['TCP', 80, 80]]],
    [
      'TCP 80, 8000-8100, UDP 53',
      [
        ['TCP', 80, 80],
        ['TCP', 8000, 8100],
        ['UDP', 53, 53],
      ],
    ],
    ['TCP', [['TCP', 1, 65535]]],
    ['ICMP type 8', [['ICMP', 9, 9]]],
    ['other protocols', [['other', 0, 0]]],
    ['everything but TCP 80', [['TCP', 1, 79], ['TCP', 81, 65535], ...ALL.slice(1)]],
    [
      'everything but UDP, other protocols',
      ALL.filter(([name]) => name !== 'UDP' && name !== 'other'),
    ],
  ];
  it.each(cases)('%s', (text, areas) => {
    const given = areas.map(([protocol, first, last]) => ({ protocol, first, last }));
    expect(trafficText(given)).toBe(text);
  });
});

describe('pods are told as', () => {
  const cases: readonly [name: string, pods: readonly string[]][] = [
    ['shop/web-1', ['shop/web-1']],
    ['shop/web-7d9f-*', ['shop/web-7d9f-bb', 'shop/web-7d9f-bc']],
    ['shop/web-*', ['shop/web-1', 'shop/web-12']],
    ['shop/*', ['shop/web-1', 'shop/wab-1']],
    ['*', ['shop/web-1', 'sell/web-1']],
  ];
  it.each(cases)('%s', (name, pods) => {
    expect(commonName(pods)).toBe(name);
  });
});

describe('a line of flows is', () => {
  const base = {
    kind: 'Flow',
    verdict: 'forwarded',
    direction: 'ingress',
    transport: 'TCP',
    source: { ip: '10.0.0.2', labels: ['k8s:app=web'] },
    destination: { ip: '10.0.0.1', port: 80, namespace: 'shop', pod: 'api' },
  };
  const cases: readonly [about: string, value: unknown, expected: object][] = [
    [
      'a question about its endpoint',
      base,
      {
        kind: 'flow',
        verdict: 'allow',
        count: 1,
        remoteLabels: ['k8s:app=web'],
        question: {
          subject: { kind: 'name', name: 'shop/api' },
          port: 80,
          ask: { kind: 'connection' },
        },
      },
    ],
    [
      'a request, as far as it may be shown',
      { ...base, http: { method: 'GET', path: '/x', host: 'api', headers: { 'x-a': '1' } } },
      {
        question: {
          ask: { kind: 'http', request: { method: 'GET', path: '/x', fields: ['x-a', '1'] } },
        },
      },
    ],
    [
      'no request when a part of it is missing',
      { ...base, http: { method: 'GET', path: '/x', isCut: true } },
      { question: { ask: { kind: 'connection' } } },
    ],
    [
      'a server name',
      { ...base, tls: { serverName: 'a.test' } },
      { question: { serverName: 'a.test' } },
    ],
    [
      'so many packets of the kernel',
      { ...base, verdict: 'denied', count: 7 },
      { verdict: 'deny', count: 7 },
    ],
    [
      'of the other side on egress',
      { ...base, direction: 'egress', endpoint: 'shop/web' },
      { question: { subject: { name: 'shop/web' }, remote: { kind: 'name', name: 'shop/api' } } },
    ],
    ['no question when it is an answer', { ...base, isReply: true }, { kind: 'none' }],
    [
      'no question when nobody’s endpoint is asked',
      { ...base, direction: 'egress' },
      { kind: 'none' },
    ],
    [
      'counted when its protocol has no ports, so that it cannot be asked',
      { ...base, transport: '47', count: 2 },
      { kind: 'unaskable', count: 2 },
    ],
    ['counted when the type of ICMP is missing', { ...base, transport: 'ICMP' }, { count: 1 }],
    ['no question when flows were lost', { kind: 'LostFlows', count: 3 }, { kind: 'none' }],
    ['unreadable when it is another document', { kind: 'Status' }, { kind: 'unreadable' }],
    ['unreadable when it is none', 7, { kind: 'unreadable' }],
  ];
  it.each(cases)('%s', (_, value, expected) => {
    expect(readFlow(value)).toMatchObject(expected);
  });
});
