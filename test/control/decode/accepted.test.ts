/** What Cilium accepts, and what it is read as. */
import { describe, expect, it } from 'vitest';
import type { Peer, PortSelector } from '../../../src/policy/rule.ts';
import {
  ccnp,
  cnp,
  egress,
  http,
  ingress,
  problemsOf,
  ruleOf,
  specOf,
  tiers,
  warningsOf,
} from './decoding.ts';

const OWN = 'k8s:io.kubernetes.pod.namespace in shop';
const HAS_NAMESPACE = 'k8s:io.kubernetes.pod.namespace exists';

describe('the subject', () => {
  const check = (text: string, requirements: readonly string[]): void => {
    expect(shown(specOf(text).subject)).toEqual(requirements);
  };
  const of = (selector: string) => `{ endpointSelector: ${selector}, ingress: [{}] }`;

  it('of a CNP is of its own namespace, whatever its labels say', () => {
    check(cnp(of('{}')), [OWN]);
    check(cnp(of('{ matchLabels: { app: api } }')), ['any:app in api', OWN]);
    check(cnp(of('{ matchLabels: { "k8s:io.kubernetes.pod.namespace": other } }')), [OWN]);
  });

  it('of a CNP keeps what expressions, and labels without k8s:, say about the namespace', () => {
    const key = 'io.kubernetes.pod.namespace';
    check(cnp(of(`{ matchLabels: { ${key}: other } }`)), [`any:${key} in other`, OWN]);
    check(cnp(of(`{ matchExpressions: [{ key: ${key}, operator: NotIn, values: [shop] }] }`)), [
      `any:${key} not-in shop`,
      OWN,
    ]);
  });

  it('of a CCNP is what is written', () => {
    check(ccnp(of('{}')), []);
    check(ccnp(of('{ matchLabels: { "reserved:init": "" } }')), ['reserved:init in ']);
    check(ccnp('{ nodeSelector: { matchLabels: { role: edge } }, ingress: [{}] }'), [
      'any:role in edge',
    ]);
  });

  it.each([
    ['In, values: [a, b]', 'in a,b'],
    ['NotIn, values: [a]', 'not-in a'],
    ['Exists', 'exists'],
    ['DoesNotExist, values: []', 'does-not-exist'],
    ['Gt, values: ["5"]', 'gt 5'],
    ['Lt, values: ["5"]', 'lt 5'],
  ])('can be selected with operator %s', (written, read) => {
    check(ccnp(of(`{ matchExpressions: [{ key: app.kubernetes.io/x, operator: ${written} }] }`)), [
      `any:app.kubernetes.io/x ${read}`,
    ]);
  });
});

