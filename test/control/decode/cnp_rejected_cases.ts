/** Every rejection of CiliumNetworkPolicy: where it is told, and with which words. The place of the fault is marked by "▸". */
import { ccnp, ccnpWith, cnp, cnpWith } from './decode_check.ts';

export type RejectedCase = readonly [about: string, marked: string, ...problems: string[]];

const WEB = 'ports: [{ port: "80", protocol: TCP }]';

/** By what is wrong. */
export const REJECTED_CASES: Readonly<Record<string, readonly RejectedCase[]>> = {
  'the object': [
    [
      'no kind',
      '▸apiVersion: cilium.io/v2\nmetadata: { name: p }',
      ': found no kind; allowed: CiliumNetworkPolicy',
    ],
    ['another kind, and no apiVersion', 'kind: ▸Service', 'kind: found kind "Service"'],
    [
      'no apiVersion',
      '▸kind: CiliumNetworkPolicy\nmetadata: { name: p }\nspec: { endpointSelector: {}, ingress: [{}] }',
      ': apiVersion is required (allowed: cilium.io/v2)',
    ],
    [
      'another version',
      'apiVersion: ▸cilium.io/v3\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'apiVersion: found "cilium.io/v3"; allowed: cilium.io/v2',
    ],
    [
      'no metadata',
      '▸apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec: { endpointSelector: {}, ingress: [{}] }',
      ': metadata.name is required',
    ],
    [
      'no name',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: ▸{ namespace: shop }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata: name is required',
    ],
    [
      'a misspelt namespace, which would put the policy into another one',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespce: ▸shop }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata.namespce: unknown field "namespce"; did you mean namespace?',
    ],
    [
      'a name that is a number to YAML',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: ▸12 }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata.name: must be a string (found 12; write it in quotes: "12")',
    ],
    [
      'a name that could forge a log line',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: ▸"a\\nb" }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata.name: is no name',
    ],
    [
      'neither spec nor specs',
      '▸apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }',
      ': the policy is empty: spec or specs is required',
    ],
    [
      'empty specs',
      '▸apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\nspecs: []',
      ': the policy is empty: spec or specs is required',
    ],
    [
      'an unknown field of the object',
      `${cnp('ingress: [{}]')}\nspecc: ▸{}`,
      'specc: unknown field "specc"; did you mean spec?',
    ],
    [
      'a dry-run annotation that is neither',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, annotations: { sallyport.dev/dry-run: ▸"yes" } }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata.annotations.sallyport.dev/dry-run: must be one of true, false (found "yes")',
    ],
    [
      'a dry-run annotation without quotes',
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, annotations: { sallyport.dev/dry-run: ▸true } }\nspec: { endpointSelector: {}, ingress: [{}] }',
      'metadata.annotations.sallyport.dev/dry-run: write it in quotes',
    ],
    ['a text instead of an object', '▸hello', ': is no policy (found "hello"'],
  ],
  'the rule': [
    [
      'no subject',
      cnpWith('▸ingress: [{}]'),
      'spec: exactly one of endpointSelector and nodeSelector must be given',
    ],
    [
      'two subjects',
      ccnpWith('▸endpointSelector: {}\nnodeSelector: {}\ningress: [{}]'),
      'spec: exactly one of endpointSelector and nodeSelector must be given',
    ],
    [
      'a null subject is none',
      cnpWith('▸endpointSelector:\ningress: [{}]'),
      'spec: exactly one of endpointSelector and nodeSelector must be given',
    ],
    [
      'nodeSelector in a namespaced policy',
      cnpWith('nodeSelector: ▸{}\ningress: [{}]'),
      'spec.nodeSelector: allowed in a CiliumClusterwideNetworkPolicy only',
    ],
    ['no rules', cnpWith('▸endpointSelector: {}'), 'spec: has no rules'],
    [
      'empty lists of rules are none',
      cnpWith('▸endpointSelector: {}\ningress: []\negress: []\ningressDeny: []\negressDeny: []'),
      'spec: has no rules',
    ],
    [
      'a null list of rules is none',
      cnpWith('▸endpointSelector: {}\ningress:'),
      'spec: has no rules',
    ],
    [
      'rules that are no list',
      cnpWith('▸endpointSelector: {}\ningress: ▸{}'),
      'spec.ingress: must be a list',
      'spec: has no rules',
    ],
    ['a rule that is no object', cnp('ingress: [▸x]'), 'spec.ingress[0]: must be a map'],
    [
      'an unknown field with a near match',
      cnp('ingres: ▸[{}]\negress: [{}]'),
      'spec.ingres: unknown field "ingres"; did you mean ingress?',
    ],
    [
      'an unknown field with no near match lists what is allowed',
      cnp('ingress: [{}]\nxyzzy: ▸1'),
      'spec.xyzzy: unknown field "xyzzy" (allowed: endpointSelector, nodeSelector, ingress, ',
    ],
    [
      'egress fields on ingress',
      cnp('ingress: [{ toEndpoints: ▸[{}] }]'),
      'spec.ingress[0].toEndpoints: unknown field "toEndpoints"; did you mean fromEndpoints?',
    ],
    [
      'names in other case',
      cnp('ingress: [{ fromendpoints: ▸[{}] }]'),
      'spec.ingress[0].fromendpoints: did you mean fromEndpoints?',
    ],
    [
      'enableDefaultDeny that is no boolean',
      cnp('ingress: [{}]\nenableDefaultDeny: { ingress: ▸"false" }'),
      'spec.enableDefaultDeny.ingress: must be true or false (found "false")',
    ],
    [
      'enableDefaultDeny of YAML 1.1',
      cnp('ingress: [{}]\nenableDefaultDeny: { ingress: ▸no }'),
      'spec.enableDefaultDeny.ingress: must be true or false',
    ],
    [
      'a log value of 33 characters',
      cnp(`ingress: [{}]\nlog: { value: ▸${'x'.repeat(33)} }`),
      'spec.log.value: must be at most 32 printable characters',
    ],
    [
      'a log value with a control character',
      cnp('ingress: [{}]\nlog: { value: ▸"a\\tb" }'),
      'spec.log.value: must be at most 32 printable characters',
    ],
    [
      'a description that is no text',
      cnp('ingress: [{}]\ndescription: ▸[]'),
      'spec.description: must be a string',
    ],
    [
      'authentication on a deny rule',
      cnp('ingressDeny: [{ fromEntities: [world], authentication: ▸{ mode: disabled } }]'),
      'spec.ingressDeny[0].authentication: unknown field',
    ],
    [
      'authentication that we cannot enforce',
      cnp('ingress: [{ fromEndpoints: [{}], authentication: { mode: ▸required } }]'),
      'spec.ingress[0].authentication.mode: mutual authentication cannot be enforced here',
    ],
    [
      'an unknown mode of authentication',
      cnp('ingress: [{ fromEndpoints: [{}], authentication: { mode: ▸optional } }]'),
      'spec.ingress[0].authentication.mode: must be one of disabled, required, test-always-fail',
    ],
    [
      'authentication without a mode',
      cnp('ingress: [{ fromEndpoints: [{}], authentication: ▸{} }]'),
      'spec.ingress[0].authentication: mode is required',
    ],
  ],
  peers: [
    [
      'toFQDNs beside toServices',
      cnp(
        'egress: [{ toServices: [{ k8sService: { serviceName: s } }], toFQDNs: ▸[{ matchName: a.b }] }]',
      ),
      'spec.egress[0].toFQDNs: combining toServices and toFQDNs is not supported yet',
    ],
    [
      'fromRequires',
      cnp('ingress: [{ fromRequires: ▸[{ matchLabels: { a: b } }] }]'),
      'spec.ingress[0].fromRequires: fromRequires is deprecated and was removed from Cilium in 1.19',
    ],
    [
      'toRequires',
      cnp('egress: [{ toRequires: ▸[{}] }]'),
      'spec.egress[0].toRequires: toRequires is deprecated',
    ],
    [
      'toFQDNs in a deny rule',
      cnp('egressDeny: [{ toFQDNs: ▸[{ matchName: a.b }] }]'),
      'spec.egressDeny[0].toFQDNs: names cannot be denied',
    ],
    [
      'an unknown entity',
      cnp('ingress: [{ fromEntities: [world, ▸wrld] }]'),
      'spec.ingress[0].fromEntities[1]: must be one of all, world, world-ipv4',
    ],
    [
      'an entity in other case',
      cnp('ingress: [{ fromEntities: [▸World] }]'),
      'spec.ingress[0].fromEntities[0]: must be one of',
    ],
    [
      'a peer that is no object',
      cnp('ingress: [{ fromEndpoints: [▸app] }]'),
      'spec.ingress[0].fromEndpoints[0]: must be a map',
    ],
    [
      'no CIDR',
      cnp('ingress: [{ fromCIDR: [▸10.0.0/8] }]'),
      'spec.ingress[0].fromCIDR[0]: is no CIDR (found "10.0.0/8"',
    ],
    [
      'a length that is too long',
      cnp('ingress: [{ fromCIDR: [▸10.0.0.0/33] }]'),
      'spec.ingress[0].fromCIDR[0]: is no CIDR',
    ],
    [
      'a length with a leading zero',
      cnp('ingress: [{ fromCIDR: [▸10.0.0.0/08] }]'),
      'spec.ingress[0].fromCIDR[0]: is no CIDR',
    ],
    [
      'an address with a leading zero',
      cnp('ingress: [{ fromCIDR: [▸10.010.0.0/16] }]'),
      'spec.ingress[0].fromCIDR[0]: is no CIDR',
    ],
    [
      'a zone',
      cnp('ingress: [{ fromCIDR: [▸fe80::1%eth0/64] }]'),
      'spec.ingress[0].fromCIDR[0]: is no CIDR',
    ],
    [
      'a bare address in a set',
      cnp('ingress: [{ fromCIDRSet: [{ cidr: ▸10.0.0.1 }] }]'),
      'spec.ingress[0].fromCIDRSet[0].cidr: is no CIDR',
    ],
    [
      'an exception outside',
      cnp(
        'ingress: [{ fromCIDRSet: [{ cidr: 10.0.0.0/8, except: [10.1.0.0/16, ▸11.0.0.0/16] }] }]',
      ),
      'spec.ingress[0].fromCIDRSet[0].except[1]: is not within 10.0.0.0/8',
    ],
    [
      'an exception that is wider',
      cnp('ingress: [{ fromCIDRSet: [{ cidr: 10.0.0.0/8, except: [▸0.0.0.0/0] }] }]'),
      'spec.ingress[0].fromCIDRSet[0].except[0]: is not within 10.0.0.0/8',
    ],
    [
      'an exception of the other family',
      cnp('ingress: [{ fromCIDRSet: [{ cidr: 0.0.0.0/0, except: [▸"::/0"] }] }]'),
      'spec.ingress[0].fromCIDRSet[0].except[0]: is not within 0.0.0.0/0',
    ],
    [
      'an empty CIDR rule',
      cnp('ingress: [{ fromCIDRSet: [▸{}] }]'),
      'spec.ingress[0].fromCIDRSet[0]: exactly one of cidr, cidrGroupRef and cidrGroupSelector must be given (found none)',
    ],
    [
      'two kinds in a CIDR rule',
      cnp('ingress: [{ fromCIDRSet: [▸{ cidr: 10.0.0.0/8, cidrGroupRef: g }] }]'),
      'spec.ingress[0].fromCIDRSet[0]: found cidr and cidrGroupRef',
    ],
    [
      'a name with a wrong character',
      cnp('egress: [{ toFQDNs: [{ matchName: ▸"*.example.com" }] }]'),
      'spec.egress[0].toFQDNs[0].matchName: a DNS name has only letters',
    ],
  ],
  ports: [
    [
      'a number',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: ▸80, protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].port: must be a string, Kubernetes refuses a number here (found 80; write it in quotes: "80")',
    ],
    [
      'no port',
      cnp('ingress: [{ toPorts: [{ ports: [▸{ protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0]: port is required',
    ],
    ...['65536', '-1', '8 0', '', '80.5', 'a_b', '1.e3', 'a--b', 'averylongportname'].map(
      (text): RejectedCase => [
        `port "${text}"`,
        cnp(`ingress: [{ toPorts: [{ ports: [{ port: ▸"${text}", protocol: TCP }] }] }]`),
        'spec.ingress[0].toPorts[0].ports[0].port: is no port',
      ],
    ),
    [
      'an unknown protocol',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: ▸HTTP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].protocol: must be one of TCP, UDP, SCTP, ANY',
    ],
    [
      'a portless protocol with a port',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: ▸"80", protocol: VRRP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].port: the protocol has no ports',
    ],
    [
      '41 ports',
      cnp(
        `ingress: [{ toPorts: [{ ports: ▸[${Array.from({ length: 41 }, (_, index) => `{ port: "${index + 1}" }`).join(', ')}] }] }]`,
      ),
      'spec.ingress[0].toPorts[0].ports: has more than 40 ports (found 41)',
    ],
    [
      'an end before the start',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "80", endPort: ▸79, protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].endPort: ',
    ],
    [
      'an end on a named port',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: http, endPort: ▸90, protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].endPort: ',
    ],
    [
      'an end on port 0',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "0", endPort: ▸90, protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].endPort: ',
    ],
    [
      'an end that is a text',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "80", endPort: ▸"90", protocol: TCP }] }] }]'),
      'spec.ingress[0].toPorts[0].ports[0].endPort: must be a whole number from 0 to 65535',
    ],
    ...[
      'rules: ▸{ http: [{}] }',
      'serverNames: ▸[a.b]',
      'terminatingTLS: ▸{}',
      'listener: ▸{}',
    ].map(
      (text): RejectedCase => [
        `${text} in a deny rule`,
        cnp(`ingressDeny: [{ toPorts: [{ ${WEB}, ${text} }] }]`),
        `spec.ingressDeny[0].toPorts[0].${text.slice(0, text.indexOf(':'))}: a deny rule has ports only`,
      ],
    ),
    [
      'an empty server name',
      cnp(`egress: [{ toPorts: [{ ${WEB}, serverNames: [▸""] }] }]`),
      'spec.egress[0].toPorts[0].serverNames[0]: is no server name pattern',
    ],
    ...['"***.a"', '"a..b"', '"a."', '"a b"', '".a"'].map(
      (text): RejectedCase => [
        `server name ${text}`,
        cnp(`egress: [{ toPorts: [{ ${WEB}, serverNames: [▸${text}] }] }]`),
        'spec.egress[0].toPorts[0].serverNames[0]: is no server name pattern',
      ],
    ),
    [
      'server names with L7 rules',
      cnp(`egress: [{ toPorts: [{ ${WEB}, serverNames: [a.b], rules: ▸{ http: [{}] } }] }]`),
      'spec.egress[0].toPorts[0].rules: L7 rules and serverNames need terminatingTLS',
    ],
    [
      'a listener on ingress',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, listener: ▸{ name: l, envoyConfig: { name: c } } }] }]`),
      'spec.ingress[0].toPorts[0].listener: a listener is allowed on egress only',
    ],
    [
      'a listener with L7 rules',
      cnp(
        `egress: [{ toPorts: [{ ${WEB}, listener: { name: l, envoyConfig: { name: c } }, rules: ▸{ http: [{}] } }] }]`,
      ),
      'spec.egress[0].toPorts[0].rules: L7 rules and a listener cannot stand together',
    ],
    [
      'a priority of 101',
      cnp(
        `egress: [{ toPorts: [{ ${WEB}, listener: { name: l, priority: ▸101, envoyConfig: { name: c } } }] }]`,
      ),
      'spec.egress[0].toPorts[0].listener.priority: must be a whole number from 1 to 100',
    ],
    [
      'a priority of 0',
      cnp(
        `egress: [{ toPorts: [{ ${WEB}, listener: { name: l, priority: ▸0, envoyConfig: { name: c } } }] }]`,
      ),
      'spec.egress[0].toPorts[0].listener.priority: must be a whole number from 1 to 100',
    ],
    [
      'a listener without a name',
      cnp(`egress: [{ toPorts: [{ ${WEB}, listener: ▸{ envoyConfig: { name: c } } }] }]`),
      'spec.egress[0].toPorts[0].listener: name is required',
    ],
    [
      'a clusterwide policy with a namespaced configuration',
      ccnp(
        `egress: [{ toPorts: [{ ${WEB}, listener: { name: l, envoyConfig: ▸{ kind: CiliumEnvoyConfig, name: c } } }] }]`,
      ),
      'spec.egress[0].toPorts[0].listener.envoyConfig: a clusterwide policy can only name a CiliumClusterwideEnvoyConfig',
    ],
    [
      'TLS without a secret',
      cnp(`egress: [{ toPorts: [{ ${WEB}, originatingTLS: ▸{} }] }]`),
      'spec.egress[0].toPorts[0].originatingTLS: secret is required',
    ],
  ],
  'L7 rules': [
    ...['UDP', 'SCTP', 'ANY'].map(
      (protocol): RejectedCase => [
        `HTTP over ${protocol}`,
        cnp(
          `ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: ${protocol} }], rules: ▸{ http: [{}] } }] }]`,
        ),
        'spec.ingress[0].toPorts[0].rules: HTTP rules need protocol: TCP on every port',
      ],
    ),
    [
      'HTTP without a protocol',
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "80" }], rules: ▸{ http: [{}] } }] }]'),
      'spec.ingress[0].toPorts[0].rules: HTTP rules need protocol: TCP on every port',
    ],
    [
      'HTTP on port 0',
      cnp(
        'ingress: [{ toPorts: [{ ports: [{ port: "0", protocol: TCP }], rules: ▸{ http: [{}] } }] }]',
      ),
      'spec.ingress[0].toPorts[0].rules: L7 rules cannot be on port 0',
    ],
    [
      'DNS on ingress',
      cnp(
        'ingress: [{ toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: ▸{ dns: [{ matchPattern: "*" }] } }] }]',
      ),
      'spec.ingress[0].toPorts[0].rules: DNS rules are allowed on egress only',
    ],
    [
      'DNS on a range',
      cnp(
        'egress: [{ toPorts: [{ ports: [{ port: "53", endPort: 54, protocol: UDP }], rules: ▸{ dns: [{ matchPattern: "*" }] } }] }]',
      ),
      'spec.egress[0].toPorts[0].rules: DNS rules cannot be on a port range',
    ],
    [
      'DNS over SCTP',
      cnp(
        'egress: [{ toPorts: [{ ports: [{ port: "53", protocol: SCTP }], rules: ▸{ dns: [{ matchPattern: "*" }] } }] }]',
      ),
      'spec.egress[0].toPorts[0].rules: DNS rules need protocol TCP, UDP or ANY',
    ],
    [
      'DNS with an empty list of ports',
      cnp('egress: [{ toPorts: [{ ports: [], rules: ▸{ dns: [{ matchPattern: "*" }] } }] }]'),
      'spec.egress[0].toPorts[0].rules: DNS rules need at least one port',
    ],
    [
      'two kinds',
      cnp(
        `egress: [{ toPorts: [{ ${WEB}, rules: ▸{ http: [{}], dns: [{ matchPattern: "*" }] } }] }]`,
      ),
      'spec.egress[0].toPorts[0].rules: more than one kind of L7 rules (found http and dns)',
    ],
    ...[
      ['kafka: ▸[{ topic: t }]', 'Kafka rules left Cilium'],
      ['l7proto: ▸r2d2', 'L7 rules of other parsers left Cilium'],
      ['l7: ▸[{}]', 'L7 rules of other parsers left Cilium'],
    ].map(
      ([text = '', message = '']): RejectedCase => [
        text,
        cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { ${text} } }] }]`),
        `spec.ingress[0].toPorts[0].rules.${text.slice(0, text.indexOf(':'))}: ${message}`,
      ],
    ),
    [
      'a DNS pattern with a wrong character',
      cnp(
        'egress: [{ toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{ matchPattern: ▸"a b" }] } }] }]',
      ),
      'spec.egress[0].toPorts[0].rules.dns[0].matchPattern: a DNS pattern has only letters',
    ],
    [
      'a path that RE2 refuses',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ path: ▸"/(a" }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].path: is no RE2 pattern',
    ],
    [
      'a lookahead, which only other engines have',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ path: ▸"/(?!admin).*" }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].path: is no RE2 pattern',
    ],
    [
      'a method that RE2 refuses',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ method: ▸"*" }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].method: is no RE2 pattern',
    ],
    [
      'a host that RE2 refuses: Envoy would refuse the whole update',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ host: ▸"*.a" }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].host: is no RE2 pattern',
    ],
    [
      'an unquoted method that is a boolean to kubectl',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ method: ▸on }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].method: write it in quotes: "on"',
    ],
    [
      'an unknown field of a rule',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: [{ paths: ▸/a }] } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http[0].paths: did you mean path?',
    ],
    [
      'one rule instead of a list',
      cnp(`ingress: [{ toPorts: [{ ${WEB}, rules: { http: ▸{ path: /a } } }] }]`),
      'spec.ingress[0].toPorts[0].rules.http: must be a list (found a map)',
    ],
    [
      'HTTP on a host policy',
      ccnpWith(`nodeSelector: {}\ningress: [{ toPorts: [{ ${WEB}, rules: ▸{ http: [{}] } }] }]`),
      'spec.ingress[0].toPorts[0].rules: L7 rules are not supported on host policies',
    ],
  ],
  icmps: [
    [
      'beside toPorts',
      cnp(`ingress: [{ toPorts: [{ ${WEB} }], icmps: ▸[{ fields: [{ type: 8 }] }] }]`),
      'spec.ingress[0].icmps: toPorts and icmps cannot stand together',
    ],
    [
      'a type of 256',
      cnp('ingress: [{ icmps: [{ fields: [{ type: ▸256 }] }] }]'),
      'spec.ingress[0].icmps[0].fields[0].type: must be a whole number from 0 to 255',
    ],
    [
      'a name of the other family',
      cnp('ingress: [{ icmps: [{ fields: [{ type: ▸PacketTooBig, family: IPv4 }] }] }]'),
      'spec.ingress[0].icmps[0].fields[0].type: is no IPv4 message type',
    ],
    [
      'no type',
      cnp('ingress: [{ icmps: [{ fields: [▸{ family: IPv6 }] }] }]'),
      'spec.ingress[0].icmps[0].fields[0]: type is required',
    ],
    [
      'another family',
      cnp('ingress: [{ icmps: [{ fields: [{ family: ▸IPv5, type: 8 }] }] }]'),
      'spec.ingress[0].icmps[0].fields[0].family: must be one of IPv4, IPv6',
    ],
    [
      '41 fields',
      cnp(
        `ingress: [{ icmps: [{ fields: ▸[${Array.from({ length: 41 }, () => '{ type: 8 }').join(', ')}] }] }]`,
      ),
      'spec.ingress[0].icmps[0].fields: has more than 40 fields (found 41)',
    ],
  ],
};
