/**
 * toPorts (pkg/policy/api l4.go, l7.go and Sanitize): ports, ranges, named ports, protocols, server
 * names, TLS contexts, listeners and L7 rules.
 */
import { type Direction, PROTOCOLS, type Protocol } from '../../../model/identity.ts';
import { parseSniPattern } from '../../../policy/match/sni_pattern.ts';
import type { ListenerRef, PortSelector, PortsRule } from '../../../policy/rule.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import { checkL7, decodeL7 } from './l7_rules.ts';

/** pkg/policy/api maxPorts. */
const PORT_COUNT_MAX = 40;
const SERVER_NAME_MAX = 255;

const OTHER_PROTOCOLS = ['VRRP', 'IGMP', 'GRE', 'IPIP', 'IPV6', 'ESP', 'AH'] as const;
export interface PortsOptions {
  readonly direction: Direction;
  readonly isDeny: boolean;
  readonly isNodeSubject: boolean;
}

export function decodePortsRule(
  context: DocumentContext,
  field: Field,
  options: PortsOptions,
): PortsRule {
  const { reader } = context;
  const known = options.isDeny
    ? ['ports']
    : ['ports', 'terminatingTLS', 'originatingTLS', 'serverNames', 'listener', 'rules'];
  const fields = reader.object(field, known, { refused: deniedFields(options) });
  const portsField = fields.get('ports');
  // The agent walks the ports of each element, so one without ports says nothing at all.
  const hasPorts = portsField !== undefined && reader.list(portsField).length > 0;
  if (!hasPorts) reader.warn(field, 'names no port and so allows or denies nothing');
  const ports = portsField === undefined ? [] : decodePorts(context, portsField);
  const rule: PortsRule = {
    origin: originOf(context, field),
    ports,
    serverNames: decodeServerNames(context, fields.get('serverNames')),
    listener: decodeListener(context, fields.get('listener'), options),
    isTlsTerminated: decodeTls(context, fields.get('terminatingTLS')),
    isTlsOriginated: decodeTls(context, fields.get('originatingTLS')),
    l7: decodeL7(context, fields.get('rules')),
  };
  checkL7(context, fields.get('rules') ?? field, { rule, options });
  return rule;
}

function deniedFields(options: PortsOptions): ReadonlyMap<string, string> {
  if (!options.isDeny) return new Map();
  const refused =
    'a deny rule has ports only: L7 rules, TLS, server names and listeners cannot be denied';
  return new Map(
    ['rules', 'terminatingTLS', 'originatingTLS', 'serverNames', 'listener'].map((name) => [
      name,
      refused,
    ]),
  );
}

function decodePorts(context: DocumentContext, field: Field): PortSelector[] {
  const items = context.reader.list(field);
  if (items.length > PORT_COUNT_MAX) {
    context.reader.fail(field, `has more than ${PORT_COUNT_MAX} ports (found ${items.length})`);
  }
  return items.flatMap((item) => decodePort(context, item) ?? []);
}

function decodePort(context: DocumentContext, field: Field): PortSelector | null {
  const { reader } = context;
  const fields = reader.object(field, ['port', 'endPort', 'protocol']);
  const protocols = decodeProtocols(context, fields.get('protocol'));
  const portField = fields.get('port');
  if (protocols === null) return null;
  const text = portField === undefined ? '' : portText(context, portField);
  if (text === null) return null;
  if (protocols.length === 0) {
    if (text === '' || text === '0') return { port: 0, endPort: 0, name: null, protocols };
    return reader.fail(
      portField ?? field,
      `the protocol has no ports (found ${portField?.shown}; allowed: "0" or none)`,
    );
  }
  if (portField === undefined) return reader.fail(field, 'port is required');
  const parsed = parsePortText(text);
  if (parsed === null) {
    return reader.fail(
      portField,
      `is no port (found ${portField.shown}; allowed: "0" to "65535", or a port name of at most 15 letters, digits and "-" with at least one letter)`,
    );
  }
  const endField = fields.get('endPort');
  const endPort = endField === undefined ? 0 : reader.integer(endField, 0, 65_535);
  if (endPort === null) return null;
  if (endField !== undefined && endPort !== 0) {
    if (parsed.name !== null) return reader.fail(endField, 'a named port has no range');
    if (parsed.port === 0) return reader.fail(endField, 'port 0 means every port and has no range');
    if (endPort < parsed.port) {
      return reader.fail(endField, `must not be less than port ${parsed.port} (found ${endPort})`);
    }
  }
  return { ...parsed, endPort: endPort === 0 ? parsed.port : endPort, protocols };
}

function portText(context: DocumentContext, field: Field): string | null {
  if (typeof field.value !== 'number') return context.reader.text(field);
  return context.reader.fail(
    field,
    `must be a string, Kubernetes refuses a number here (found ${field.plain}; write it in quotes: "${field.plain}")`,
  );
}

/** A service name is a named port, also "0x10"; else strconv.ParseUint with base 0. */
function parsePortText(
  text: string,
): { readonly port: number; readonly name: string | null } | null {
  if (isServiceName(text)) return { port: 0, name: text.toLowerCase() };
  const number = parseUint(text);
  return number !== null && number <= 65_535 ? { port: number, name: null } : null;
}

