/**
 * cilium.NetworkPolicy (npds.proto) in proto3 JSON → EndpointPolicy. All or nothing, with the words of
 * cilium/proxy where it rejects. What only other parsers could enforce is a problem, never ignored.
 */
import { parseIp } from '../../../model/address.ts';
import { type Identity, type Protocol, parseIdentity } from '../../../model/identity.ts';
import {
  type EndpointPolicy,
  type HttpRule,
  type L7Rules,
  NO_L7,
  type PortPolicy,
  type PortRule,
  type RuleVerdict,
} from '../../../policy/ast.ts';
import { parseSniPattern } from '../../../policy/match/sni_pattern.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import type { Fields } from '../object_reader.ts';
import {
  wireBoolean,
  wireEnum,
  wireInteger,
  wireList,
  wireNumber,
  wireObject,
  wireText,
  written,
} from './wire_fields.ts';
import { decodeWireHeaderMatch, decodeWireMatcher } from './wire_matchers.ts';

/** What older agents still send; it says nothing about verdicts. */
const IGNORED_FIELDS = ['policy', 'conntrack_map_name', 'name'] as const;

const POLICY_FIELDS = [
  '@type',
  'endpoint_ips',
  'endpoint_id',
  'ingress_per_port_policies',
  'egress_per_port_policies',
  ...IGNORED_FIELDS,
] as const;

const UINT32_MAX = 0xffff_ffff;
const ENDPOINT_IPS_MAX = 2;
const TLS_FIELDS = [
  'trusted_ca',
  'certificate_chain',
  'private_key',
  'server_names',
  'validation_context_sds_secret',
  'tls_sds_secret',
  'alpn_protocols',
] as const;

const WIRE_PROTOCOLS = [
  ['TCP', 'TCP'],
  ['UDP', 'UDP'],
] as const satisfies readonly (readonly [string, Protocol])[];

const TYPE_URL = 'type.googleapis.com/cilium.NetworkPolicy';

export function isWirePolicy(fields: Fields): boolean {
  return (
    fields.has('endpoint_ips') ||
    fields.has('endpointIps') ||
    fields.get('@type')?.value === TYPE_URL
  );
}

/** `context.policy` is replaced by "npds/<endpoint id>". */
export function decodeWirePolicy(context: DocumentContext, field: Field): EndpointPolicy | null {
  const { reader } = context;
  const fields = wireObject(context, field, POLICY_FIELDS);
  const type = fields.get('@type');
  if (type !== undefined) reader.oneOf(type, [TYPE_URL]);
  for (const name of IGNORED_FIELDS) {
    const ignored = fields.get(name);
    if (ignored !== undefined) reader.warn(ignored, 'left npds.proto: it is ignored');
  }
  const endpointId = wireInteger(context, fields.get('endpoint_id'), Number.MAX_SAFE_INTEGER);
  const own = { ...context, policy: `npds/${endpointId}` };
  if (endpointId === 0)
    reader.fail(fields.get('endpoint_id') ?? field, 'endpoint_id must not be 0');
  const endpointIps = decodeIps(own, field, fields);
  return {
    name: own.policy,
    endpointIps,
    endpointId,
    ingress: decodePortPolicies(own, fields.get('ingress_per_port_policies')),
    egress: decodePortPolicies(own, fields.get('egress_per_port_policies')),
  };
}

function decodeIps(context: DocumentContext, field: Field, fields: Fields): readonly string[] {
  const { reader } = context;
  const items = wireList(context, fields.get('endpoint_ips'));
  if (items.length === 0 || items.length > ENDPOINT_IPS_MAX) {
    reader.fail(
      fields.get('endpoint_ips') ?? field,
      `endpoint_ips must have 1 to ${ENDPOINT_IPS_MAX} addresses`,
    );
  }
  return items.flatMap((item) => {
    const text = reader.text(item);
    if (text === null) return [];
    const ip = parseIp(text);
    if (ip === null) return reader.fail(item, `is no IP address (found ${item.shown})`) ?? [];
    return [ip.text];
  });
}

function decodePortPolicies(
  context: DocumentContext,
  field: Field | undefined,
): readonly PortPolicy[] {
  return wireList(context, field).map((item) => {
    const fields = wireObject(context, item, ['port', 'end_port', 'protocol', 'rules']);
    const port = wireInteger(context, fields.get('port'), 65_535);
    const endPort = wireInteger(context, fields.get('end_port'), 65_535);
    if (endPort !== 0 && port === 0) {
      context.reader.fail(
        item,
        `PortNetworkPolicy: Invalid port range including the wildcard zero port 0-${endPort}`,
      );
    } else if (endPort !== 0 && endPort < port) {
      context.reader.fail(
        item,
        `PortNetworkPolicy: Invalid port range, end port is less than start port ${port}-${endPort}`,
      );
    }
    return {
      port,
      endPort: endPort === 0 ? port : endPort,
      protocol: wireEnum(context, fields.get('protocol'), WIRE_PROTOCOLS),
      rules: wireList(context, fields.get('rules')).map((rule) => decodeRule(context, rule)),
    };
  });
}

