/**
 * What each benchmark may cost: of a yardstick measured in the same run, or of another benchmark of its group,
 * and in bytes of heap. `measured` is what it cost when the row was written, on an x86-64 of 2 shared cores, with
 * Node 26.10 and 24.21 (their middle); `most` leaves 1.4 to 1.6 times that, so that noise passes and twice the
 * work does not. `npm run bench:micro -- GROUP` prints what to write here after a change that pays.
 */
import type { GroupName } from './work.ts';
import { BYTE_LOOP, RE2_MATCH, TEXTS } from './yardsticks.ts';

interface Place {
  readonly group: GroupName;
  readonly work: string;
  readonly why: string;
}

export interface TimeBudget extends Place {
  /** A yardstick, or another work of the group. */
  readonly of: string;
  readonly measured: number;
  readonly most: number;
}

/** Of the heap, a call; garbage is what most of it becomes. */
export interface BytesBudget extends Place {
  readonly measured: number;
  readonly most: number;
}

type TimeRow = readonly [work: string, measured: number, most: number, why: string];

export const TIME_BUDGETS: readonly TimeBudget[] = [
  // Scanners: byte after byte in JavaScript, few strings.
  ...rows('parse', BYTE_LOOP, [
    ['request head, 5 fields', 2.65, 4.0, 'what every request pays'],
    ['request head, 20 fields', 6.0, 9.0, 'a browser’s request; each byte is looked at once'],
    ['request head, 80 fields', 20, 30, 'grows with the bytes, not faster'],
    ['response head, 5 fields', 1.7, 2.6, 'what every response pays'],
    ['response head, 20 fields', 5.0, 7.5, 'the same scanner, other rules'],
    ['response head, 80 fields', 18.8, 28, 'grows with the bytes, not faster'],
    ['request head and what policy asks of it, 20 fields', 7.0, 10.5, 'strings made only now'],
  ]),
  ...rows('parse', TEXTS, [
    ['request head and all of its fields, 20 fields', 8.8, 13.2, 'forty strings'],
    ['request head, written again, 20 fields', 17.7, 26.5, 'for heads that are not canonical only'],
  ]),
  ...rows('paths', BYTE_LOOP, [
    ['normal already, 29 bytes', 0.19, 0.3, 'one look at the bytes, nothing made'],
    ['normal already, 320 bytes', 2.0, 3.0, 'the same for long ones'],
  ]),
  ...rows('paths', TEXTS, [
    ['dot segments and repeated slashes', 1.5, 2.3, 'three passes and their buffers'],
    ['percent-encoded', 1.65, 2.5, 'the same'],
    ['encoded slash', 1.48, 2.3, 'the same, and a text'],
  ]),
  ...rows('decide', RE2_MATCH, [
    ['literal path, 10 rules, last matches', 0.49, 0.75, 'a look into a map'],
    ['literal path, 10000 rules, last matches', 0.5, 0.8, 'the same map'],
    ['literal path, 10000 rules, none matches', 0.31, 0.48, 'the same map'],
    ['one path pattern', 2.45, 3.7, 'one match, and the call around it'],
    ['path pattern, 10 rules, last matches', 5.2, 7.8, 'one match of a set, with indexes'],
    ['path pattern, 1000 rules, last matches', 5.8, 8.7, 'by the beginning, then one set'],
    ['path pattern, 10000 rules, last matches', 5.95, 8.9, 'the same'],
    ['path pattern, 10 rules, none matches', 2.4, 3.6, 'a set is asked whether, not which'],
    ['path pattern, 1000 rules, none matches', 0.67, 1.05, 'no beginning fits: no set is asked'],
    ['host, 10 rules, last matches', 7.2, 10.8, 'asked one by one'],
    ['host, 10000 rules, last matches', 8.9, 13.4, 'the second level of the index'],
    ['a field, 2 rules, last matches', 2.5, 3.8, 'the field is looked for in the head'],
    ['a field, 2 rules, none matches', 2.5, 3.8, 'the same'],
  ]),
  // The goal of 1.5 of the verdict at 10 rules.
  ...rows('decide', 'literal path, 10 rules, last matches', [
    ['literal path, 10000 rules, last matches', 1.02, 1.5, 'a verdict stays flat as rules grow'],
  ]),
  ...rows('decide', 'path pattern, 10 rules, last matches', [
    ['path pattern, 10000 rules, last matches', 1.1, 1.5, 'a verdict stays flat as rules grow'],
  ]),
  // Strings joined, then one copy into bytes.
  ...rows('header_actions', TEXTS, [
    ['none: written again', 7.8, 11.7, 'what the actions come on top of'],
    ['ADD', 9.8, 14.6, 'one copy of the fields'],
    ['REPLACE', 12.2, 18.3, 'names compared one by one'],
    ['DELETE', 12.1, 18.1, 'the same'],
    ['ADD, REPLACE and DELETE', 16.9, 25.3, 'three copies of the fields'],
  ]),
  ...rows('hpack', TEXTS, [
    ['decode 9 fields of the dynamic table', 0.35, 0.54, 'an index each, strings shared'],
    ['decode 9 fields, Huffman literals', 1.85, 2.8, 'found in the cache of literals'],
    ['decode 9 fields and insert them', 14.7, 22, 'Huffman decoded; a new connection’s first head'],
    ['decode and validate a request', 0.58, 0.9, 'each HTTP/2 request'],
    ['decode, validate and encode a request', 1.34, 2.0, 'the whole way of a head'],
    ['encode 9 fields, stateless', 0.72, 1.1, 'char by char, no Huffman'],
  ]),
  ...rows('http2', BYTE_LOOP, [
    ['read 16 frames: 8 heads, 8 times 34 bytes', 0.89, 1.35, 'bounds only, nothing copied'],
    ['write 16 frames: 8 heads, 8 times 34 bytes', 3.25, 4.9, 'side by side in one slab'],
  ]),
  ...rows('http2', RE2_MATCH, [
    ['read one frame of 16 KiB', 0.32, 0.5, 'content is not looked at'],
  ]),
  ...rows('http2', TEXTS, [
    ['a request and its response through both connections', 6.6, 9.9, 'all but policy and log'],
  ]),
  ...rows('access_log', RE2_MATCH, [
    ['a line, one connection, one path', 6.5, 9.8, 'what repeats is bytes, copied'],
    ['a line, one of 32 connections, one of 64 paths', 6.7, 10, 'remembered for each connection'],
    ['a line with a trace', 11.9, 17.8, 'ids found by a regular expression'],
    ['a line of a denial', 5.9, 8.9, 'no rule, a reason'],
  ]),
  ...rows('request', RE2_MATCH, [
    ['parsed, decided and logged, 5 fields', 31.5, 47, 'all of a request but its writes'],
    ['parsed, decided and logged, 20 fields', 39.3, 59, 'the same of a browser'],
    ['parsed, denied and logged, 5 fields', 24, 36, 'refusing must not cost more'],
  ]),
  // Their garbage is collected in between, so they spread more.
  ...rows('compile', TEXTS, [
    ['literal path, 1000 rules, compiled and viewed', 4050, 6500, 'a reload, off the hot path'],
    ['path pattern, 1000 rules, compiled and viewed', 28800, 46000, 'a thousand patterns for RE2'],
    ['path pattern, 1000 rules, compiled again and viewed', 5800, 9300, 'patterns are kept'],
    ['kernel table, 40 endpoints, 8 ports, 25 remotes', 6200, 9900, 'a thousand verdicts'],
  ]),
];

