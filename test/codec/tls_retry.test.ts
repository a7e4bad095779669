/** Whatever the cuts: a later hello passes with the name that was judged, and nothing of it with another. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TlsRetryWatch } from '../../src/codec/tls_retry.ts';
import { clientHello } from '../support/client_hello.ts';
import { RETRY, record, SERVER_HELLO } from '../support/tls_records.ts';

const BYTES_MAX = 1000;
const CCS = record(20, Buffer.from([1]));
const EARLY_DATA = record(23, Buffer.alloc(40, 9));
const SAME = clientHello('api.test');
const OTHER = clientHello('evil.test');
const ALERT = record(21, Buffer.from([1, 112]));
const HELLO_REQUEST = record(22, Buffer.from([0, 0, 0, 0]));
/** As its Finished of TLS 1.2 may look: encrypted, and as if it were a hello. */
const LIKE_A_HELLO = record(22, Buffer.from([1, 0, 0, 4, 3, 3, 3, 3]));

type Turn = readonly [side: 'client' | 'server', ...bytes: readonly Buffer[]];

interface Case {
  readonly about: string;
  readonly turns: readonly Turn[];
  readonly outcome: 'passes' | 'malformed' | 'renamed';
}

const cases: readonly Case[] = [
  {
    about: 'a plain handshake',
    turns: [
      ['server', SERVER_HELLO],
      ['client', LIKE_A_HELLO, OTHER],
    ],
    outcome: 'passes',
  },
  {
    about: 'the same name again',
    turns: [
      ['server', RETRY, CCS],
      ['client', CCS, SAME],
      ['server', SERVER_HELLO],
      ['client', LIKE_A_HELLO],
    ],
    outcome: 'passes',
  },
  {
    about: 'the same name, in capitals',
    turns: [
      ['server', RETRY],
      ['client', clientHello('API.test')],
    ],
    outcome: 'passes',
  },
  {
    about: 'another name',
    turns: [
      ['server', RETRY],
      ['client', OTHER],
    ],
    outcome: 'renamed',
  },
  {
    about: 'no name',
    turns: [
      ['server', RETRY],
      ['client', clientHello('')],
    ],
    outcome: 'renamed',
  },
  {
    about: 'another name after early data',
    turns: [
      ['client', EARLY_DATA],
      ['server', RETRY],
      ['client', EARLY_DATA, CCS, OTHER],
    ],
    outcome: 'renamed',
  },
  {
    about: 'another name that does not wait for the request',
    turns: [
      ['client', CCS, OTHER],
      ['server', RETRY],
    ],
    outcome: 'renamed',
  },
  {
    about: 'another name in records of three bytes',
    turns: [
      ['server', RETRY],
      ['client', fragmented(OTHER, 3)],
    ],
    outcome: 'renamed',
  },
  {
    about: 'the same name in records of three bytes',
    turns: [
      ['server', RETRY],
      ['client', fragmented(SAME, 3)],
    ],
    outcome: 'passes',
  },
  {
    about: 'a request in records of three bytes',
    turns: [
      ['server', fragmented(RETRY, 3)],
      ['client', OTHER],
    ],
    outcome: 'renamed',
  },
  {
    about: 'a request after an alert and a HelloRequest',
    turns: [
      ['server', ALERT, HELLO_REQUEST, RETRY],
      ['client', OTHER],
    ],
    outcome: 'renamed',
  },
  {
    about: 'another name in the third hello',
    turns: [
      ['server', RETRY],
      ['client', SAME],
      ['server', RETRY],
      ['client', OTHER],
    ],
    outcome: 'renamed',
  },
  {
    about: 'two hellos in one record',
    turns: [
      ['server', RETRY],
      ['client', record(22, Buffer.concat([SAME.subarray(5), OTHER.subarray(5)]))],
    ],
    outcome: 'malformed',
  },
  {
    about: 'a record of another kind within the hello',
    turns: [
      ['server', RETRY],
      ['client', Buffer.concat([fragmented(OTHER, 30).subarray(0, 35), CCS, OTHER])],
    ],
    outcome: 'malformed',
  },
  {
    about: 'another message',
    turns: [
      ['server', RETRY],
      ['client', record(22, Buffer.from([11, 0, 0, 0]))],
    ],
    outcome: 'malformed',
  },
  {
    about: 'an empty record',
    turns: [
      ['server', RETRY],
      ['client', record(22, Buffer.alloc(0)), OTHER],
    ],
    outcome: 'malformed',
  },
  {
    about: 'a hello over the bound',
    turns: [
      ['server', RETRY],
      ['client', record(22, Buffer.concat([Buffer.from([1, 0, 4, 0]), Buffer.alloc(1024)]))],
    ],
    outcome: 'malformed',
  },
  {
    about: 'a server that speaks no TLS',
    turns: [
      ['server', Buffer.from('220 ready for you\r\n')],
      ['client', OTHER],
    ],
    outcome: 'passes',
  },
];

describe('a later ClientHello', () => {
  for (const { about, turns, outcome } of cases) {
    it(`${about}: ${outcome}, whole and in any pieces`, () => {
      const whole = play(turns, () => Number.POSITIVE_INFINITY);
      expect(whole.outcome).toBe(outcome);
      const sent = Buffer.concat(
        turns.flatMap(([side, ...bytes]) => (side === 'client' ? bytes : [])),
      );
      if (outcome === 'passes') expect(whole.passed.equals(sent)).toBe(true);
      else expect(whole.passed.includes('evil.test')).toBe(false);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (lengths) => {
          let at = 0;
          const cut = play(turns, () => lengths[at++ % lengths.length] as number);
          expect(cut.outcome).toBe(outcome);
          // What came before a hello that is refused may be on its way, or not.
          if (outcome === 'passes') expect(cut.passed.equals(sent)).toBe(true);
          else expect(cut.passed.includes('evil.test')).toBe(false);
        }),
      );
    });
  }

  it('nothing that the client sends stays here once the server has answered', () => {
    const watch = new TlsRetryWatch('api.test', BYTES_MAX);
    expect(watch.fromClient(OTHER.subarray(0, 20))).toEqual({
      kind: 'pass',
      bytes: Buffer.alloc(0),
    });
    watch.fromServer(SERVER_HELLO);
    expect(watch.isOver).toBe(false);
    expect(watch.fromClient(OTHER.subarray(20))).toEqual({ kind: 'pass', bytes: OTHER });
    expect(watch.isOver).toBe(true);
  });
});

/** The same turns, each side's bytes cut into pieces of the lengths that `nextLength` gives. */
function play(
  turns: readonly Turn[],
  nextLength: () => number,
): { outcome: string; passed: Buffer } {
  const watch = new TlsRetryWatch('api.test', BYTES_MAX);
  const passed: Buffer[] = [];
  for (const [side, ...parts] of turns) {
    const bytes = Buffer.concat(parts);
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, Math.min(bytes.length, at + nextLength()));
      at += piece.length;
      if (side === 'server') {
        watch.fromServer(piece);
        continue;
      }
      const result = watch.fromClient(piece);
      if (result.kind !== 'pass') return { outcome: result.kind, passed: Buffer.concat(passed) };
      passed.push(Buffer.from(result.bytes));
    }
  }
  return { outcome: 'passes', passed: Buffer.concat(passed) };
}

function fragmented(oneRecord: Buffer, length: number): Buffer {
  const message = oneRecord.subarray(5);
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += length) {
    out.push(record(22, message.subarray(at, at + length)));
  }
  return Buffer.concat(out);
}