const RULE_FIELDS = [
  'precedence',
  'pass_precedence',
  'deny',
  'proxy_id',
  'name',
  'remote_policies',
  'downstream_tls_context',
  'upstream_tls_context',
  'server_names',
  'l7_proto',
  'http_rules',
  'kafka_rules',
  'l7_rules',
] as const;

function decodeRule(context: DocumentContext, field: Field): PortRule {
  const fields = wireObject(context, field, RULE_FIELDS);
  for (const name of ['downstream_tls_context', 'upstream_tls_context']) {
    const tls = fields.get(name);
    if (tls !== undefined) checkTls(context, tls);
  }
  const name = wireText(context, fields.get('name'));
  const origin = originOf(context, field);
  return {
    precedence: wireInteger(context, fields.get('precedence'), UINT32_MAX),
    verdict: decodeVerdict(context, field, fields),
    proxyId: wireInteger(context, fields.get('proxy_id'), 65_535),
    origin: name === '' ? origin : { policy: origin.policy, rule: `${origin.rule} (${name})` },
    remotes: decodeRemotes(context, fields.get('remote_policies')),
    serverNames: decodeServerNames(context, fields.get('server_names')),
    l7: decodeL7(context, field, fields),
  };
}

/** TLS is not terminated here; a context still has to be one. */
function checkTls(context: DocumentContext, field: Field): void {
  for (const [name, value] of wireObject(context, field, TLS_FIELDS)) {
    if (name === 'server_names' || name === 'alpn_protocols') context.reader.texts(value);
    else context.reader.text(value);
  }
}

/** `deny` and `pass_precedence` are one oneof; false and 0 mean allow. */
function decodeVerdict(context: DocumentContext, field: Field, fields: Fields): RuleVerdict {
  if (fields.has('deny') && fields.has('pass_precedence')) {
    context.reader.fail(field, 'deny and pass_precedence exclude each other');
  }
  const passPrecedence = wireInteger(context, fields.get('pass_precedence'), UINT32_MAX);
  if (passPrecedence !== 0) return { kind: 'pass', passPrecedence };
  return wireBoolean(context, fields.get('deny')) ? { kind: 'deny' } : { kind: 'allow' };
}

/** Empty = any remote (npds.proto). */
function decodeRemotes(
  context: DocumentContext,
  field: Field | undefined,
): ReadonlySet<Identity> | null {
  const items = wireList(context, field);
  if (items.length === 0) return null;
  return new Set(
    items.flatMap((item) => {
      const identity = parseIdentity(wireNumber(item));
      if (identity !== null) return [identity];
      context.reader.fail(
        item,
        `is no identity (found ${written(item)}; allowed: 0 to ${UINT32_MAX})`,
      );
      return [];
    }),
  );
}

function decodeServerNames(context: DocumentContext, field: Field | undefined): readonly string[] {
  return wireList(context, field).flatMap((item) => {
    const text = context.reader.text(item);
    if (text === null) return [];
    if (parseSniPattern(text) === null) {
      context.reader.fail(item, `SniPattern: Unsupported match pattern ${text}`);
    }
    return [text];
  });
}

function decodeL7(context: DocumentContext, field: Field, fields: Fields): L7Rules {
  const { reader } = context;
  for (const name of ['kafka_rules', 'l7_rules', 'l7_proto']) {
    const other = fields.get(name);
    if (other === undefined || (name === 'l7_proto' && other.value === '')) continue;
    reader.fail(
      other,
      `${name} cannot be enforced here: Kafka and other parsers left Cilium in 1.20`,
    );
  }
  const http = fields.get('http_rules');
  if (http === undefined) return NO_L7;
  const rules = wireList(context, wireObject(context, http, ['http_rules']).get('http_rules'));
  if (rules.length === 0) reader.fail(field, 'http_rules must have at least one rule');
  return { kind: 'http', rules: rules.map((rule) => decodeHttpRule(context, rule)) };
}

function decodeHttpRule(context: DocumentContext, field: Field): HttpRule {
  const fields = wireObject(context, field, ['headers', 'header_matches']);
  return {
    origin: originOf(context, field),
    matchers: wireList(context, fields.get('headers')).flatMap(
      (item) => decodeWireMatcher(context, item) ?? [],
    ),
    headerMatches: wireList(context, fields.get('header_matches')).flatMap(
      (item) => decodeWireHeaderMatch(context, item) ?? [],
    ),
  };
}
