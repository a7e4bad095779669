/**
 * hot path
 *
 * One HeaderMatcher (envoy.config.route.v3) against a request, compiled: on a field, or on :method,
 * :path or :authority. Several values of a field are joined with "," before. A missing field matches
 * nothing, also when inverted, unless the matcher asks for presence or treats missing as empty.
 */
import { joinField, latin1Bytes, type RequestHead } from '../../model/request_head.ts';
import type { HeaderMatcher, ValueMatcher } from '../ast.ts';
import { MATCH_FAILED, MATCH_NO, MATCH_YES, type MatchOutcome, type Regex } from './regex.ts';
import {
  fieldWork,
  isSpent,
  spend,
  spendOnPrepared,
  spendOnShared,
  textWork,
} from './verdict_work.ts';

/** What a matcher can look at: the request, or the request with a rule's changes already made. */
export interface HeadView {
  readonly head: RequestHead;
  /** Joined value of a field (lower case), null when absent. */
  field(name: string): string | null;
  /** The same as bytes. */
  fieldBytes(name: string): Uint8Array;
}

/** Many rules ask about one field: what was found for the last one is kept. */
export class FieldMemo {
  #name = '';
  #value: string | null = null;
  #bytes: Uint8Array | null = null;

  forget(): void {
    this.#name = '';
  }

  /** `changed`: the fields after a rule's changes; null: as they came. */
  value(name: string, head: RequestHead, changed: readonly string[] | null): string | null {
    if (name === this.#name) return this.#value;
    const value = changed === null ? head.field(name) : joinField(changed, name);
    spend(fieldWork(value?.length ?? 0, changed?.length ?? 0));
    this.#name = name;
    this.#value = value;
    this.#bytes = null;
    return value;
  }

  /** Of the field that `value` was asked for last. */
  bytes(): Uint8Array {
    this.#bytes ??= latin1Bytes(this.#value ?? '');
    return this.#bytes;
  }
}

export interface CompiledMatcher {
  readonly source: HeaderMatcher;
  /** Set for a pattern that is not plain text. */
  readonly regex: Regex | null;
  /** Set when the value must equal this text (an exact matcher, or a pattern without operators). */
  readonly literal: string | null;
}

export function evaluateMatcher(matcher: CompiledMatcher, view: HeadView): MatchOutcome {
  const { source } = matcher;
  if (source.value.kind === 'never') return MATCH_NO;
  const outcome = evaluateValue(matcher, view);
  if (!source.isInverted || outcome === MATCH_FAILED) return outcome;
  return outcome === MATCH_YES ? MATCH_NO : MATCH_YES;
}

function evaluateValue(matcher: CompiledMatcher, view: HeadView): MatchOutcome {
  const { source } = matcher;
  const { head } = view;
  switch (source.name) {
    case ':path':
      return matcher.regex === null
        ? compare(matcher, head.path)
        : testWithin(matcher.regex, head.pathBytes);
    case ':method':
      return matcher.regex === null
        ? compare(matcher, head.method)
        : testPrepared(matcher.regex, head.methodBytes);
    case ':authority':
      return matcher.regex === null
        ? compare(matcher, head.authority)
        : testWithin(matcher.regex, head.authorityBytes);
    default:
      return evaluateField(matcher, view);
  }
}

function testWithin(regex: Regex, subject: Uint8Array): MatchOutcome {
  return spendOnShared(regex.cost, subject) ? regex.test(subject) : MATCH_FAILED;
}

/** `MatcherCompiler` prepares those that are asked rule by rule. */
function testPrepared(regex: Regex, subject: Uint8Array): MatchOutcome {
  return spendOnPrepared(regex.cost, subject) ? regex.test(subject) : MATCH_FAILED;
}

function evaluateField(matcher: CompiledMatcher, view: HeadView): MatchOutcome {
  const { source } = matcher;
  const value = source.name === ':scheme' ? view.head.scheme : view.field(source.name);
  if (isSpent()) return MATCH_FAILED;
  if (source.value.kind === 'present') {
    const isThere = value !== null || source.treatMissingAsEmpty;
    return isThere === source.value.isPresent ? MATCH_YES : MATCH_NO;
  }
  // Missing is a mismatch either way: the caller turns an inverted outcome around.
  if (value === null && !source.treatMissingAsEmpty)
    return source.isInverted ? MATCH_YES : MATCH_NO;
  if (matcher.regex === null) return compare(matcher, value ?? '');
  if (value === null) return testPrepared(matcher.regex, NO_BYTES);
  const bytes = source.name === ':scheme' ? latin1Bytes(value) : view.fieldBytes(source.name);
  return testPrepared(matcher.regex, bytes);
}

const NO_BYTES = latin1Bytes('');

function compare(matcher: CompiledMatcher, text: string): MatchOutcome {
  const { value } = matcher.source;
  const work =
    matcher.literal === null
      ? textWork(text.length, 'ignoreCase' in value && value.ignoreCase)
      : LITERAL_WORK;
  if (!spend(work)) return MATCH_FAILED;
  if (matcher.literal !== null) return text === matcher.literal ? MATCH_YES : MATCH_NO;
  return compareValue(value, text) ? MATCH_YES : MATCH_NO;
}

/** Lengths are compared first. */
const LITERAL_WORK = 20;

function compareValue(value: ValueMatcher, text: string): boolean {
  switch (value.kind) {
    case 'present':
      return value.isPresent;
    case 'exact':
      return value.ignoreCase ? asciiLower(text) === asciiLower(value.text) : text === value.text;
    case 'prefix':
      return folded(value, text).startsWith(folded(value, value.text));
    case 'suffix':
      return folded(value, text).endsWith(folded(value, value.text));
    case 'contains':
      return folded(value, text).includes(folded(value, value.text));
    case 'range':
      return isInRange(value.start, value.end, text);
    case 'regex':
    case 'never':
      return false;
  }
}

function folded(value: { readonly ignoreCase: boolean }, text: string): string {
  return value.ignoreCase ? asciiLower(text) : text;
}

/** Only A-Z: String.toLowerCase would fold latin1 letters, too. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (upper) => upper.toLowerCase());
}

const INT64_MAX = 2n ** 63n - 1n;
const INTEGER = /^[ \t\n\v\f\r]*([-+]?)0*([0-9]{1,19})[ \t\n\v\f\r]*$/;

/** A base-10 64-bit integer, as absl::SimpleAtoi reads one: ASCII spaces around it are skipped. */
function isInRange(start: bigint, end: bigint, text: string): boolean {
  const [, sign, digits = ''] = INTEGER.exec(text) ?? [];
  if (digits === '') return false;
  const number = sign === '-' ? -BigInt(digits) : BigInt(digits);
  if (number > INT64_MAX || number < -INT64_MAX - 1n) return false;
  return number >= start && number < end;
}
