/**
 * hot path
 *
 * Heads written from the parsed object, never from the bytes that were read. Each name and value is
 * checked again on its way out: this is the last place at which a byte that splits a message could
 * slip through, whoever put it there.
 */
import { applyMutations, type HeaderMutation } from '../../model/decision.ts';
import { isFixedField } from '../../model/field_alias.ts';
import { HOP_FIELDS } from '../../model/request_head.ts';
import type { Http1RequestHead } from './request_head.ts';
import type { Http1ResponseHead } from './response_head.ts';
import { FIELD_VALUE, isFieldValue, isToken, TARGET } from './syntax.ts';

/**
 * The head as it goes upstream; with `connection: close` when closing. Equal to `head.raw` when
 * `head.isCanonical`, there are no mutations and it is not closing. Throws when a mutation names Host or a framing field, or holds bytes that no field may
 * hold: such a rule cannot be enforced, so nothing may be sent.
 */
export function serialiseRequestHead(
  head: Http1RequestHead,
  mutations: readonly HeaderMutation[],
  options: { readonly isClosing: boolean } = { isClosing: false },
): Buffer {
  let lines = head.lines();
  if (mutations.length > 0) lines = applyMutations(lines, mutations.filter(isForField));
  if (options.isClosing) lines = applyMutations(lines, CLOSING);
  checkTarget(head.path);
  return write(`${checkedToken(head.method)} ${head.path} ${head.version}`, lines);
}

/**
 * The head as it goes downstream, always as HTTP/1.1; with `connection: close` when closing, and when
 * an HTTP/1.0 upstream meant that by saying nothing, or a response was read liberally and is the last.
 */
export function serialiseResponseHead(
  head: Http1ResponseHead,
  options: { readonly isClosing: boolean },
): Buffer {
  let lines = head.lines();
  const isLast = !head.isPersistent && head.status !== 101;
  const isUnsaid = head.version === 'HTTP/1.0' || head.isLiberal;
  const isClosing = options.isClosing || (isLast && isUnsaid);
  if (isClosing && !head.isInformational && !isCloseSaid(lines)) {
    lines = applyMutations(lines, CLOSING);
  }
  return write(`HTTP/1.1 ${head.status} ${checkedReason(head.reasonPhrase)}`, lines);
}

const CLOSING: readonly HeaderMutation[] = [
  { kind: 'replace', name: 'connection', value: 'close' },
];

function write(startLine: string, lines: readonly string[]): Buffer {
  let text = `${startLine}\r\n`;
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = checkedToken(lines[i] as string);
    text += `${name}: ${checkedValue(lines[i + 1] as string, name)}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, 'latin1');
}

function isForField(mutation: HeaderMutation): boolean {
  const name = mutation.name.toLowerCase();
  if (isFixedField(name)) throw new Error(`a rule may not change the field ${name}`);
  return !HOP_FIELDS.has(name);
}

function isCloseSaid(lines: readonly string[]): boolean {
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const isConnection = (lines[i] as string).toLowerCase() === 'connection';
    if (isConnection && (lines[i + 1] as string).toLowerCase() === 'close') return true;
  }
  return false;
}

function checkTarget(path: string): void {
  for (let i = 0; i < path.length; i++) {
    if (TARGET[path.charCodeAt(i)] !== 1) throw new Error('a path holds a byte that none may hold');
  }
}

/** Blanks at its ends are part of a reason phrase (RFC 9112 4). */
function checkedReason(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (FIELD_VALUE[text.charCodeAt(i)] !== 1) throw new Error('a reason phrase is malformed');
  }
  return text;
}

function checkedToken(text: string): string {
  if (!isToken(text)) throw new Error('a method or field name is not a token');
  return text;
}

function checkedValue(text: string, name: string): string {
  if (!isFieldValue(text)) throw new Error(`the value of ${name} holds a byte that none may hold`);
  return text;
}
