/**
 * rules.http → HttpRule, as the agent translates it for Envoy (envoy_l7_rules_translator.go): path,
 * method and host are patterns over the whole value; `headers` are split at the first space;
 * `headerMatches` become header matches, or plain matchers when they only compare.
 */
import type {
  HeaderMatch,
  HeaderMatcher,
  HttpRule,
  MismatchAction,
  ValueMatcher,
} from '../../../policy/ast.ts';
import { compareText } from '../../../policy/labels.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import { byteText, checkedHeaderMatch, matcherName } from '../header_values.ts';

const PATTERN_FIELDS = [
  ['path', ':path'],
  ['method', ':method'],
  ['host', ':authority'],
] as const;

const MISMATCH_ACTIONS = {
  LOG: 'continue',
  ADD: 'add',
  DELETE: 'delete',
  REPLACE: 'replace',
} as const satisfies Record<string, MismatchAction>;

export function decodeHttpRule(context: DocumentContext, field: Field): HttpRule {
  const { reader } = context;
  const fields = reader.object(field, ['path', 'method', 'host', 'headers', 'headerMatches']);
  const matchers: HeaderMatcher[] = [];
  const headerMatches: HeaderMatch[] = [];
  for (const [name, pseudoField] of PATTERN_FIELDS) {
    const pattern = fields.get(name);
    const text = pattern === undefined ? null : decodePattern(context, pattern);
    // "" is no condition: the agent leaves it out.
    if (text !== null && text !== '')
      matchers.push(matcher(pseudoField, { kind: 'regex', pattern: text }));
  }
  const headers = fields.get('headers');
  for (const item of headers === undefined ? [] : reader.list(headers)) {
    const decoded = decodeHeaderString(context, item);
    if (decoded !== null) matchers.push(decoded);
  }
  const matches = fields.get('headerMatches');
  for (const item of matches === undefined ? [] : reader.list(matches)) {
    const decoded = decodeHeaderMatch(context, item);
    if (decoded === null) continue;
    if ('mismatchAction' in decoded) headerMatches.push(decoded);
    else matchers.push(decoded);
  }
  const spelling = [headers, matches].map((list) => spelt(context, list));
  return {
    origin: originOf(context, field),
    matchers,
    headerMatches,
    ...(spelling.every((list) => list === null) ? {} : { spelling: JSON.stringify(spelling) }),
  };
}

/** As it was written; null for what is absent or empty, which the agent does not tell apart either. */
function spelt(context: DocumentContext, field: Field | undefined): unknown {
  if (field === undefined || field.isEmpty || field.value === '') return null;
  const { reader } = context;
  if (field.isList) {
    const items = reader.list(field).map((item) => spelt(context, item));
    return items.length === 0 ? null : items;
  }
  if (!field.isMap) return String(field.value);
  return [...reader.map(field)]
    .map(([name, value]) => [name, spelt(context, value)] as const)
    .filter(([, value]) => value !== null)
    .sort(([a], [b]) => compareText(a, b));
}

/** Null when it is no string or RE2 refuses it. */
export function decodePattern(context: DocumentContext, field: Field): string | null {
  const { reader, options } = context;
  const text = reader.text(field);
  if (text === null) return null;
  if (Buffer.byteLength(text) > options.limits.regexBytesMax) {
    return reader.fail(
      field,
      `is longer than regexBytesMax (${options.limits.regexBytesMax} bytes)`,
    );
  }
  const compiled = options.regexEngine?.compile(text);
  if (compiled?.kind === 'error') {
    return reader.fail(field, `is no RE2 pattern: ${compiled.message} (found ${field.shown})`);
  }
  return text;
}

/** "X-A: v" → exact value; "X-A" → presence, and then a colon stays in the name (strings.SplitN). */
function decodeHeaderString(context: DocumentContext, field: Field): HeaderMatcher | null {
  const text = context.reader.text(field);
  if (text === null) return null;
  const space = text.indexOf(' ');
  if (space === -1) {
    const name = matcherName(context, field, text);
    return name === null ? null : matcher(name, { kind: 'present', isPresent: true });
  }
  const name = matcherName(context, field, text.slice(0, space).replace(/:+$/, ''));
  return name === null ? null : matcher(name, exact(text.slice(space + 1)));
}

function decodeHeaderMatch(
  context: DocumentContext,
  field: Field,
): HeaderMatch | HeaderMatcher | null {
  const { reader } = context;
  const fields = reader.object(field, ['name', 'value', 'secret', 'mismatch']);
  const nameField = fields.get('name');
  if (nameField === undefined) return reader.fail(field, 'name is required');
  const nameText = reader.text(nameField);
  const name = nameText === null ? null : matcherName(context, nameField, nameText);
  const valueField = fields.get('value');
  const value = (valueField === undefined ? '' : reader.text(valueField)) ?? '';
  const secretField = fields.get('secret');
  const secret = secretField === undefined ? null : decodeSecret(context, secretField);
  const mismatchField = fields.get('mismatch');
  const mismatch =
    mismatchField === undefined || mismatchField.value === ''
      ? null
      : reader.oneOf(mismatchField, ['LOG', 'ADD', 'DELETE', 'REPLACE']);
  if (name === null) return null;
  if (mismatch === null && secret === null) {
    return matcher(name, value === '' ? { kind: 'present', isPresent: true } : exact(value));
  }
  return checkedHeaderMatch(context, nameField, {
    name,
    value: byteText(value),
    secret,
    matchAction: 'continue',
    mismatchAction: mismatch === null ? 'fail' : MISMATCH_ACTIONS[mismatch],
  });
}

/** "namespace/name", the name under which the secrets file has it. */
function decodeSecret(context: DocumentContext, field: Field): string | null {
  const { reader } = context;
  const fields = reader.object(field, ['namespace', 'name']);
  const nameField = fields.get('name');
  if (nameField === undefined) return reader.fail(field, 'name is required');
  const name = reader.text(nameField);
  const namespaceField = fields.get('namespace');
  const given = namespaceField === undefined ? '' : reader.text(namespaceField);
  // Empty is absent, as for all who read it in Go: a policy of a namespace names no secret without one.
  const namespace = given === '' ? context.namespace : given;
  if (name === null) return null;
  if (name === '') return reader.fail(nameField, 'must not be empty');
  return namespace === null ? name : `${namespace}/${name}`;
}

function matcher(name: string, value: ValueMatcher): HeaderMatcher {
  return { name, value, isInverted: false, treatMissingAsEmpty: false };
}

function exact(text: string): ValueMatcher {
  return { kind: 'exact', text: byteText(text), ignoreCase: false };
}