describe('peers', () => {
  const check = (text: string, peers: readonly string[] | null): void => {
    const rule = ruleOf(text);
    expect(rule.peers === null ? null : rule.peers.map(peerText)).toEqual(peers);
  };

  it('absent, null and empty are three things in YAML and two in Cilium', () => {
    check(ingress('{}'), null);
    check(ingress('{ fromEndpoints: }'), null);
    check(ingress('{ fromEndpoints: [] }'), []);
    check(egress('{ toEntities: [] }'), []);
    check(ingress('{ fromRequires: [] }'), null);
  });

  it('are of the own namespace unless they name one, or are reserved', () => {
    check(ingress('{ fromEndpoints: [{}] }'), [OWN]);
    check(ingress('{ fromEndpoints: [{ matchLabels: { app: a } }] }'), [`any:app in a; ${OWN}`]);
    const named = [
      ['k8s:io.kubernetes.pod.namespace', 'k8s:io.kubernetes.pod.namespace'],
      ['io.kubernetes.pod.namespace', 'any:io.kubernetes.pod.namespace'],
      [
        'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name',
        'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name',
      ],
      ['io.cilium.k8s.namespace.labels.team', 'any:io.cilium.k8s.namespace.labels.team'],
      ['reserved:host', 'reserved:host'],
    ];
    for (const [key, read] of named) {
      check(ingress(`{ fromEndpoints: [{ matchLabels: { "${key}": x } }] }`), [`${read} in x`]);
    }
  });

  it('of a CCNP have a namespace, unless they are reserved or the subject is init', () => {
    const peer = (subject: string, selector: string) =>
      ccnp(`{ endpointSelector: ${subject}, ingress: [{ fromEndpoints: [${selector}] }] }`);
    const init = '{ matchLabels: { "reserved:init": "" } }';
    check(peer('{}', '{}'), [HAS_NAMESPACE]);
    check(peer('{}', '{ matchLabels: { "reserved:health": "" } }'), ['reserved:health in ']);
    check(peer(init, '{}'), ['']);
  });

  it.each([
    ['{ fromCIDR: [10.1.2.3/8] }', ['10.0.0.0/8']],
    ['{ fromCIDR: ["fd00::1/64"] }', ['fd00::/64']],
    ['{ fromCIDR: [10.1.2.3] }', ['10.1.2.3/32']],
    ['{ fromCIDRSet: [{ cidr: 0.0.0.0/0, except: [10.0.0.0/8] }] }', ['0.0.0.0/0 - 10.0.0.0/8']],
    ['{ fromCIDRSet: [{ cidr: 10.0.0.0/8, cidrGroupRef: "" }] }', ['10.0.0.0/8']],
    ['{ fromCIDRSet: [{ cidrGroupRef: g, except: [10.1.0.0/16] }] }', ['group g - 10.1.0.0/16']],
    ['{ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { a: b } } }] }', ['groups any:a in b']],
    ['{ fromEntities: [world, world-ipv6, none] }', ['world', 'world-ipv6', 'none']],
    ['{ fromGroups: [{ aws: { region: a } }] }', ['aws']],
  ])('%s', (element, read) => check(ingress(element), read));

  it.each([
    ['{ toFQDNs: [{ matchName: A.test }, { matchPattern: "**.b" }] }', ['A.test', '**.b']],
    ['{ toFQDNs: [{ matchName: "", matchPattern: "*" }] }', ['*']],
    ['{ toServices: [{ k8sService: { serviceName: a } }] }', ['null/a']],
    ['{ toServices: [{ k8sService: { serviceName: a, namespace: b } }] }', ['b/a']],
    [
      '{ toServices: [{ k8sServiceSelector: { selector: { matchLabels: { a: b } } } }] }',
      ['null/any:a in b'],
    ],
    ['{ toNodes: [{}] }', ['nodes reserved:remote-node exists']],
    ['{ toEndpoints: [{}], authentication: { mode: disabled } }', [OWN]],
    ['{ toEndpoints: [{}], toCIDR: [], toRequires: [] }', [OWN]],
  ])('%s', (element, read) => check(egress(element), read));
});

describe('a label without a value', () => {
  const check = (selector: string, read: readonly string[], told: readonly string[]): void => {
    const text = cnp(`{ endpointSelector: ${selector}, ingress: [{}] }`);
    expect(shown(specOf(text).subject)).toEqual([...read, OWN]);
    expect(warningsOf(text)).toEqual(told);
  };
  const told = (key: string, rest = '') =>
    `spec.endpointSelector.matchLabels.${key}: has no value, and the API server removes such a field: the selector does not ask for ${key}${rest} (write "" for a label that is empty)`;
  const EVERYBODY = '; nothing is asked for any more, so it selects everybody';

  it.each(['{ app: }', '{ app: ~ }', '{ app: null }', '{ app: NULL }'])(
    '%s is not asked for',
    (labels) => {
      check(`{ matchLabels: ${labels} }`, [], [told('app', EVERYBODY)]);
    },
  );

  it('is not asked for beside others, and an empty text is', () => {
    check('{ matchLabels: { app: , tier: a } }', ['any:tier in a'], [told('app')]);
    check('{ matchLabels: { app: "" } }', ['any:app in '], []);
    check('{ matchLabels: { app: !!str } }', ['any:app in '], []);
  });

  it('is none among values, which the API server does not prune', () => {
    const text = cnp(
      '{ endpointSelector: { matchExpressions: [{ key: a, operator: In, values: [b, ~] }] }, ingress: [{}] }',
    );
    expect(problemsOf(text)).toEqual([
      'spec.endpointSelector.matchExpressions[0].values[1]: must be a string (found ~)',
    ]);
  });

  it.each([
    ['ingress', '{ fromEndpoints: [{ matchLabels: { app: } }] }', OWN],
    ['egress', '{ toEndpoints: [{ matchLabels: { app: } }] }', OWN],
    ['egressDeny', '{ toEndpoints: [{ matchLabels: { app: } }] }', OWN],
  ])('of a peer of %s is not asked for, either', (list, element, read) => {
    const rule = ruleOf(cnp(`{ endpointSelector: {}, ${list}: [${element}] }`));
    expect(rule.peers?.map(peerText)).toEqual([read]);
  });
});