/** Two-sided: what is far below is told, so that the row is written anew. */
export const BYTES_BUDGETS: readonly BytesBudget[] = [
  bytes('parse', 'request head, 20 fields', [450, 560, 'the head, its facts; no field']),
  bytes('decide', 'literal path, 10000 rules, last matches', [0, 32, 'decisions are made before']),
  bytes('decide', 'path pattern, 10000 rules, last matches', [
    208,
    270,
    'the indexes that RE2 gives',
  ]),
  bytes('http2', 'a request and its response through both connections', [
    2617,
    3200,
    'two streams',
  ]),
  bytes('access_log', 'a line, one connection, one path', [468, 590, 'a record, a view, numbers']),
  bytes('request', 'parsed, decided and logged, 5 fields', [1342, 1600, 'a request of curl']),
  bytes('request', 'parsed, decided and logged, 20 fields', [
    1343,
    1600,
    'fields make no difference',
  ]),
  bytes('request', 'parsed, denied and logged, 5 fields', [
    1117,
    1340,
    'refusing must not cost more',
  ]),
];

function rows(group: GroupName, of: string, table: readonly TimeRow[]): readonly TimeBudget[] {
  return table.map(([work, measured, most, why]) => ({ group, work, of, measured, most, why }));
}

function bytes(
  group: GroupName,
  work: string,
  [measured, most, why]: readonly [measured: number, most: number, why: string],
): BytesBudget {
  return { group, work, measured, most, why };
}
