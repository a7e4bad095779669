/**
 * Every field of the configuration file: its type, range, default and meaning. The decoder, the JSON
 * Schema, the names of the environment's variables and the reference all come from here.
 */

import type { SocketAddress } from '../model/address.ts';
import { UNDERSCORE_ACTIONS } from '../model/field_alias.ts';
import { INVALID_POLICY } from '../model/invalid_policy.ts';
import { LIMITS, type LimitSpec, type Limits } from '../model/limits.ts';
import { LOG_LEVELS } from '../model/log_level.ts';
import { PATH_PARAMETER_ACTIONS } from '../model/path_parameters.ts';
import type { DestinationOption, IdentityOption, UpstreamOption } from '../proxy/plane/options.ts';
import { DNS_REFUSALS, IDENTITY_SOURCE_NAMES, LISTENER_PROTOCOLS } from '../proxy/plane/options.ts';
import {
  absentAsNull,
  type Field,
  list,
  type Member,
  mapping,
  optional,
  required,
} from './field.ts';
import { hubbleFields } from './hubble_fields.ts';
import { kubernetesFields } from './kubernetes_fields.ts';
import type { Located } from './located.ts';
import { redirectFields } from './redirect_fields.ts';
import {
  choiceField,
  eitherField,
  fractionField,
  integerField,
  mapped,
  pathField,
  prefixField,
  quantityField,
  socketAddressField,
  switchField,
  textField,
} from './scalar_fields.ts';

export type AdminAddress =
  | { readonly kind: 'none' }
  | { readonly kind: 'tcp'; readonly address: SocketAddress }
  | { readonly kind: 'unix'; readonly path: string };

export type AccessLogTarget =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly path: string };

/** Workers above this are no use on any machine, and each costs memory. */
const WORKER_COUNT_MAX = 256;
const PROXY_ID_MAX = 0xffff;
const IDENTITY_MAX = 0xffff_ffff;

const accessLog = mapping({
  to: optional(
    accessLogTargetField(),
    'Where records go: stdout, none, or a file that lines are appended to.',
    'stdout',
  ),
  headers: optional(
    list(fieldNameField(), { countMin: 0 }),
    'Names of request fields whose values are logged, in lower case; no other field is logged.',
    [],
  ),
  query: optional(switchField(), 'Log the query of the request target too.', false),
  allowSampling: optional(
    fractionField({ min: 0, max: 1 }),
    'Share of allowed requests that are logged; denials and errors always are.',
    1,
  ),
});

const denial = mapping({
  status: optional(
    integerField({ min: 400, max: 599 }),
    'HTTP status of the reply to a denied request.',
    403,
  ),
  body: optional(
    textField(/^[^\u0000]{0,4096}$/s, 'a text of at most 4096 characters'),
    'Content of that reply; CRLF is appended unless it ends with one.',
    'Access denied\r\n',
  ),
  contentType: optional(
    textField(/^[!-~]([ -~]{0,126}[!-~])?$/, 'a media type'),
    'The content-type of that reply.',
    'text/plain',
  ),
  showReason: optional(
    switchField(),
    'Name policy and reason in a proxy-status field (RFC 9209). This tells clients about the rules.',
    false,
  ),
});

const behaviour = mapping({
  dryRun: optional(switchField(), 'Judge, log and count, but let denied requests through.', false),
  http10: optional(switchField(), 'Serve HTTP/1.0 requests instead of refusing them (426).', false),
  trailers: optional(switchField(), 'Forward trailer fields instead of dropping them.', false),
  underscoreFields: optional(
    choiceField(UNDERSCORE_ACTIONS),
    'Request fields with "_" in their name, which servers of the CGI family treat like those with "-": allow, drop, or refuse the request (400). A rule that changes a field removes its other spellings in any case.',
    'allow',
  ),
  upgrades: optional(
    list(upgradeField(), { countMin: 0 }),
    'Protocols to which HTTP/1.1 may switch (Upgrade): websocket, SPDY/3.1 (kubectl exec), tcp (docker exec), ... The request is judged, then the connection is a tunnel. A request for any other protocol gets 403. A request for h2c or TLS is served as plain HTTP/1.1.',
    ['websocket'],
  ),
  pathNormalisation: optional(
    switchField(),
    'Normalise request paths (RFC 3986, merged slashes, %2F and %5C redirected) before judging, as Cilium does.',
    true,
  ),
  pathParameters: optional(
    choiceField(PATH_PARAMETER_ACTIONS),
    'Path parameters (";x=1" in any segment), which rules see but servers such as Tomcat cut off: keep, or refuse the request (400). "..;" is refused in any case.',
    'keep',
  ),
  denial: optional(denial, 'The reply to a denied request.', {}),
});