describe('ports', () => {
  const check = (element: string, ports: readonly string[] | null): void => {
    const read = ruleOf(ingress(element)).ports;
    expect(read === null ? null : read.map((rule) => rule.ports?.map(portText).join(' '))).toEqual(
      ports,
    );
  };

  it('absent, null or empty toPorts: every port; without ports: none', () => {
    check('{}', null);
    check('{ toPorts: }', null);
    check('{ toPorts: [] }', null);
    check('{ toPorts: [{}] }', ['']);
    check('{ toPorts: [{ ports: [] }] }', ['']);
  });

  it.each([
    ['port: "80"', '80/TCP,UDP,SCTP'],
    ['port: "80", protocol: ANY', '80/TCP,UDP,SCTP'],
    ['port: "80", protocol: ""', '80/TCP,UDP,SCTP'],
    ['port: "80", protocol: tcp', '80/TCP'],
    ['port: "80", protocol: Udp', '80/UDP'],
    ['port: "0", protocol: SCTP', '0/SCTP'],
    ['port: "80", endPort: 90, protocol: TCP', '80-90/TCP'],
    ['port: "80", endPort: 80, protocol: TCP', '80/TCP'],
    ['port: "80", endPort: 0, protocol: TCP', '80/TCP'],
    ['port: HTTP-alt, protocol: TCP', 'http-alt/TCP'],
    ['port: "1a", protocol: TCP', '1a/TCP'],
    // strconv.ParseUint with base 0; what looks like a service name is a name first.
    ['port: "0x50", protocol: TCP', '0x50/TCP'],
    ['port: "0x00000000000001F90", protocol: TCP', '8080/TCP'],
    ['port: "0o00000000000000120", protocol: TCP', '80/TCP'],
    ['port: "0b00000000001010000", protocol: TCP', '80/TCP'],
    ['port: "0120", protocol: TCP', '80/TCP'],
    ['port: "00", protocol: TCP', '0/TCP'],
    ['port: "1_000", protocol: TCP', '1000/TCP'],
    ['protocol: VRRP', '0/'],
    ['port: "0", protocol: igmp', '0/'],
  ])('%s', (written, read) => check(`{ toPorts: [{ ports: [{ ${written} }] }] }`, [read]));

  it('carry listeners, server names and TLS contexts', () => {
    const rule = ruleOf(
      egress(`{ toPorts: [{ ports: [{ port: "443", protocol: TCP }], serverNames: ["*.a.test"],
        terminatingTLS: { secret: { namespace: s, name: a }, certificate: tls.crt },
        originatingTLS: { secret: { name: a }, trustedCA: ca.crt }, rules: { http: [{}] } },
        { ports: [{ port: "80" }], listener: { envoyConfig: { kind: CiliumClusterwideEnvoyConfig, name: c }, name: l, priority: 7 } }] }`),
    );
    expect(rule.ports?.[0]).toMatchObject({
      serverNames: ['*.a.test'],
      isTlsTerminated: true,
      isTlsOriginated: true,
      l7: { kind: 'http' },
    });
    expect(rule.ports?.[1]?.listener).toEqual({
      envoyConfigKind: 'CiliumClusterwideEnvoyConfig',
      envoyConfigName: 'c',
      name: 'l',
      priority: 7,
    });
  });

  it('icmps say nothing about other protocols', () => {
    expect(ruleOf(ingress('{ icmps: [{ fields: [{ type: EchoRequest }] }] }')).hasIcmps).toBe(true);
    expect(
      ruleOf(ingress('{ icmps: [{ fields: [{ family: IPv6, type: "128" }] }] }')),
    ).toMatchObject({ hasIcmps: true, ports: null, icmps: [{ protocol: 'ICMPv6', type: 128 }] });
    expect(ruleOf(ingress('{ icmps: [], toPorts: [{ ports: [{ port: "80" }] }] }')).hasIcmps).toBe(
      false,
    );
  });
});

