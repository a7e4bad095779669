import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import {
  data,
  drive,
  GENEROUS_LIMITS,
  GET,
  greetedClient,
  headers,
  OK,
  reset,
  told,
  windowUpdate,
} from './wire.ts';

/** The other half of `stream_model.test.ts`: what our client role tells and sends, by RFC 9113 5.1 and 8.1. */
interface Life {
  isOpen: boolean;
  hasHead: boolean;
  isRemoteEnded: boolean;
  isLocalEnded: boolean;
  how: 'end' | 'us' | 'peer';
}

const ACTS = [
  'open',
  'send',
  'cancel',
  'head',
  'informational',
  'trailers',
  'data',
  'reset',
  'window',
  'window-of-0',
] as const;

interface Step {
  readonly act: (typeof ACTS)[number];
  readonly id: number;
  readonly isEnd: boolean;
}

interface Outcome {
  readonly events: readonly string[];
  readonly sent: readonly string[];
}

const NOTHING: Outcome = { events: [], sent: [] };

class Model {
  readonly #lives = new Map<number, Life>();
  #highest = 0;
  isLost = false;

  expected(step: Step): Outcome {
    const { act, id } = step;
    if (act === 'open') return this.#open(step);
    const life = this.#lives.get(id);
    if (life === undefined) {
      const isOurs = act === 'send' || act === 'cancel';
      if (isOurs) return NOTHING;
      // Idle: nobody may send on it. Skipped: only what may come late is passed over.
      const isIdle = id > this.#highest;
      if (isIdle) return this.#lose('PROTOCOL_ERROR');
      if (act === 'data') return this.#lose('STREAM_CLOSED');
      return isMessage(act) ? this.#lose('PROTOCOL_ERROR') : NOTHING;
    }
    return life.isOpen ? this.#onLive(step, life) : this.#onClosed(step, life);
  }

  #open({ id, isEnd }: Step): Outcome {
    if (id <= this.#highest) return NOTHING;
    this.#highest = id;
    this.#lives.set(id, {
      isOpen: true,
      hasHead: false,
      isRemoteEnded: false,
      isLocalEnded: isEnd,
      how: 'end',
    });
    return { events: [], sent: [`HEADERS ${id}${isEnd ? ' end' : ''}`] };
  }

  #onLive(step: Step, life: Life): Outcome {
    const { act, id, isEnd } = step;
    switch (act) {
      case 'send':
        if (life.isLocalEnded) return NOTHING;
        if (isEnd) life.isLocalEnded = true;
        return this.#closedIfEnded(life, {
          events: [],
          sent: [`DATA ${id} q${isEnd ? ' end' : ''}`],
        });
      case 'cancel':
        return this.#close(life, 'us', { events: [], sent: [`RST_STREAM ${id} CANCEL`] });
      case 'reset':
        return this.#close(life, 'peer', { events: [`reset ${id} CANCEL`], sent: [] });
      case 'window-of-0':
        return this.#broken(id, life, 'PROTOCOL_ERROR');
      case 'window':
        return NOTHING;
      default:
        return life.isRemoteEnded
          ? this.#broken(id, life, 'STREAM_CLOSED')
          : this.#onMessage(step, life);
    }
  }

  #onMessage({ act, id, isEnd }: Step, life: Life): Outcome {
    const end = isEnd ? ' end' : '';
    const isFirst = !life.hasHead;
    // A head once, content after it, trailers at the end; informational heads before it, which end nothing.
    const isRight =
      (act === 'head' && isFirst) ||
      (act === 'informational' && isFirst && !isEnd) ||
      (act === 'data' && !isFirst) ||
      (act === 'trailers' && !isFirst && isEnd);
    if (!isRight) {
      const sent = [`RST_STREAM ${id} PROTOCOL_ERROR`];
      return this.#close(life, 'us', { events: [`malformed ${id} malformed-response`], sent });
    }
    if (act === 'head') life.hasHead = true;
    if (isEnd) life.isRemoteEnded = true;
    const name = act === 'informational' ? 'head' : act;
    return this.#closedIfEnded(life, { events: [`${name} ${id}${end}`], sent: [] });
  }

  #onClosed({ act, id }: Step, life: Life): Outcome {
    if (!isMessage(act)) return NOTHING;
    if (life.how === 'us') return NOTHING;
    if (life.how === 'end') return this.#lose('STREAM_CLOSED');
    return { events: [], sent: [`RST_STREAM ${id} STREAM_CLOSED`] };
  }

  #closedIfEnded(life: Life, outcome: Outcome): Outcome {
    if (life.isLocalEnded && life.isRemoteEnded) life.isOpen = false;
    return outcome;
  }

  #close(life: Life, how: Life['how'], outcome: Outcome): Outcome {
    life.isOpen = false;
    life.how = how;
    return outcome;
  }

  #broken(id: number, life: Life, code: string): Outcome {
    const outcome = { events: [`stream-error ${id} ${code}`], sent: [`RST_STREAM ${id} ${code}`] };
    return this.#close(life, 'us', outcome);
  }

  #lose(code: string): Outcome {
    this.isLost = true;
    // A server has opened no stream.
    return { events: [`fault ${code}`], sent: [`GOAWAY 0 ${code}`] };
  }
}

