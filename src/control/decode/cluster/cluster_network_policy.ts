/**
 * policy.networking.k8s.io ClusterNetworkPolicy (v1alpha2), as Cilium 1.20 reads it → one PolicySpec:
 * tier Admin or Baseline, ordered rules that accept, deny or pass. L3 and L4 only; HTTP rules come
 * from what the pass goes on to.
 */
import type { Protocol } from '../../../model/identity.ts';
import type { PolicySpec, PortSelector } from '../../../policy/rule.ts';
import { type DocumentContext, originOf } from '../context.ts';
import { DIFFERENCE_TEXTS, tell } from '../differences.ts';
import type { Field } from '../field.ts';
import type { Fields } from '../object_reader.ts';
import { decodeSubject, decodeTierRules, PRIORITY_MAX, type TierDialect } from './tier_rules.ts';

const TIERS = { Admin: 'admin', Baseline: 'baseline' } as const;

export function decodeClusterNetworkPolicy(
  context: DocumentContext,
  document: Fields,
  options: { readonly root: Field; readonly isDryRun: boolean },
): PolicySpec | null {
  const { reader } = context;
  const spec = document.get('spec');
  if (spec === undefined) return reader.fail(options.root, 'spec is required');
  const fields = reader.object(spec, ['tier', 'priority', 'subject', 'ingress', 'egress']);
  const tierField = fields.get('tier');
  const tier = tierField === undefined ? null : reader.oneOf(tierField, ['Admin', 'Baseline']);
  const priorityField = fields.get('priority');
  const priority =
    priorityField === undefined ? null : reader.integer(priorityField, 0, PRIORITY_MAX);
  const subject = decodeSubject(context, spec, fields.get('subject'));
  const rules = decodeTierRules(context, fields, DIALECT);
  if (tierField === undefined) reader.fail(spec, 'tier is required');
  else if (tier === 'Baseline') tell(context, tierField, DIFFERENCE_TEXTS.baseline);
  if (priorityField === undefined) reader.fail(spec, 'priority is required');
  if (tier === null || priority === null || subject === null) return null;
  return {
    origin: originOf(context, spec),
    namespace: null,
    isDryRun: options.isDryRun,
    subject: { kind: 'endpoints', selector: subject },
    tier: TIERS[tier],
    priority,
    // Tiers say nothing about traffic that none of their rules names.
    enableDefaultDeny: { ingress: false, egress: false },
    rules,
  };
}

const DIALECT: TierDialect = {
  actions: new Map([
    ['Accept', 'allow'],
    ['Deny', 'deny'],
    ['Pass', 'pass'],
  ]),
  allowing: 'Accept',
  portsField: 'protocols',
  decodePorts: (context, item) => {
    const { reader } = context;
    const fields = reader.object(item, ['tcp', 'udp', 'sctp', 'destinationNamedPort']);
    if (fields.size !== 1) {
      reader.fail(item, 'exactly one of tcp, udp, sctp and destinationNamedPort must be given');
    }
    return [...fields].flatMap(([name, value]) => decodeProtocol(context, name, value));
  },
};

function decodeProtocol(context: DocumentContext, name: string, field: Field): PortSelector[] {
  const { reader } = context;
  if (name === 'destinationNamedPort') {
    const text = reader.text(field);
    if (text === '') return reader.fail(field, 'must not be empty') ?? [];
    return text === null
      ? []
      : [{ port: 0, endPort: 0, name: text.toLowerCase(), protocols: ['TCP', 'UDP', 'SCTP'] }];
  }
  const protocols: readonly Protocol[] = [name.toUpperCase() as Protocol];
  const destination = reader.object(field, ['destinationPort']).get('destinationPort');
  if (destination === undefined) return [{ port: 0, endPort: 0, name: null, protocols }];
  const fields = reader.object(destination, ['number', 'range']);
  const number = fields.get('number');
  if (fields.size > 1) reader.fail(destination, 'number and range exclude each other');
  if (number !== undefined) {
    const port = reader.integer(number, 1, 65_535);
    return port === null ? [] : [{ port, endPort: port, name: null, protocols }];
  }
  const range = fields.get('range');
  if (range === undefined) return reader.fail(destination, 'number or range is required') ?? [];
  const ends = reader.object(range, ['start', 'end']);
  const startField = ends.get('start');
  const endField = ends.get('end');
  if (startField === undefined || endField === undefined) {
    return reader.fail(range, 'start and end are required') ?? [];
  }
  const port = reader.integer(startField, 1, 65_535);
  const endPort = reader.integer(endField, 1, 65_535);
  if (port === null || endPort === null) return [];
  if (endPort < port) return reader.fail(endField, `must not be less than start ${port}`) ?? [];
  return [{ port, endPort, name: null, protocols }];
}
