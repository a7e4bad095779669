/**
 * Connections that share scanners: what one has sent, whole, in pieces or broken, shows in nothing that is
 * read from another. Each stream is read among others and alone, and both must say the same.
 */
import { describe, expect, it } from 'vitest';
import { FAULT, HEAD, MESSAGE_END, NEED_MORE } from '../../../src/codec/http1/events.ts';
import { RequestParser } from '../../../src/codec/http1/request_parser.ts';
import { ResponseParser } from '../../../src/codec/http1/response_parser.ts';
import { chunksOf, REQUEST_OPTIONS } from '../../support/http1_driver.ts';
import { type StreamKind, streamOf } from '../../support/http1_streams.ts';
import { SeededRandom } from '../../support/seeded_random.ts';

const ROUND_COUNT = 300;
/** More than are kept between heads. */
const STREAM_COUNT = 24;
const WORD_COUNT_MAX = 1000;
const FIRST_SEED = 20_261_123;

describe.each<StreamKind>(['request', 'response'])('%ss', (kind) => {
  it('are read among others as they are read alone', () => {
    let faultCount = 0;
    let headCount = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUND_COUNT; seed++) {
      const random = new SeededRandom(seed);
      const streams = Array.from({ length: STREAM_COUNT }, (_, i) =>
        chunksOf(streamOf(seed * STREAM_COUNT + i, kind), cutsOf(random)),
      );
      const alone = streams.map((chunks) => {
        const reader = new Reader(kind, { ...REQUEST_OPTIONS });
        for (const chunk of chunks) reader.read(chunk);
        return reader.said;
      });
      const shared = { ...REQUEST_OPTIONS };
      const among = streams.map(() => new Reader(kind, shared));
      const rest = streams.map((chunks) => [...chunks]);
      for (let left = streams.flat().length; left > 0; ) {
        const i = random.below(STREAM_COUNT);
        const chunk = rest[i]?.shift();
        if (chunk === undefined) continue;
        among[i]?.read(chunk);
        left -= 1;
      }
      expect(
        among.map(({ said }) => said),
        `seed ${seed}`,
      ).toEqual(alone);
      headCount += alone.flat().filter((word) => word.startsWith('head')).length;
      faultCount += alone.flat().filter((word) => word.startsWith('fault')).length;
    }
    expect(headCount).toBeGreaterThan(ROUND_COUNT);
    expect(faultCount).toBeGreaterThan(ROUND_COUNT);
  });
});

/** Most often pieces of a head; at times a byte each. */
function cutsOf(random: SeededRandom): readonly number[] {
  return Array.from(
    { length: 1 + random.below(4) },
    () => 1 + random.below(random.pick([1, 9, 80])),
  );
}

/** A parser, and all that it says. */
class Reader {
  readonly said: string[] = [];
  readonly #parser: RequestParser | ResponseParser;

  constructor(kind: StreamKind, options: typeof REQUEST_OPTIONS) {
    this.#parser = kind === 'request' ? new RequestParser(options) : new ResponseParser(options);
    this.#begin();
  }

  read(chunk: Buffer): void {
    const parser = this.#parser;
    for (let offset = 0; ; offset = parser.offset) {
      const event = parser.next(chunk, offset);
      if (this.said.length > WORD_COUNT_MAX) throw new Error('read on without an end');
      if (event === FAULT) this.said.push(`fault ${parser.fault}`);
      if (event === FAULT || event === NEED_MORE) return;
      if (event === HEAD) {
        this.said.push(`head ${parser.head.raw.toString('latin1')} ${aboutHead(parser.head)}`);
        if ('status' in parser.head && parser.head.status === 101) return;
      } else if (event === MESSAGE_END) {
        this.said.push('end');
        this.#begin();
      } else {
        this.said.push(`content ${parser.content.toString('latin1')}`);
      }
    }
  }

  /** A response needs a request to answer. */
  #begin(): void {
    if (this.#parser instanceof ResponseParser) this.#parser.begin('GET', false);
  }
}

function aboutHead(head: RequestParser['head'] | ResponseParser['head']): string {
  const { framing, contentLength, isPersistent, isCanonical, upgrade, version } = head;
  const facts = { framing, contentLength, isPersistent, isCanonical, upgrade, version };
  return JSON.stringify([
    facts,
    head.lines(),
    'path' in head ? [head.method, head.path] : head.status,
  ]);
}
