/**
 * CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy → PolicySpec (pkg/policy/api rule.go and
 * Sanitize; pkg/k8s/apis/cilium.io/v2). Scoping is done here, so that selectors are complete.
 */
import type { Direction } from '../../../model/identity.ts';
import type { DirectionRule, PolicySpec, Subject } from '../../../policy/rule.ts';
import { type DocumentContext, originOf } from '../context.ts';
import { tellDefaultDeny } from '../differences.ts';
import type { Field } from '../field.ts';
import { decodeSelector, decodeSubjectSelector } from '../label_selector.ts';
import type { Fields } from '../object_reader.ts';
import { decodeIcmps } from './icmp.ts';
import { decodePeers, PEER_FIELDS } from './peers.ts';
import { decodePortsRule } from './ports.ts';

const SPEC_FIELDS = [
  'endpointSelector',
  'nodeSelector',
  'ingress',
  'ingressDeny',
  'egress',
  'egressDeny',
  'labels',
  'enableDefaultDeny',
  'description',
  'log',
] as const;

const RULE_LISTS = [
  { name: 'ingress', direction: 'ingress', isDeny: false },
  { name: 'ingressDeny', direction: 'ingress', isDeny: true },
  { name: 'egress', direction: 'egress', isDeny: false },
  { name: 'egressDeny', direction: 'egress', isDeny: true },
] as const;

const LOG_VALUE_MAX = 32;

/** `document` has `spec`, `specs` or both; all of them are rules of the policy. */
export function decodeSpecs(
  context: DocumentContext,
  document: Fields,
  options: { readonly isDryRun: boolean; readonly root: Field },
): PolicySpec[] {
  const { reader } = context;
  const spec = document.get('spec');
  const specs = document.get('specs');
  const fields = [
    ...(spec === undefined ? [] : [spec]),
    ...(specs === undefined ? [] : reader.list(specs)),
  ];
  if (fields.length === 0) {
    reader.fail(options.root, 'the policy is empty: spec or specs is required');
  }
  return fields.flatMap((field) => decodeSpec(context, field, options.isDryRun) ?? []);
}

function decodeSpec(context: DocumentContext, field: Field, isDryRun: boolean): PolicySpec | null {
  const { reader } = context;
  const fields = reader.object(field, SPEC_FIELDS);
  const subject = decodeSubject(context, field, fields);
  checkTexts(context, fields);
  const isInitSubject =
    subject?.selector.requirements.some(({ key }) => key === 'reserved:init') ?? false;
  const rules = RULE_LISTS.flatMap(({ name, direction, isDeny }) => {
    const list = fields.get(name);
    if (list === undefined) return [];
    const options = { direction, isDeny, isInitSubject, isNodeSubject: subject?.kind === 'nodes' };
    return reader.list(list).map((item) => decodeRule(context, item, options));
  });
  if (rules.length === 0) {
    return reader.fail(
      field,
      'has no rules: at least one of ingress, ingressDeny, egress and egressDeny must have an element',
    );
  }
  if (subject === null) return null;
  return {
    origin: originOf(context, field),
    namespace: context.namespace,
    isDryRun,
    subject,
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: decodeDefaultDeny(context, fields.get('enableDefaultDeny'), rules),
    rules,
  };
}

function decodeSubject(context: DocumentContext, field: Field, fields: Fields): Subject | null {
  const { reader } = context;
  const endpoints = fields.get('endpointSelector');
  const nodes = fields.get('nodeSelector');
  if ((endpoints === undefined) === (nodes === undefined)) {
    return reader.fail(field, 'exactly one of endpointSelector and nodeSelector must be given');
  }
  if (nodes !== undefined) {
    const selector = decodeSelector(context, nodes);
    if (context.namespace !== null) {
      return reader.fail(nodes, 'nodeSelector is allowed in a CiliumClusterwideNetworkPolicy only');
    }
    return { kind: 'nodes', selector };
  }
  return { kind: 'endpoints', selector: decodeSubjectSelector(context, endpoints as Field) };
}

