/**
 * hot path
 *
 * npds.proto HeaderMatch, compiled and run: compares one field's joined value with an expected one
 * and logs or changes the field (cilium/proxy HeaderMatch::allowed). Changes are collected in a
 * `HeaderEdits`, never made to the request: later matches of the same evaluation see them, as they
 * see Envoy's header map, and the caller gets them as mutations.
 */
import {
  applyMutations,
  type HeaderMutation,
  type LoggedHeader,
  NO_HEADERS,
  NO_MUTATIONS,
} from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { HeaderMatch } from '../ast.ts';
import { FieldMemo, type HeadView } from './value_match.ts';
import { headerMatchWork, mutationWork, spend } from './verdict_work.ts';

const REDACTED = '[redacted]';

export interface CompiledHeaderMatch {
  readonly source: HeaderMatch;
  /** What to compare with; null when a secret is named, not there, and no inline value stands in. */
  readonly expected: string | null;
}

/** A secret's value wins over the inline one; an empty secret makes it a presence match. */
export function compileHeaderMatch(
  source: HeaderMatch,
  secrets: ReadonlyMap<string, string>,
): CompiledHeaderMatch {
  if (source.secret === null) return { source, expected: source.value };
  const secret = secrets.get(source.secret);
  if (secret !== undefined) return { source, expected: secret };
  return { source, expected: source.value === '' ? null : source.value };
}

/** The request's fields with the changes of the rules that were run so far. */
export class HeaderEdits implements HeadView {
  readonly head: RequestHead;
  #mutations: HeaderMutation[] = [];
  #fields: readonly string[] | null = null;
  readonly #memo = new FieldMemo();
  readonly #judged: string[] = [];
  readonly #missing: LoggedHeader[] = [];
  readonly #rejected: LoggedHeader[] = [];

  constructor(head: RequestHead) {
    this.head = head;
  }

  field(name: string): string | null {
    return this.#memo.value(name, this.head, this.#fields);
  }

  fieldBytes(name: string): Uint8Array {
    this.field(name);
    return this.#memo.bytes();
  }

  /** How many there are to be told. */
  get loggedCount(): number {
    return this.#missing.length + this.#rejected.length;
  }

  mutate(mutation: HeaderMutation): void {
    const fields = this.#fields ?? this.head.fields();
    spend(mutationWork(fields.length));
    this.#mutations.push(mutation);
    this.#fields = applyMutations(fields, [mutation]);
    this.#memo.forget();
  }

  /** A rule looks at the field, whether or not it is there. */
  noteJudged(name: string): void {
    if (!this.#judged.includes(name)) this.#judged.push(name);
  }

  logMissing(name: string, value: string): void {
    addOnce(this.#missing, name, value);
  }

  logRejected(name: string, value: string): void {
    addOnce(this.#rejected, name, value);
  }

  mutations(): readonly HeaderMutation[] {
    return this.#mutations.length === 0 ? NO_MUTATIONS : this.#mutations;
  }

  /** `known` and all that rules looked at; `known` itself when that is all. */
  judgedFields(known: readonly string[]): readonly string[] {
    const others = this.#judged.filter((name) => !known.includes(name));
    return others.length === 0 ? known : [...known, ...others];
  }

  missing(): readonly LoggedHeader[] {
    return this.#missing.length === 0 ? NO_HEADERS : this.#missing;
  }

  rejected(): readonly LoggedHeader[] {
    return this.#rejected.length === 0 ? NO_HEADERS : this.#rejected;
  }
}

/** True when matching can go on; false, too, once it would cost more than the verdict may. */
export function runHeaderMatch(match: CompiledHeaderMatch, edits: HeaderEdits): boolean {
  const { source, expected } = match;
  if (expected === null) return false;
  const found = edits.field(source.name);
  if (!spend(headerMatchWork(found?.length ?? 0, edits.loggedCount))) return false;
  edits.noteJudged(source.name);
  const isPresenceMatch = expected === '';
  const isMatch = isPresenceMatch
    ? found !== null
    : found !== null && isSameSecret(found, expected);
  const shown = (value: string): string => (source.secret === null ? value : REDACTED);
  return isMatch
    ? onMatch(source, shown(expected), edits)
    : onMismatch(source, { expected, found, shown }, edits);
}

function onMatch(source: HeaderMatch, shownExpected: string, edits: HeaderEdits): boolean {
  switch (source.matchAction) {
    case 'continue':
      return true;
    case 'delete':
      edits.logRejected(source.name, shownExpected);
      edits.mutate({ kind: 'delete', name: source.name, value: '' });
      return true;
    default:
      // Also for an action that nobody knows: fail closed.
      edits.logRejected(source.name, shownExpected);
      return false;
  }
}

interface Mismatch {
  readonly expected: string;
  readonly found: string | null;
  readonly shown: (value: string) => string;
}

function onMismatch(source: HeaderMatch, values: Mismatch, edits: HeaderEdits): boolean {
  const { expected, found, shown } = values;
  const { name } = source;
  switch (source.mismatchAction) {
    case 'continue':
      edits.logMissing(name, shown(expected));
      return true;
    case 'add':
      edits.mutate({ kind: 'add', name, value: expected });
      edits.logMissing(name, shown(expected));
      return true;
    case 'delete':
      if (expected === '' || found === null) return true;
      edits.logRejected(name, shown(found));
      edits.mutate({ kind: 'delete', name, value: '' });
      return true;
    case 'replace':
      if (found !== null) edits.logRejected(name, shown(found));
      edits.mutate({ kind: 'replace', name, value: expected });
      edits.logMissing(name, shown(expected));
      return true;
    default:
      edits.logMissing(name, shown(expected));
      return false;
  }
}

/**
 * Equality in time that depends on the length of `found` only, so that a secret cannot be guessed
 * char by char. (`node:crypto` would be I/O's neighbour; the engine stays pure.)
 */
function isSameSecret(found: string, expected: string): boolean {
  let difference = found.length ^ expected.length;
  const length = expected.length;
  for (let i = 0; i < found.length; i++) {
    difference |= found.charCodeAt(i) ^ expected.charCodeAt(length === 0 ? 0 : i % length);
  }
  return difference === 0;
}

function addOnce(list: LoggedHeader[], name: string, value: string): void {
  if (!list.some((entry) => entry[0] === name && entry[1] === value)) list.push([name, value]);
}