describe('L7 rules', () => {
  it.each(['{}', '{ http: [] }', '{ http: , dns: [] }'])('%s is none', (rules) => {
    const [ports] =
      ruleOf(ingress(`{ toPorts: [{ ports: [{ port: "80" }], rules: ${rules} }] }`)).ports ?? [];
    expect(ports?.l7).toEqual({ kind: 'none' });
  });

  it('an HTTP rule without conditions is one rule', () => {
    expect(httpRule('{}')).toMatchObject({ matchers: [], headerMatches: [] });
  });

  const matchers = (rule: string): readonly string[] =>
    httpRule(rule).matchers.map(({ name, value }) => {
      if (value.kind === 'regex') return `${name} ~ ${value.pattern}`;
      return value.kind === 'exact' ? `${name} = ${value.text}` : `${name} ${value.kind}`;
    });

  it.each([
    ['{ path: /a, method: GET, host: "a|b" }', [':path ~ /a', ':method ~ GET', ':authority ~ a|b']],
    ['{ path: "", method: "" }', []],
    // Split at the first space (strings.SplitN); colons before it go, else they stay.
    ['{ headers: ["X-A: v w"] }', ['x-a = v w']],
    ['{ headers: ["X-A:  v"] }', ['x-a =  v']],
    ['{ headers: ["X-A v"] }', ['x-a = v']],
    ['{ headers: ["X-A:: v"] }', ['x-a = v']],
    ['{ headers: ["X-A: "] }', ['x-a = ']],
    ['{ headers: [X-A] }', ['x-a present']],
    ['{ headers: ["X-A:"] }', ['x-a: present']],
    ['{ headers: ["X-A:v"] }', ['x-a:v present']],
    // Envoy keeps Host as :authority.
    ['{ headers: ["Host: a.test"] }', [':authority = a.test']],
    ['{ headerMatches: [{ name: X-A, value: v }] }', ['x-a = v']],
    ['{ headerMatches: [{ name: X-A }] }', ['x-a present']],
    ['{ headerMatches: [{ name: X-A, mismatch: "" }] }', ['x-a present']],
    // Compared as the bytes that come over the wire.
    ['{ headers: ["X-A: \\u00e9"] }', ['x-a = \u00c3\u00a9']],
  ])('%s', (rule, read) => expect(matchers(rule)).toEqual(read));

  it.each([
    ['value: v, mismatch: LOG', { value: 'v', secret: null, mismatchAction: 'continue' }],
    ['value: v, mismatch: ADD', { mismatchAction: 'add' }],
    ['value: v, mismatch: DELETE', { mismatchAction: 'delete' }],
    ['value: v, mismatch: REPLACE', { mismatchAction: 'replace' }],
    ['mismatch: LOG', { value: '', secret: null, mismatchAction: 'continue' }],
    ['secret: { name: s }', { value: '', secret: 'shop/s', mismatchAction: 'fail' }],
    ['secret: { name: s, namespace: z }, value: v', { value: 'v', secret: 'z/s' }],
    ['secret: { name: s }, mismatch: ADD', { secret: 'shop/s', mismatchAction: 'add' }],
  ])('headerMatches with %s', (written, read) => {
    const [match] = httpRule(`{ headerMatches: [{ name: X-A, ${written} }] }`).headerMatches;
    expect(match).toMatchObject({ name: 'x-a', matchAction: 'continue', ...read });
  });

  it('framing fields may be logged, only not changed', () => {
    const { headerMatches } = httpRule(
      '{ headerMatches: [{ name: Connection, value: close, mismatch: LOG }] }',
    );
    expect(headerMatches).toHaveLength(1);
  });

  it('DNS rules name names and patterns, in any combination', () => {
    const rule = ruleOf(
      egress(
        '{ toPorts: [{ ports: [{ port: "53" }], rules: { dns: [{ matchName: a.test, matchPattern: "*" }, { matchName: "" }] } }] }',
      ),
    );
    expect(rule.ports?.[0]?.l7).toMatchObject({
      kind: 'dns',
      rules: [
        { matchName: 'a.test', matchPattern: '*' },
        { matchName: null, matchPattern: null },
      ],
    });
  });

  function httpRule(text: string) {
    const l7 = ruleOf(http(text)).ports?.[0]?.l7;
    if (l7?.kind !== 'http' || l7.rules[0] === undefined) throw new Error('has no HTTP rule');
    return l7.rules[0];
  }
});

