/**
 * Names and values of header fields as rules may have them. What a rule adds or replaces is written
 * into a request, so it must not be able to end a line or to change where a message ends.
 */
import { isAlias } from '../../model/field_alias.ts';
import type { HeaderMatch } from '../../policy/ast.ts';
import type { DocumentContext } from './context.ts';
import type { Field } from './field.ts';

/** One char a byte, as requests are judged (model/request_head.ts): UTF-8 read as latin1. */
export function byteText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** True when `text` cannot stand in a field value (RFC 9110 5.5). */
export function hasControls(text: string): boolean {
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(text);
}

/**
 * The name that a matcher looks at, in lower case; null, with a problem, when it is none. Envoy keeps
 * a Host field as ":authority" and finds it under both names.
 */
export function matcherName(context: DocumentContext, field: Field, name: string): string | null {
  if (name === '') return context.reader.fail(field, 'the name of a header must not be empty');
  if (/[\0\r\n]/.test(name)) {
    return context.reader.fail(field, 'the name of a header has a NUL or a line end');
  }
  const lower = byteText(name).toLowerCase();
  return lower === 'host' ? ':authority' : lower;
}

/** Null, with a problem, when the match cannot be run. */
export function checkedHeaderMatch(
  context: DocumentContext,
  field: Field,
  match: HeaderMatch,
): HeaderMatch | null {
  const { reader } = context;
  const { name } = match;
  if (name.startsWith(':')) {
    return reader.fail(
      field,
      `no header match can be run on the pseudo-field ${name} (allowed: method, path, host or headers instead)`,
    );
  }
  const isChange =
    match.matchAction === 'delete' || !['fail', 'continue'].includes(match.mismatchAction);
  if (isChange && !/^[-!#$%&'*+.^_`|~0-9a-z]+$/.test(name)) {
    return reader.fail(field, `"${name}" is no field name, so it cannot be put into a request`);
  }
  if (isChange && isFramingField(name)) {
    return reader.fail(
      field,
      `${name} frames the message or belongs to the connection and cannot be changed (allowed: LOG, or another field)`,
    );
  }
  if (isChange && hasControls(match.value)) {
    return reader.fail(field, 'the value has control characters and cannot be put into a request');
  }
  return match;
}

/** RFC 9112 6 and RFC 9110 7.6.1. */
const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** In any spelling that a server may fold into it: a change takes the aliases of its field away, too. */
function isFramingField(name: string): boolean {
  if (FRAMING_FIELDS.has(name)) return true;
  for (const framing of FRAMING_FIELDS) if (isAlias(name, framing)) return true;
  return false;
}