/** Go's integer literals: 80, 0120, 0o120, 0x50, 0b101_0000 (the shorter ones are names by then). */
function parseUint(text: string): number | null {
  const parts = /^(0[xX]_?|0[oO]_?|0[bB]_?|0_?)?([0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)$/.exec(text);
  if (text === '0') return 0;
  if (parts === null) return null;
  const [, prefix = '', written = ''] = parts;
  const digits = written.replaceAll('_', '');
  const letter = prefix.charAt(1).toLowerCase();
  if (letter === 'x') return Number.parseInt(digits, 16);
  if (letter === 'b') return /^[01]+$/.test(digits) ? Number.parseInt(digits, 2) : null;
  if (prefix !== '') return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : null;
  return /^[0-9]+$/.test(digits) ? Number(digits) : null;
}

/** RFC 6335 5.1: at most 15 letters, digits and single hyphens inside, at least one letter. */
function isServiceName(text: string): boolean {
  return text.length <= 15 && /^[A-Za-z0-9](-?[A-Za-z0-9])*$/.test(text) && /[A-Za-z]/.test(text);
}

/** Empty for protocols of which no connection ever comes here. */
function decodeProtocols(
  context: DocumentContext,
  field: Field | undefined,
): readonly Protocol[] | null {
  if (field === undefined) return PROTOCOLS;
  const text = context.reader.text(field);
  if (text === null) return null;
  const upper = text.toUpperCase();
  if (upper === '' || upper === 'ANY') return PROTOCOLS;
  const protocol = PROTOCOLS.find((known) => known === upper);
  if (protocol !== undefined) return [protocol];
  if (OTHER_PROTOCOLS.some((known) => known === upper)) return [];
  return context.reader.fail(
    field,
    `must be one of ${[...PROTOCOLS, 'ANY', ...OTHER_PROTOCOLS].join(', ')} (found ${field.shown})`,
  );
}

function decodeServerNames(context: DocumentContext, field: Field | undefined): readonly string[] {
  if (field === undefined) return [];
  const { reader } = context;
  const items = reader.list(field);
  if (items.length === 0) reader.warn(field, 'is empty and so restricts nothing');
  return items.flatMap((item) => {
    const text = reader.text(item);
    if (text === null) return [];
    if (text !== '' && text.length <= SERVER_NAME_MAX && parseSniPattern(text) !== null)
      return [text];
    reader.fail(
      item,
      `is no server name pattern (found ${item.shown}; allowed: labels of letters, digits, "-", "_" and single "*", or "**" for whole labels)`,
    );
    return [];
  });
}

function decodeListener(
  context: DocumentContext,
  field: Field | undefined,
  options: PortsOptions,
): ListenerRef | null {
  if (field === undefined) return null;
  const { reader } = context;
  const fields = reader.object(field, ['envoyConfig', 'name', 'priority']);
  const nameField = fields.get('name');
  const name = nameField === undefined ? null : reader.text(nameField);
  if (name === null || name === '') return reader.fail(field, 'name is required');
  if (options.direction === 'ingress')
    return reader.fail(field, 'a listener is allowed on egress only');
  const priorityField = fields.get('priority');
  const priority = priorityField === undefined ? 0 : reader.integer(priorityField, 1, 100);
  const configField = fields.get('envoyConfig');
  if (configField === undefined) return reader.fail(field, 'envoyConfig is required');
  const config = reader.object(configField, ['kind', 'name']);
  const kindField = config.get('kind');
  const envoyConfigKind =
    kindField === undefined
      ? null
      : reader.oneOf(kindField, ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig']);
  if (context.namespace === null && envoyConfigKind === 'CiliumEnvoyConfig') {
    reader.fail(configField, 'a clusterwide policy can only name a CiliumClusterwideEnvoyConfig');
  }
  const configName = config.get('name');
  const envoyConfigName = configName === undefined ? null : reader.text(configName);
  if (envoyConfigName === null || envoyConfigName === '') {
    return reader.fail(configField, 'name is required');
  }
  return {
    envoyConfigKind,
    envoyConfigName,
    name,
    priority: priority ?? 0,
  };
}

/** True when a TLS context is there. */
function decodeTls(context: DocumentContext, field: Field | undefined): boolean {
  if (field === undefined) return false;
  const { reader } = context;
  const fields = reader.object(field, ['secret', 'trustedCA', 'certificate', 'privateKey']);
  for (const name of ['trustedCA', 'certificate', 'privateKey']) {
    const key = fields.get(name);
    if (key !== undefined) reader.text(key);
  }
  const secret = fields.get('secret');
  if (secret === undefined) {
    reader.fail(field, 'secret is required');
    return true;
  }
  const parts = reader.object(secret, ['namespace', 'name']);
  for (const part of parts.values()) reader.text(part);
  if (!parts.has('name') || parts.get('name')?.value === '')
    reader.fail(secret, 'name is required');
  return true;
}
