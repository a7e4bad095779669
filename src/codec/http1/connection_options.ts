/**
 * The Connection field (RFC 9110 7.6.1): what it says about this hop, and which fields it
 * nominates for removal. They are gone before policy looks at the head, so a client cannot have a
 * field judged that upstream never sees, nor one removed after it was judged.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import {
  CONNECTION,
  HTTP2_SETTINGS,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRAILER,
  UPGRADE,
} from './field_kind.ts';
import { joinedValue } from './field_lines.ts';
import { isFramingCanonical } from './framing.ts';
import type { HeadScanner } from './head_scanner.ts';
import { equalsIgnoringCase, isToken, parseTokenList, trimBlanks } from './syntax.ts';

export interface ConnectionOptions {
  readonly isClose: boolean;
  readonly isKeepAlive: boolean;
  readonly isUpgrade: boolean;
  /** Lower case; without close, keep-alive and upgrade. */
  readonly nominated: ReadonlySet<string>;
}

/** How the hop's own lines are to be sent. */
export interface SentHop {
  /** Value of the one Connection line, or '' for none. */
  readonly connection: string;
  readonly isUpgradeKept: boolean;
  readonly isTrailerKept: boolean;
}

const NO_NAMES: ReadonlySet<string> = new Set();

const NO_OPTIONS: ConnectionOptions = Object.freeze(options(false, false, false));
const CLOSING: ConnectionOptions = Object.freeze(options(true, false, false));
const KEEPING: ConnectionOptions = Object.freeze(options(false, true, false));
const UPGRADING: ConnectionOptions = Object.freeze(options(false, false, true));

/**
 * What must reach upstream, or was already acted upon here, whoever nominates it: removing one of
 * these would change what the message is (Apache CVE-2022-31813 and its kin).
 */
const NEVER_NOMINATED = new Set(['host', 'content-length', 'transfer-encoding', 'expect']);

/** A cause when a line breaks the grammar, or nominates what must stay. */
export function connectionOptionsOf(raw: Buffer, scanner: HeadScanner): ConnectionOptions | Cause {
  const count = scanner.counts[CONNECTION] as number;
  if (count === 0) return NO_OPTIONS;
  const start = scanner.valueStarts[CONNECTION] as number;
  const end = scanner.valueEnds[CONNECTION] as number;
  if (count === 1) {
    const usual = usualConnectionOptions(raw, start, end);
    if (usual !== null) return usual;
  }
  // Nobody nominates more fields than a head may have: work per byte stays bounded.
  const value = joinedValue(raw, scanner.fieldsStart, CONNECTION);
  return parseConnectionOptions(value, scanner.fieldCountMax);
}

/** Of a response that breaks the grammar: what can be read of it counts, and that it is the last one. */
export function liberalConnectionOptions(raw: Buffer, scanner: HeadScanner): ConnectionOptions {
  const value = joinedValue(raw, scanner.fieldsStart, CONNECTION);
  const elements = value
    .split(',', scanner.fieldCountMax)
    .map((text) => trimBlanks(text).toLowerCase());
  const names = elements.filter((name) => isToken(name) && !NEVER_NOMINATED.has(name));
  const others = names.filter((name) => !['close', 'keep-alive', 'upgrade'].includes(name));
  const isUpgrade = names.includes('upgrade');
  return { isClose: true, isKeepAlive: false, isUpgrade, nominated: new Set(others) };
}

/** Nothing in the lines would be taken out or rewritten. */
export function areLinesCanonical(raw: Buffer, scanner: HeadScanner, hop: SentHop): boolean {
  const { counts } = scanner;
  return (
    scanner.isLayoutCanonical &&
    counts[KEEP_ALIVE] === 0 &&
    counts[PROXY_CONNECTION] === 0 &&
    counts[TE] === 0 &&
    counts[HTTP2_SETTINGS] === 0 &&
    (counts[TRAILER] === 0 || hop.isTrailerKept) &&
    (counts[UPGRADE] === 0 || hop.isUpgradeKept) &&
    isConnectionCanonical(raw, scanner, hop.connection) &&
    isFramingCanonical(raw, scanner)
  );
}

function isConnectionCanonical(raw: Buffer, scanner: HeadScanner, connection: string): boolean {
  const count = scanner.counts[CONNECTION] as number;
  if (count === 0) return true;
  const start = scanner.valueStarts[CONNECTION] as number;
  const end = scanner.valueEnds[CONNECTION] as number;
  return count === 1 && connection !== '' && equalsIgnoringCase(raw, start, end, connection);
}

/** The usual values, without making a string; null when it is none of them. */
function usualConnectionOptions(
  bytes: Buffer,
  start: number,
  end: number,
): ConnectionOptions | null {
  switch (end - start) {
    case 5:
      return equalsIgnoringCase(bytes, start, end, 'close') ? CLOSING : null;
    case 7:
      return equalsIgnoringCase(bytes, start, end, 'upgrade') ? UPGRADING : null;
    case 10:
      return equalsIgnoringCase(bytes, start, end, 'keep-alive') ? KEEPING : null;
    default:
      return null;
  }
}

/** `value` is all Connection lines joined. */
function parseConnectionOptions(value: string, countMax: number): ConnectionOptions | Cause {
  const elements = parseTokenList(value, countMax);
  if (elements === null) return causeOf('connection-form');
  const nominated = new Set<string>();
  for (const element of elements) {
    if (NEVER_NOMINATED.has(element)) return causeOf('connection-nominates');
    if (element !== 'close' && element !== 'keep-alive' && element !== 'upgrade') {
      nominated.add(element);
    }
  }
  return {
    isClose: elements.includes('close'),
    isKeepAlive: elements.includes('keep-alive'),
    isUpgrade: elements.includes('upgrade'),
    nominated,
  };
}

function options(isClose: boolean, isKeepAlive: boolean, isUpgrade: boolean): ConnectionOptions {
  return { isClose, isKeepAlive, isUpgrade, nominated: NO_NAMES };
}
