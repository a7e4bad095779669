/** The argument table of `observe`: the flags of `hubble observe`, and what only we know. */
import { TIME_FORMATS } from '../../hubble/print/time_text.ts';
import type { FlagSpec, VerbSpec } from '../args.ts';

function filter(name: string, value: string, about: string, short?: string): FlagSpec {
  return { name, value, isRepeated: true, about, ...(short === undefined ? {} : { short }) };
}

function sided(name: string, value: string, about: string, short?: string): FlagSpec[] {
  return [
    filter(`from-${name}`, value, `only flows from ${about}`),
    filter(name, value, `only flows from or to ${about}`, short),
    filter(`to-${name}`, value, `only flows to ${about}`),
  ];
}

const SELECTION: readonly FlagSpec[] = [
  { name: 'last', value: 'COUNT', about: 'the last flows that fit (20 without another choice)' },
  { name: 'first', value: 'COUNT', about: 'the first flows that fit' },
  { name: 'all', about: 'all flows that are kept' },
  { name: 'follow', short: 'f', about: 'the flows that come, too' },
  { name: 'since', value: 'TIME', about: 'not before: 10m (ago), or 2026-01-02T15:04:05Z' },
  { name: 'until', value: 'TIME', about: 'not after' },
];

const FILTERS: readonly FlagSpec[] = [
  { name: 'not', isRepeated: true, about: 'the next filter is for flows that are left out' },
  filter('uuid', 'UUID', 'the flow of this name'),
  filter('node-name', 'NAME', 'only flows of nodes such as "k8s*" or "cluster/node"'),
  filter('node-label', 'SELECTOR', 'only flows of nodes with these labels'),
  ...sided('cluster', 'NAME', 'endpoints of a cluster'),
  filter('protocol', 'NAME', 'only flows of a protocol: tcp, udp, icmp, http, dns, ...'),
  filter('tcp-flags', 'FLAGS', 'only flows with all these flags: syn,ack'),
  filter('type', 'TYPE[:SUBTYPE]', 'only events: l7, drop, policy-verdict, trace:to-endpoint', 't'),
  filter('verdict', 'VERDICT', 'only FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, ...'),
  filter('drop-reason-desc', 'REASON', 'only flows that were dropped for it: POLICY_DENIED'),
  filter('http-status', 'STATUS', 'only responses with it: 404, 5+'),
  filter('http-method', 'METHOD', 'only requests with it'),
  filter('http-path', 'PATTERN', 'only requests whose path matches an expression of RE2'),
  filter('http-url', 'PATTERN', 'only requests whose URL matches an expression of RE2'),
  filter('http-header', 'NAME:VALUE', 'only requests with this field'),
  filter('trace-id', 'ID', 'only requests of a trace'),
  filter('ip-trace-id', 'ID', 'only packets with this number'),
  ...sided('fqdn', 'NAME', 'a name such as "*.example.com"'),
  ...sided('ip', 'ADDRESS', 'an address, or a CIDR'),
  filter('snat-ip', 'ADDRESS', 'only flows whose source was translated to it'),
  { name: 'ipv4', short: '4', about: 'only flows of IPv4' },
  { name: 'ipv6', short: '6', about: 'only flows of IPv6' },
  filter('ip-version', 'VERSION', 'only flows of v4, v6 or none'),
  ...sided(
    'pod',
    '[NAMESPACE/]POD',
    'pods whose name begins with it (in default without NAMESPACE)',
  ),
  ...sided('namespace', 'NAME', 'pods of a namespace', 'n'),
  { name: 'from-all-namespaces', about: 'only flows from pods' },
  { name: 'all-namespaces', short: 'A', about: 'only flows from or to pods' },
  { name: 'to-all-namespaces', about: 'only flows to pods' },
  ...sided('label', 'SELECTOR', 'endpoints with these labels', 'l'),
  ...sided('service', '[NAMESPACE/]NAME', 'a Service'),
  ...sided('port', 'PORT', 'a port'),
  ...sided('workload', '[KIND/]NAME', 'pods of a workload'),
  ...sided('identity', 'IDENTITY', 'a number, or a word such as world'),
  filter('traffic-direction', 'DIRECTION', 'only ingress, or egress'),
  filter(
    'cel-expression',
    'EXPRESSION',
    'only flows for which it is true (a server that knows CEL)',
  ),
  filter('interface', 'NAME', 'only flows of an interface'),
  { name: 'encrypted', about: 'only flows that were encrypted' },
  { name: 'unencrypted', about: 'only flows that were not' },
  filter('allowlist', 'JSON', 'filters as --print-raw-filters prints them'),
  filter('denylist', 'JSON', 'filters of flows that are left out'),
];