describe('default deny', () => {
  it.each([
    ['ingress: [{}]', { ingress: true, egress: false }],
    ['egressDeny: [{}]', { ingress: false, egress: true }],
    ['ingress: [{}], egress: []', { ingress: true, egress: false }],
    ['ingress: [{}], enableDefaultDeny: {}', { ingress: true, egress: false }],
    ['ingress: [{}], enableDefaultDeny: { ingress: false }', { ingress: false, egress: false }],
    ['ingress: [{}], enableDefaultDeny: { egress: true }', { ingress: true, egress: true }],
  ])('%s', (rules, read) => {
    expect(specOf(cnp(`{ endpointSelector: {}, ${rules} }`)).enableDefaultDeny).toEqual(read);
  });
});

describe('warnings', () => {
  it.each([
    [ingress('{ fromCIDR: [10.1.2.3] }'), 'refused from Cilium 1.20 on: write 10.1.2.3/32'],
    [ingress('{ fromGroups: [{ aws: {} }] }'), 'cloud groups cannot be looked up here'],
    [ingress('{ fromEndpoints: }'), 'fromEndpoints: has no value and so counts as absent'],
    [ingress('{ toPorts: [{}] }'), 'names no port and so allows or denies nothing'],
    [ingress('{ toPorts: [{ ports: [] }] }'), 'names no port and so allows or denies nothing'],
    [ingress(onPort80('rules: { http: [] }')), 'rules: has no L7 rule and so restricts nothing'],
    [ingress(onPort80('rules: {}')), 'rules: has no L7 rule and so restricts nothing'],
    [ingress(onPort80('serverNames: []')), 'serverNames: is empty and so restricts nothing'],
    [ingressDeny('{}'), 'ingressDeny[0]: selects nobody and so denies nothing'],
    [ingressDeny('{ fromEndpoints: [] }'), 'selects nobody and so denies nothing'],
    [
      ingressDeny('{ fromEntities: [], toPorts: [{ ports: [{ port: "80" }] }] }'),
      'selects nobody and so denies nothing',
    ],
    [ingress('{ fromEndpoints: [{ matchLabels: { "K8s:app": a } }] }'), 'has the source "K8s"'],
    [
      ingress('{ toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { HTTP: [{}] } }] }'),
      'the field is called http',
    ],
    [
      cnp(
        '{ endpointSelector: { matchLabels: { k8s:io.kubernetes.pod.namespace: x } }, ingress: [{}] }',
      ),
      'selects endpoints of its own namespace, shop',
    ],
    [
      egress('{ toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{}] } }] }'),
      'matches no question',
    ],
    [`${cnp('{ endpointSelector: {}, ingress: [{}] }')}description: old\n`, 'belongs in spec'],
  ])('%s', (text, part) => {
    const warnings = warningsOf(text);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(part);
  });
});

