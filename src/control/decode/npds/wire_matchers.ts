/**
 * envoy.config.route.v3.HeaderMatcher and cilium.HeaderMatch in proto3 JSON → the AST. Every form that
 * an agent, old or new, sends; an unknown one is a problem.
 */
import type {
  HeaderMatch,
  HeaderMatcher,
  MatchAction,
  MismatchAction,
  ValueMatcher,
} from '../../../policy/ast.ts';
import { decodePattern } from '../cnp/http_rules.ts';
import type { DocumentContext } from '../context.ts';
import type { Field } from '../field.ts';
import { byteText, checkedHeaderMatch, matcherName } from '../header_values.ts';
import { wireEnum, wireObject, wireText } from './wire_fields.ts';

const SPECIFIERS = [
  'exact_match',
  'safe_regex_match',
  'range_match',
  'present_match',
  'prefix_match',
  'suffix_match',
  'contains_match',
  'string_match',
] as const;

const MATCH_ACTIONS = [
  ['CONTINUE_ON_MATCH', 'continue'],
  ['FAIL_ON_MATCH', 'fail'],
  ['DELETE_ON_MATCH', 'delete'],
] as const satisfies readonly (readonly [string, MatchAction])[];

const MISMATCH_ACTIONS = [
  ['FAIL_ON_MISMATCH', 'fail'],
  ['CONTINUE_ON_MISMATCH', 'continue'],
  ['ADD_ON_MISMATCH', 'add'],
  ['DELETE_ON_MISMATCH', 'delete'],
  ['REPLACE_ON_MISMATCH', 'replace'],
] as const satisfies readonly (readonly [string, MismatchAction])[];

export function decodeWireMatcher(context: DocumentContext, field: Field): HeaderMatcher | null {
  const { reader } = context;
  const fields = wireObject(context, field, [
    'name',
    ...SPECIFIERS,
    'invert_match',
    'treat_missing_header_as_empty',
  ]);
  const nameField = fields.get('name');
  if (nameField === undefined) return reader.fail(field, 'name is required');
  const name = matcherName(context, nameField, wireText(context, nameField));
  const given = SPECIFIERS.filter((specifier) => fields.has(specifier));
  if (given.length > 1) return reader.fail(field, `${given.join(' and ')} exclude each other`);
  const invert = fields.get('invert_match');
  const treat = fields.get('treat_missing_header_as_empty');
  const value = decodeValue(context, given[0] ?? null, fields.get(given[0] ?? '') ?? field);
  if (value === null || name === null) return null;
  return {
    name,
    value,
    isInverted: invert !== undefined && reader.boolean(invert) === true,
    treatMissingAsEmpty: treat !== undefined && reader.boolean(treat) === true,
  };
}

/**
 * No specifier = presence; an exact_match of "" accepts any present value (header_utility.cc), which
 * is no presence match: inverted it accepts nothing, a missing field included.
 */
function decodeValue(
  context: DocumentContext,
  specifier: (typeof SPECIFIERS)[number] | null,
  field: Field,
): ValueMatcher | null {
  const { reader } = context;
  const text = (): string => byteText(reader.text(field) ?? '');
  switch (specifier) {
    case null:
      return { kind: 'present', isPresent: true };
    case 'present_match':
      return { kind: 'present', isPresent: reader.boolean(field) !== false };
    case 'exact_match':
      return text() === ''
        ? { kind: 'prefix', text: '', ignoreCase: false }
        : { kind: 'exact', text: text(), ignoreCase: false };
    case 'prefix_match':
      return { kind: 'prefix', text: text(), ignoreCase: false };
    case 'suffix_match':
      return { kind: 'suffix', text: text(), ignoreCase: false };
    case 'contains_match':
      return { kind: 'contains', text: text(), ignoreCase: false };
    case 'safe_regex_match':
      return decodeRegex(context, field);
    case 'range_match':
      return decodeRange(context, field);
    case 'string_match':
      return decodeStringMatch(context, field);
  }
}

function decodeRegex(context: DocumentContext, field: Field): ValueMatcher | null {
  const fields = wireObject(context, field, ['regex', 'google_re2']);
  const regex = fields.get('regex');
  if (regex === undefined) return context.reader.fail(field, 'regex is required');
  const pattern = decodePattern(context, regex);
  return pattern === null ? null : { kind: 'regex', pattern };
}

function decodeRange(context: DocumentContext, field: Field): ValueMatcher | null {
  const fields = wireObject(context, field, ['start', 'end']);
  const bound = (name: string): bigint | null => {
    const value = fields.get(name);
    if (value === undefined) return 0n;
    // As written: a number of YAML has 53 bits.
    const text = typeof value.value === 'string' ? value.value : (value.plain ?? '');
    if (/^-?(0|[1-9][0-9]{0,18})$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)) {
      return BigInt(text);
    }
    return context.reader.fail(
      value,
      `must be a 64-bit integer (found ${value.plain ?? value.shown})`,
    );
  };
  const start = bound('start');
  const end = bound('end');
  return start === null || end === null ? null : { kind: 'range', start, end };
}

function decodeStringMatch(context: DocumentContext, field: Field): ValueMatcher | null {
  const { reader } = context;
  const kinds = ['exact', 'prefix', 'suffix', 'contains', 'safe_regex'] as const;
  const fields = wireObject(context, field, [...kinds, 'ignore_case']);
  const given = kinds.filter((kind) => fields.has(kind));
  const kind = given[0];
  if (kind === undefined || given.length > 1) {
    return reader.fail(field, `exactly one of ${kinds.join(', ')} must be given`);
  }
  const ignore = fields.get('ignore_case');
  const ignoreCase = ignore !== undefined && reader.boolean(ignore) === true;
  const value = fields.get(kind) as Field;
  if (kind === 'safe_regex') return decodeRegex(context, value);
  return { kind, text: byteText(reader.text(value) ?? ''), ignoreCase };
}

export function decodeWireHeaderMatch(context: DocumentContext, field: Field): HeaderMatch | null {
  const fields = wireObject(context, field, [
    'name',
    'value',
    'match_action',
    'mismatch_action',
    'value_sds_secret',
  ]);
  const nameField = fields.get('name');
  if (nameField === undefined) return context.reader.fail(field, 'name is required');
  const name = matcherName(context, nameField, wireText(context, nameField));
  if (name === null) return null;
  const secret = wireText(context, fields.get('value_sds_secret'));
  return checkedHeaderMatch(context, nameField, {
    name,
    value: byteText(wireText(context, fields.get('value'))),
    secret: secret === '' ? null : secret,
    matchAction: wireEnum(context, fields.get('match_action'), MATCH_ACTIONS),
    mismatchAction: wireEnum(context, fields.get('mismatch_action'), MISMATCH_ACTIONS),
  });
}
