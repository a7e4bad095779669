/**
 * What each benchmark may cost: of a yardstick measured in the same run, or of another benchmark of its group,
 * and in bytes of heap. `measured` is what it cost when the row was written, on an x86-64 of 2 shared cores, with
 * Node 26.10 and 24.21 (their middle); `most` leaves 1.4 to 1.6 times that, so that noise passes and twice the
 * work does not. `npm run bench:micro -- GROUP` prints what to write here after a change that pays.
 */
import type { GroupName } from './work.ts';
import { BYTE_LOOP, RE2_MATCH } from './yardsticks.ts';

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
    ['request head, 5 fields', 2.8, 4.2, 'what every request pays'],
    ['request head, 20 fields', 6.1, 9.1, 'a browser’s request; each byte is looked at once'],
    ['request head, 80 fields', 20, 30, 'grows with the bytes, not faster'],
    ['response head, 5 fields', 1.8, 2.7, 'what every response pays'],
    ['response head, 20 fields', 4.9, 7.4, 'the same scanner, other rules'],
    ['response head, 80 fields', 18, 27, 'grows with the bytes, not faster'],
    ['request head and what policy asks of it, 20 fields', 6.7, 10, 'strings made only now'],
  ]),
  ...rows('parse', RE2_MATCH, [
    ['request head and all of its fields, 20 fields', 36, 54, 'forty strings'],
    ['request head, written again, 20 fields', 76, 110, 'for heads that are not canonical only'],
  ]),
  ...rows('paths', BYTE_LOOP, [
    ['normal already, 29 bytes', 0.18, 0.27, 'one look at the bytes, nothing made'],
    ['normal already, 320 bytes', 1.9, 2.8, 'the same for long ones'],
  ]),
  ...rows('paths', RE2_MATCH, [
    [
      'dot segments and repeated slashes',
      11.4,
      17,
      'passes and buffers, then hidden dots are looked for',
    ],
    ['percent-encoded', 14.9, 22, 'the same, and each escape read twice over'],
    ['encoded slash', 9.4, 14.5, 'the same, and a text'],
  ]),
  ...rows('decide', RE2_MATCH, [
    ['literal path, 10 rules, last matches', 0.48, 0.72, 'a look into a map'],
    ['literal path, 10000 rules, last matches', 0.47, 0.7, 'the same map'],
    ['literal path, 10000 rules, none matches', 0.28, 0.45, 'the same map'],
    ['one path pattern', 2.5, 4, 'one match, and the call around it'],
    ['path pattern, 10 rules, last matches', 5.7, 8.6, 'one match of a set, with indexes'],
    ['path pattern, 1000 rules, last matches', 5.9, 8.9, 'by the beginning, then one set'],
    ['path pattern, 10000 rules, last matches', 6.1, 9.1, 'the same'],
    ['path pattern, 10 rules, none matches', 2.3, 3.4, 'the path is read once for their texts'],
    ['path pattern, 1000 rules, none matches', 0.66, 0.99, 'no beginning fits: nothing is read'],
    ['open pattern, 10 rules, last matches', 5.7, 8.6, 'found by the text that it needs'],
    ['open pattern, 10000 rules, last matches', 5.9, 8.9, 'the same, however many there are'],
    ['host, 10 rules, last matches', 7.4, 11, 'asked one by one'],
    ['host, 10000 rules, last matches', 9.1, 14, 'the second level of the index'],
    ['a field, 2 rules, last matches', 3.1, 4.6, 'the field is looked for in the head'],
    ['a field, 2 rules, none matches', 3.1, 4.6, 'the same'],
  ]),
  // The goal of 1.5 of the verdict at 10 rules.
  ...rows('decide', 'literal path, 10 rules, last matches', [
    ['literal path, 10000 rules, last matches', 1.02, 1.5, 'a verdict stays flat as rules grow'],
  ]),
  ...rows('decide', 'path pattern, 10 rules, last matches', [
    ['path pattern, 10000 rules, last matches', 1.1, 1.5, 'a verdict stays flat as rules grow'],
  ]),
  // Strings joined, then one copy into bytes.
  ...rows('header_actions', RE2_MATCH, [
    ['none: written again', 34, 51, 'what the actions come on top of'],
    ['ADD', 44, 66, 'one copy of the fields'],
    ['REPLACE', 53, 80, 'names compared one by one'],
    ['DELETE', 52, 78, 'the same'],
    ['ADD, REPLACE and DELETE', 74, 110, 'three copies of the fields'],
  ]),
  ...rows('hpack', RE2_MATCH, [
    ['decode 9 fields of the dynamic table', 1.4, 2.1, 'an index each, strings shared'],
    [
      'decode 9 fields, Huffman literals',
      9.7,
      14.5,
      'found in the cache of literals, but for a credential',
    ],
    [
      'decode 9 fields, Huffman literals never seen',
      28,
      42,
      'each decoded, checked and made a string',
    ],
    [
      'decode 9 fields and insert them',
      11,
      16.5,
      'a new connection’s first head, of known literals',
    ],
    ['decode and validate a request', 2.5, 3.8, 'each HTTP/2 request'],
    ['decode, validate and encode a request', 5.7, 8.6, 'the whole way of a head'],
    ['encode 9 fields, stateless', 3.2, 5.1, 'char by char, no Huffman'],
  ]),
  ...rows('http2', BYTE_LOOP, [
    ['read 16 frames: 8 heads, 8 times 34 bytes', 0.89, 1.3, 'bounds only, nothing copied'],
    ['write 16 frames: 8 heads, 8 times 34 bytes', 2.2, 3.3, 'side by side in one slab'],
  ]),
  ...rows('http2', RE2_MATCH, [
    ['read one frame of 16 KiB', 0.39, 0.6, 'content is not looked at'],
    ['a request and its response through both connections', 25, 38, 'all but policy and log'],
  ]),
  ...rows('access_log', RE2_MATCH, [
    ['a line, one connection, one path', 8.3, 12, 'what repeats is bytes, copied'],
    ['a line, one of 32 connections, one of 64 paths', 8.7, 12.5, 'remembered for each connection'],
    ['a line with a trace', 13.6, 20, 'ids found by a regular expression'],
    ['a line of a denial', 7.4, 11, 'no rule, a reason'],
    [
      'a flow for a follower, one of 32 connections, one of 64 paths',
      6,
      9,
      'numbers and one path; what comes again is a number',
    ],
    ['a flow for nobody', 0.32, 0.5, 'the record itself, and one look'],
  ]),
  ...rows('request', RE2_MATCH, [
    ['parsed, decided and logged, 5 fields', 30, 48, 'all of a request but its writes'],
    ['parsed, decided and logged, 20 fields', 39, 58, 'the same of a browser'],
    ['parsed, denied and logged, 5 fields', 25, 38, 'refusing must not cost more'],
  ]),
  // Garbage is collected in between, so they spread more; literal paths, which are little else, have no budget.
  ...rows('compile', RE2_MATCH, [
    [
      'path pattern, 1000 rules, compiled and viewed',
      220000,
      320000,
      'a thousand patterns, each for RE2 and for the bound of its program',
    ],
    [
      'path pattern, 1000 rules, compiled again and viewed',
      39000,
      60000,
      'patterns are kept, what finds them by their texts is made anew',
    ],
    ['kernel table, 40 endpoints, 8 ports, 25 remotes', 29000, 44000, 'a thousand verdicts'],
  ]),
];

/** Two-sided: what is far below is told, so that the row is written anew. */
export const BYTES_BUDGETS: readonly BytesBudget[] = [
  bytes('parse', 'request head, 20 fields', [485, 600, 'the head, its facts; no field']),
  bytes('decide', 'literal path, 10000 rules, last matches', [0, 32, 'decisions are made before']),
  bytes('decide', 'path pattern, 10000 rules, last matches', [
    153,
    198,
    'the one pattern that is asked',
  ]),
  bytes('http2', 'a request and its response through both connections', [
    2617,
    3200,
    'two streams',
  ]),
  bytes('access_log', 'a line, one connection, one path', [471, 590, 'a record, a view, numbers']),
  bytes('access_log', 'a flow for nobody', [224, 280, 'the record; no object more']),
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
