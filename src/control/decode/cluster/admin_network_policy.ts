/**
 * policy.networking.k8s.io AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1) → one PolicySpec, as the
 * Kubernetes API defines them: what ClusterNetworkPolicy took the place of. Cilium never had them.
 */
import { PROTOCOLS, type Protocol } from '../../../model/identity.ts';
import type { PolicySpec, PortSelector } from '../../../policy/rule.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import type { Fields, ObjectReader } from '../object_reader.ts';
import { decodeSubject, decodeTierRules, PRIORITY_MAX, type TierDialect } from './tier_rules.ts';

interface AdminPolicyOptions {
  readonly root: Field;
  /** `metadata.name`. */
  readonly name: string;
  readonly isBaseline: boolean;
  readonly isDryRun: boolean;
}

export function decodeAdminNetworkPolicy(
  context: DocumentContext,
  document: Fields,
  options: AdminPolicyOptions,
): PolicySpec | null {
  const { reader } = context;
  const { root, name, isBaseline, isDryRun } = options;
  const spec = document.get('spec');
  if (spec === undefined) return reader.fail(root, 'spec is required');
  if (isBaseline && name !== 'default' && context.options.isApiServerChecked === true) {
    const message = `the API server takes one of this kind only, with the name default (found "${name}")`;
    reader.warn(root, message, 'api-server-refuses');
  }
  const known = ['subject', 'ingress', 'egress'];
  const fields = reader.object(spec, isBaseline ? known : ['priority', ...known]);
  const priority = isBaseline ? 0 : priorityOf(reader, spec, fields.get('priority'));
  const subject = decodeSubject(context, spec, fields.get('subject'));
  const rules = decodeTierRules(context, fields, isBaseline ? BASELINE : ADMIN);
  if (priority === null || subject === null) return null;
  return {
    origin: originOf(context, spec),
    namespace: null,
    isDryRun,
    subject: { kind: 'endpoints', selector: subject },
    tier: isBaseline ? 'baseline' : 'admin',
    priority,
    // Tiers say nothing about traffic that none of their rules names.
    enableDefaultDeny: { ingress: false, egress: false },
    rules,
  };
}

function priorityOf(reader: ObjectReader, spec: Field, field: Field | undefined): number | null {
  if (field === undefined) return reader.fail(spec, 'priority is required');
  return reader.integer(field, 0, PRIORITY_MAX);
}

function decodePorts(context: DocumentContext, item: Field): readonly PortSelector[] {
  const { reader } = context;
  const fields = reader.object(item, ['portNumber', 'portRange', 'namedPort']);
  if (fields.size !== 1) {
    reader.fail(item, 'exactly one of portNumber, portRange and namedPort must be given');
  }
  return [...fields].flatMap(([kind, field]) => {
    if (kind === 'namedPort') return namedPort(reader, field);
    return kind === 'portNumber' ? portNumber(reader, field) : portRange(reader, field);
  });
}

/** Of any protocol: the name says which. */
function namedPort(reader: ObjectReader, field: Field): readonly PortSelector[] {
  const text = reader.text(field);
  if (text === '') return reader.fail(field, 'must not be empty') ?? [];
  if (text === null) return [];
  return [{ port: 0, endPort: 0, name: text.toLowerCase(), protocols: [...PROTOCOLS] }];
}

function portNumber(reader: ObjectReader, field: Field): readonly PortSelector[] {
  const fields = reader.object(field, ['protocol', 'port']);
  const port = portOf(reader, field, { name: 'port', fields });
  const protocol = protocolOf(reader, fields.get('protocol'));
  if (port === null || protocol === null) return [];
  return [{ port, endPort: port, name: null, protocols: [protocol] }];
}

function portRange(reader: ObjectReader, field: Field): readonly PortSelector[] {
  const fields = reader.object(field, ['protocol', 'start', 'end']);
  const port = portOf(reader, field, { name: 'start', fields });
  const endPort = portOf(reader, field, { name: 'end', fields });
  const protocol = protocolOf(reader, fields.get('protocol'));
  if (port === null || endPort === null || protocol === null) return [];
  if (endPort < port) return reader.fail(field, `end must not be less than start ${port}`) ?? [];
  return [{ port, endPort, name: null, protocols: [protocol] }];
}

function portOf(
  reader: ObjectReader,
  parent: Field,
  { name, fields }: { readonly name: string; readonly fields: Fields },
): number | null {
  const field = fields.get(name);
  if (field === undefined) return reader.fail(parent, `${name} is required`);
  return reader.integer(field, 1, 65_535);
}

/** TCP when it is absent. */
function protocolOf(reader: ObjectReader, field: Field | undefined): Protocol | null {
  return field === undefined ? 'TCP' : reader.oneOf(field, PROTOCOLS);
}

const BASELINE: TierDialect = {
  actions: new Map([
    ['Allow', 'allow'],
    ['Deny', 'deny'],
  ]),
  allowing: 'Allow',
  portsField: 'ports',
  decodePorts,
};

const ADMIN: TierDialect = {
  ...BASELINE,
  actions: new Map([...BASELINE.actions, ['Pass', 'pass']]),
};