const listener = mapping({
  name: required(
    textField(
      /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
      'a name of letters, digits, ".", "_" and "-"',
    ),
    'Name in logs and metrics; unique.',
  ),
  protocol: optional(
    choiceField(LISTENER_PROTOCOLS),
    'What clients speak: http (with gRPC, WebSocket and TLS that is passed through), or dns, by UDP and TCP on the same port, judged by rules.dns.',
    'http',
  ),
  address: required(
    socketAddressField({ allowPortZero: true }),
    'Address to listen on. With port 0, the log line "ready" has the port that was bound.',
  ),
  direction: required(
    choiceField(['ingress', 'egress', 'by-record']),
    'Relative to the endpoint whose policy applies: ingress judges connections to it, egress judges connections from it. With by-record, the kernel’s record of a redirected connection decides (both, if both sides are endpoints of this node).',
  ),
  transparent: optional(
    switchField(),
    'Accept connections to addresses that are not this machine’s (IP_TRANSPARENT), and connect from the clients’ addresses. Always on with by-record. Needs CAP_NET_RAW.',
    false,
  ),
  reusePort: optional(
    switchField(),
    'Share the port with another proxy of the same user, so that the next version can start beside this one (SO_REUSEPORT). Off by default, because two proxies started by mistake would each judge a part of the connections.',
    false,
  ),
  clientAddress: optional(
    choiceField(['always', 'endpoints']),
    'With by-record, which address upstreams see: always the client’s; or, with endpoints, the node’s address for every upstream that is not an endpoint (for nodes that masquerade outgoing traffic). Programs of the node itself always see the node’s address.',
    'always',
  ),
  proxyId: optional(
    integerField({ min: 0, max: PROXY_ID_MAX }),
    'Id by which policies can name this listener, so that only it serves them; 0 means none.',
    0,
  ),
  destination: optional(
    destinationField(),
    'The original destination: a fixed address, local-address (the accepted socket’s own, for TPROXY and bpf_sk_assign), or proxy-protocol (PROXY v1 or v2, then required on every connection).',
    'local-address',
  ),
  trustedProxies: optional(
    list(prefixField(), { countMin: 0 }),
    'With proxy-protocol, addresses and CIDRs that may send the header, and with it name the client. Required unless the listener is on a loopback address; empty means everybody who reaches it.',
    [],
  ),
  upstream: optional(
    upstreamField(),
    'Where allowed requests go: a fixed address or original-destination.',
    'original-destination',
  ),
  identity: optional(
    identityField(),
    'The remote’s security identity: a fixed number, or a list of sources that are asked in order. When no source knows the address, the identity is 2 (world).',
    ['endpoints'],
  ),
});

const dns = mapping({
  refusal: optional(
    choiceField(DNS_REFUSALS),
    'The answer to a question that policy denies. Resolvers of musl take refused for a failure of the whole lookup; nxdomain lets them go on with their search list, and says that a name is not there although it may be.',
    'refused',
  ),
  varyCase: optional(
    switchField(),
    'Questions go to their server by UDP with letters that are large or small by chance (0x20), and an answer counts only with the same ones. For servers behind which something breaks on large letters: false.',
    true,
  ),
  neverLearned: optional(
    list(prefixField(), { countMin: 0 }),
    'Addresses and CIDRs that no answer gives to a name (toFQDNs): ranges of pods and Services, where endpoints and Services alone do not tell them, and all else inside that no name of the world should lead to. Under Kubernetes the podCIDRs of nodes count without being named here.',
    [],
  ),
});