describe('a ClusterNetworkPolicy', () => {
  it('is a spec of its tier, without default deny', () => {
    const spec = specOf(
      tiers(`
  tier: Baseline
  priority: 7
  subject: { pods: { namespaceSelector: { matchLabels: { team: a } }, podSelector: { matchLabels: { app: b } } } }
  ingress:
    - { name: x, action: Pass, from: [{ namespaces: {} }] }
  egress:
    - action: Accept
      to: [{ networks: [10.0.0.0/8] }, { domainNames: [a.test, "*.b.test"] }]
      protocols:
        - tcp: { destinationPort: { range: { start: 80, end: 90 } } }
        - udp: { destinationPort: { number: 53 } }
        - sctp: {}
        - destinationNamedPort: Web
`),
    );
    expect(spec).toMatchObject({
      origin: { policy: 't', rule: '' },
      namespace: null,
      tier: 'baseline',
      priority: 7,
      enableDefaultDeny: { ingress: false, egress: false },
    });
    expect(shown(spec.subject)).toEqual([
      HAS_NAMESPACE,
      'k8s:io.cilium.k8s.namespace.labels.team in a',
      'any:app in b',
    ]);
    const [first, second] = spec.rules;
    expect(first).toMatchObject({ direction: 'ingress', action: 'pass', ports: null });
    expect(first?.peers?.map(peerText)).toEqual([HAS_NAMESPACE]);
    expect(second?.peers?.map(peerText)).toEqual(['10.0.0.0/8', 'a.test', '**.b.test']);
    expect(second?.ports?.map(({ ports }) => ports?.map(portText).join())).toEqual([
      '80-90/TCP',
      '53/UDP',
      '0/SCTP',
      'web/TCP,UDP,SCTP',
    ]);
  });
});

interface Selecting {
  readonly selector: {
    readonly requirements: readonly {
      readonly key: string;
      readonly operator: string;
      readonly values: readonly string[];
    }[];
  };
}

function shown({ selector }: Selecting): readonly string[] {
  return selector.requirements.map(({ key, operator, values }) =>
    ['in', 'not-in', 'gt', 'lt'].includes(operator)
      ? `${key} ${operator} ${values.join()}`
      : `${key} ${operator}`,
  );
}

function peerText(peer: Peer): string {
  const except = 'except' in peer ? peer.except.map(({ text }) => ` - ${text}`).join('') : '';
  switch (peer.kind) {
    case 'selector':
      return shown(peer).join('; ');
    case 'entity':
      return peer.entity;
    case 'cidr':
      return `${peer.prefix.text}${except}`;
    case 'cidr-group':
      return `group ${peer.name}${except}`;
    case 'cidr-group-selector':
      return `groups ${shown(peer).join('; ')}${except}`;
    case 'fqdn':
      return peer.matchName ?? peer.matchPattern ?? '';
    case 'nodes':
      return `nodes ${shown(peer).join('; ')}`;
    case 'service':
      return `${peer.namespace}/${peer.name ?? ''}${peer.selector === null ? '' : shown({ selector: peer.selector }).join()}`;
    case 'group':
      return peer.about;
  }
}

function portText({ port, endPort, name, protocols }: PortSelector): string {
  const range = endPort === port ? `${port}` : `${port}-${endPort}`;
  return `${name ?? range}/${protocols.join()}`;
}

function onPort80(more: string): string {
  return `{ toPorts: [{ ports: [{ port: "80", protocol: TCP }], ${more} }] }`;
}

function ingressDeny(rule: string): string {
  return cnp(`{ endpointSelector: {}, ingressDeny: [${rule}] }`);
}