const OURS: readonly FlagSpec[] = [
  { name: 'why', about: 'below each flow: which policy and rule decided, and what was missing' },
  filter('policy', '[NAMESPACE/]NAME', 'only flows that this policy decided'),
  filter('rule', 'RULE', 'only flows that this rule decided, or one below it: ingress[0]'),
  { name: 'would-deny', about: 'only flows that passed and that a policy in dry-run denies' },
];

const OUTPUT: readonly FlagSpec[] = [
  {
    name: 'output',
    short: 'o',
    value: 'FORM',
    choices: ['compact', 'dict', 'json', 'jsonpb', 'table', 'tab'],
    about: 'compact (the default), dict, json, jsonpb or table',
  },
  { name: 'print-node-name', about: 'tell the node' },
  { name: 'print-policy-names', about: 'tell which policies decided' },
  { name: 'time-format', value: 'FORMAT', choices: TIME_FORMATS, about: TIME_FORMATS.join(', ') },
  { name: 'numeric', about: 'addresses instead of names' },
  { name: 'ip-translation', isSwitchable: true, about: 'names instead of addresses (the default)' },
  {
    name: 'color',
    value: 'WHEN',
    choices: ['auto', 'always', 'never'],
    about: 'auto, always, never',
  },
  { name: 'silent-errors', short: 's', about: 'say nothing of nodes that are away' },
  { name: 'print-raw-filters', about: 'print the filters as JSON, and end' },
  { name: 'field-mask', value: 'FIELDS', isRepeated: true, about: 'only these fields; for JSON' },
  {
    name: 'use-default-field-masks',
    isSwitchable: true,
    about: 'ask for what is printed only (the default)',
  },
  { name: 'debug', short: 'D', about: 'also tell of nodes that are there' },
];

const SERVER: readonly FlagSpec[] = [
  { name: 'input-file', value: 'FILE', about: 'flows of a file instead, or of standard input: -' },
  { name: 'server', value: 'ADDRESS', about: 'unix:///path, HOST:PORT or tls://HOST:PORT' },
  { name: 'timeout', value: 'DURATION', about: 'how long the connection may take (5s)' },
  { name: 'tls', about: 'TLS' },
  { name: 'tls-allow-insecure', about: 'whoever the server is' },
  { name: 'tls-ca-cert-files', value: 'FILES', isRepeated: true, about: 'who vouches for it' },
  { name: 'tls-client-cert-file', value: 'FILE', about: 'our certificate' },
  { name: 'tls-client-key-file', value: 'FILE', about: 'its key' },
  { name: 'tls-server-name', value: 'NAME', about: 'the name in the server’s certificate' },
];

export const OBSERVE_SPEC: VerbSpec = {
  name: 'observe',
  about: 'Shows flows, with the flags of `hubble observe`',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [...SELECTION, ...FILTERS, ...OURS, ...OUTPUT, ...SERVER],
  notes: [
    'Flags of one name are alternatives; flags of several names must all fit. --not is about the next flag\n' +
      'only, and flows that all such flags fit are left out.',
    'Without --server the address is that of HUBBLE_SERVER, else localhost:4245. --input-file takes what\n' +
      '-o json prints and what an export writes.',
    'Exit code 0: the flows were shown, 1: the server or the file could not be read, 2: wrong usage.',
  ],
  examples: [
    'sallyport observe --namespace production --verdict DROPPED --why',
    'sallyport observe --server unix:///run/sallyport/hubble/hubble.sock --follow --protocol http',
    'sallyport observe --input-file flows.log --policy shop/allow-web --last 100',
  ],
};