const cilium = mapping({
  root: optional(
    pathField(),
    'The bpffs on which Cilium’s agent pins its maps, in tc/globals.',
    '/sys/fs/bpf',
  ),
  ipcache: optional(
    textField(/^[A-Za-z0-9_]{1,64}$/, 'a name of letters, digits and "_"'),
    'Name of the pin of the agent’s ipcache; auto means the newest one (cilium_ipcache, cilium_ipcache_v2, ...).',
    'auto',
  ),
  agent: optional(
    pathField(),
    'Where Cilium’s agent keeps its socket and the number of its process, by which we see that it runs on this node.',
    '/var/run/cilium',
  ),
  beside: optional(
    choiceField(['refuse', 'chain']),
    'On a node where Cilium’s agent runs, `kubernetes` and `sallyport redirect` refuse to start; or, with chain, they enforce policy beside it.',
    'refuse',
  ),
});

export const CONFIG_FIELD = mapping({
  admin: optional(
    adminField(),
    'Address of the admin server (health, metrics, policies, explain, drain): 127.0.0.1:9901, unix:/path or none.',
    'none',
  ),
  adminAllowRemote: optional(
    switchField(),
    'Let the admin server bind an address that other machines can reach. It has no authentication.',
    false,
  ),
  workers: absentAsNull(
    integerField({ min: 1, max: WORKER_COUNT_MAX }),
    'Number of data-plane worker processes; by default one for each core.',
  ),
  logLevel: optional(choiceField(LOG_LEVELS), 'Least severe level that is logged.', 'info'),
  accessLog: optional(accessLog, 'One record for each request.', {}),
  policies: optional(
    list(pathField(), { countMin: 0 }),
    'Policy files and directories (with the directories below them). They are watched. Without any policy everything is denied.',
    [],
  ),
  allowEmptyPolicySet: optional(
    switchField(),
    'Without any policy, leave every endpoint open, as Cilium does. Off by default, because an empty set may be a folder that failed to mount. When policy comes from `kubernetes` alone, it is always so: the API says that there is none.',
    false,
  ),
  invalidPolicy: optional(
    choiceField(INVALID_POLICY),
    'For sources in which each policy is refused alone (an API, not files): what becomes of what a refused policy selects that never had a good form. absent: nothing, as under Cilium; deny: default deny.',
    'absent',
  ),
  stateDir: absentAsNull(
    pathField(),
    'Folder for the last good policy set, readable by its owner only and used by one proxy at a time. A start with bad files, or without the API server of `kubernetes`, enforces that set, or denies everything when there is none. Without this field a start with bad files fails.',
  ),
  endpoints: absentAsNull(
    pathField(),
    'Endpoints file: endpoints, labels, addresses, identities, CIDRs; watched.',
  ),
  secrets: absentAsNull(
    pathField(),
    'Secrets file (name to value) for header matches with secrets; watched.',
  ),
  enableNodeSelectorLabels: optional(
    switchField(),
    'Allow fromNodes and toNodes, and know other nodes by their labels, like Cilium’s option of the same name. When off, such a policy is refused, as in Cilium.',
    false,
  ),
  kubernetes: absentAsNull(
    kubernetesFields,
    'Read policies, endpoints, identities and services from the API of a Kubernetes cluster; present and empty is enough. Files may add to them.',
  ),
  behaviour: optional(behaviour, 'How requests are handled, apart from policy.', {}),
  dns: optional(dns, 'How listeners with protocol: dns answer.', {}),
  cilium: optional(
    cilium,
    'Cilium on this node: its maps, for listeners with the identity sources bpf-conntrack and bpf-ipcache, and its agent.',
    {},
  ),
  hubble: optional(
    hubbleFields,
    'Flows for who uses Cilium’s Hubble. Nothing is on by default.',
    {},
  ),
  redirect: optional(redirectFields, 'What `sallyport redirect` sets up in the kernel.', {}),
  limits: optional(mapping(limitMembers()), 'Every bound and every time-out.', {}),
  listeners: required(
    list(listener, { countMin: 1 }),
    'Sockets that accept connections; at least one.',
  ),
});

/** What `CONFIG_FIELD.decode` gives. */
export type ConfigValues = Exclude<ReturnType<typeof CONFIG_FIELD.decode>, symbol>;

function limitMembers(): { readonly [Name in keyof Limits]: Member<number> } {
  const members = Object.entries(LIMITS).map(([name, spec]) => [name, limitMember(name, spec)]);
  return Object.fromEntries(members) as { readonly [Name in keyof Limits]: Member<number> };
}