interface RuleOptions {
  readonly direction: Direction;
  readonly isDeny: boolean;
  readonly isInitSubject: boolean;
  readonly isNodeSubject: boolean;
}

function decodeRule(context: DocumentContext, field: Field, options: RuleOptions): DirectionRule {
  const { reader } = context;
  const known = [...PEER_FIELDS[options.direction], 'toPorts', 'icmps'];
  if (!options.isDeny) known.push('authentication');
  const fields = reader.object(field, known);
  const peers = decodePeers(context, fields, options);
  const portsField = fields.get('toPorts');
  const ports = portsField === undefined ? [] : reader.list(portsField);
  const icmps = fields.get('icmps');
  const hasIcmps = icmps !== undefined && reader.list(icmps).length > 0;
  const messages = hasIcmps ? decodeIcmps(context, icmps) : [];
  if (hasIcmps && ports.length > 0) {
    reader.fail(icmps, 'toPorts and icmps cannot stand together');
  }
  checkAuthentication(context, fields.get('authentication'));
  const isForNobody = peers === null ? ports.length === 0 && !hasIcmps : peers.length === 0;
  if (options.isDeny && isForNobody) reader.warn(field, 'selects nobody and so denies nothing');
  return {
    origin: originOf(context, field),
    direction: options.direction,
    action: options.isDeny ? 'deny' : 'allow',
    peers,
    ports: ports.length === 0 ? null : ports.map((item) => decodePortsRule(context, item, options)),
    hasIcmps,
    ...(hasIcmps ? { icmps: messages } : {}),
  };
}

function checkAuthentication(context: DocumentContext, field: Field | undefined): void {
  if (field === undefined) return;
  const { reader } = context;
  const mode = reader.object(field, ['mode']).get('mode');
  if (mode === undefined) {
    reader.fail(field, 'mode is required');
    return;
  }
  const value = reader.oneOf(mode, ['disabled', 'required', 'test-always-fail']);
  if (value !== null && value !== 'disabled') {
    reader.fail(
      mode,
      `mutual authentication cannot be enforced here (found ${mode.shown}; allowed: disabled)`,
    );
  }
}

/** Default: on for each direction that has rules (rule.go, enable-non-default-deny-policies on). */
function decodeDefaultDeny(
  context: DocumentContext,
  field: Field | undefined,
  rules: readonly DirectionRule[],
): Readonly<Record<Direction, boolean>> {
  const fields = field === undefined ? null : context.reader.object(field, ['ingress', 'egress']);
  const isOn = (direction: Direction): boolean => {
    const given = fields?.get(direction);
    const value = given === undefined ? null : context.reader.boolean(given);
    if (given !== undefined) tellDefaultDeny(context, given, { direction, rules });
    return value ?? rules.some((rule) => rule.direction === direction);
  };
  return { ingress: isOn('ingress'), egress: isOn('egress') };
}

function checkTexts(context: DocumentContext, fields: Fields): void {
  const { reader } = context;
  const description = fields.get('description');
  if (description !== undefined) reader.text(description);
  const labels = fields.get('labels');
  for (const item of labels === undefined ? [] : reader.list(labels)) {
    if (item.isMap) reader.object(item, ['key', 'value', 'source', 'cidr']);
    else reader.text(item);
  }
  const log = fields.get('log');
  if (log === undefined) return;
  const value = reader.object(log, ['value']).get('value');
  const text = value === undefined ? '' : reader.text(value);
  if (
    value !== undefined &&
    text !== null &&
    ([...text].length > LOG_VALUE_MAX || !/^\P{C}*$/u.test(text))
  ) {
    reader.fail(
      value,
      `must be at most ${LOG_VALUE_MAX} printable characters (found ${value.shown})`,
    );
  }
}