function isMessage(act: Step['act']): boolean {
  return act === 'head' || act === 'informational' || act === 'trailers' || act === 'data';
}

function bytesOf({ act, id, isEnd }: Step): Buffer {
  const flags = isEnd ? 1 : 0;
  switch (act) {
    case 'head':
      return headers(id, OK, flags | 4);
    case 'informational':
      return headers(id, [':status', '103'], flags | 4);
    case 'trailers':
      return headers(id, ['x', 'y'], flags | 4);
    case 'data':
      return data(id, 'z', flags);
    case 'reset':
      return reset(id);
    case 'window-of-0':
      return windowUpdate(id, 0);
    default:
      return windowUpdate(id, 1);
  }
}

function run(connection: Http2Connection<string>, step: Step): Outcome {
  const { act, id, isEnd } = step;
  if (act === 'open') {
    if (connection.canOpenStream(id)) {
      const stream = connection.openStream(id, false);
      connection.sendHeaders(stream, { fields: GET, kinds: null, from: 0 }, isEnd);
    }
    return { events: [], sent: told(connection.take()) };
  }
  const stream = connection.stream(id);
  if (act === 'cancel' || act === 'send') {
    if (stream !== null && act === 'cancel') connection.resetStream(stream, 8);
    const bounds = { start: 0, end: 1, isEndStream: isEnd };
    if (stream !== null && act === 'send') connection.sendData(stream, Buffer.from('q'), bounds);
    return { events: [], sent: told(connection.take()) };
  }
  const events = drive(connection, bytesOf(step));
  for (const event of events) {
    if (event.startsWith('malformed')) connection.resetStream(connection.facts.stream, 1);
  }
  return { events: events.map(withoutContent), sent: told(connection.take()) };
}

function withoutContent(event: string): string {
  if (!/^(head|data|trailers) /.test(event)) return event;
  const [name, id] = event.split(' ');
  return `${name} ${id}${event.endsWith(' end') ? ' end' : ''}`;
}

describe('stream states in the client role (RFC 9113 5.1, 8.1)', () => {
  it('are those of the RFC on any sequence of what we do and what the server sends', () => {
    const step: fc.Arbitrary<Step> = fc.record({
      act: fc.constantFrom(...ACTS),
      id: fc.constantFrom(1, 3, 5, 7),
      isEnd: fc.boolean(),
    });
    const opening = [1, 3, 5].map((id) => ({ act: 'open' as const, id, isEnd: id === 3 }));
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.nat({ max: 3 }),
        (steps, n) => {
          const model = new Model();
          const connection = greetedClient(GENEROUS_LIMITS);
          for (const one of [...opening.slice(0, n), ...steps]) {
            expect(run(connection, one)).toEqual(model.expected(one));
            if (model.isLost) return;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