function limitMember(name: string, spec: LimitSpec): Member<number> {
  const about = `${spec.about.charAt(0).toUpperCase()}${spec.about.slice(1)}.`;
  if (name.endsWith('Ms'))
    return optional(quantityField(spec, 'milliseconds'), about, spec.default);
  if (name.includes('Bytes')) return optional(quantityField(spec, 'bytes'), about, spec.default);
  return optional(integerField(spec), about, spec.default);
}

function upgradeField(): Field<string> {
  const form =
    /^(?![Hh]2[Cc]?(\/|$)|[Hh][Tt]{2}[Pp](\/|$)|[Tt][Ll][Ss](\/|$))[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(\/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32})?$/;
  const about = 'a protocol such as websocket or SPDY/3.1, but not h2c, HTTP or TLS';
  return mapped(textField(form, about), (text) => text.toLowerCase());
}

function fieldNameField(): Field<string> {
  return textField(/^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/, 'a field name in lower case');
}

function accessLogTargetField(): Field<AccessLogTarget> {
  return eitherField<AccessLogTarget>([
    {
      isMeant: (located) => located.value === 'stdout' || located.value === 'none',
      field: mapped(choiceField(['stdout', 'none']), (kind) => ({ kind })),
    },
    { isMeant: always, field: mapped(pathField(), (path) => ({ kind: 'file', path })) },
  ]);
}

function adminField(): Field<AdminAddress> {
  return eitherField<AdminAddress>([
    {
      isMeant: (located) => located.value === 'none',
      field: mapped(choiceField(['none']), (kind) => ({ kind })),
    },
    {
      isMeant: (located) => /^unix:/.test(String(located.value)),
      field: mapped(
        textField(/^unix:\/[^\u0000]{1,100}$/, 'unix:/path (a path of at most 100 characters)'),
        (text) => ({
          kind: 'unix',
          path: text.slice('unix:'.length),
        }),
      ),
    },
    {
      isMeant: always,
      field: mapped(socketAddressField({ allowPortZero: true }), (address) => ({
        kind: 'tcp',
        address,
      })),
    },
  ]);
}

function destinationField(): Field<DestinationOption> {
  const keywords = ['local-address', 'proxy-protocol'] as const;
  return eitherField<DestinationOption>([
    {
      isMeant: isOneOf(keywords),
      field: mapped(choiceField(keywords), (kind) => ({ kind })),
    },
    { isMeant: isAddressLike, field: fixedAddressField() },
  ]);
}

function upstreamField(): Field<UpstreamOption> {
  const keywords = ['original-destination'] as const;
  return eitherField<UpstreamOption>([
    {
      isMeant: isOneOf(keywords),
      field: mapped(choiceField(keywords), (kind) => ({ kind })),
    },
    { isMeant: isAddressLike, field: fixedAddressField() },
  ]);
}

function identityField(): Field<IdentityOption> {
  const source = choiceField(IDENTITY_SOURCE_NAMES);
  return eitherField<IdentityOption>([
    {
      isMeant: (located) => Array.isArray(located.value),
      field: mapped(list(source, { countMin: 1 }), (sources) => ({ kind: 'sources', sources })),
    },
    {
      isMeant: always,
      field: mapped(integerField({ min: 0, max: IDENTITY_MAX }), (value) => ({
        kind: 'fixed',
        // integerField has checked the range, which is all that parseIdentity asks.
        identity: value as Extract<IdentityOption, { kind: 'fixed' }>['identity'],
      })),
    },
  ]);
}

function fixedAddressField(): Field<{ readonly kind: 'fixed'; readonly address: SocketAddress }> {
  return mapped(socketAddressField({ allowPortZero: false }), (address) => ({
    kind: 'fixed',
    address,
  }));
}

function isOneOf(words: readonly string[]): (located: Located) => boolean {
  return ({ value }) => words.some((word) => word === value);
}

/** A misspelt keyword is none, nor is an address without its port: what is said of those names all that can be meant. */
function isAddressLike({ value }: Located): boolean {
  return typeof value === 'string' && value.includes(':');
}

function always(): boolean {
  return true;
}
