import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { data, drive, GET, greetedServer, headers, reset, told, windowUpdate } from './wire.ts';

/**
 * RFC 9113 5.1 written down a second time, as slowly and plainly as it reads: what a server tells and
 * sends for every frame in every state. The connection must do the same on any sequence of frames.
 */
type State = 'open' | 'remote-ended' | 'local-ended' | 'ended' | 'reset-by-us' | 'reset-by-peer';

interface Step {
  readonly act: 'headers' | 'data' | 'reset' | 'window' | 'respond' | 'cancel';
  readonly id: number;
  readonly isEnd: boolean;
}

interface Outcome {
  readonly events: readonly string[];
  readonly sent: readonly string[];
}

const NOTHING: Outcome = { events: [], sent: [] };

class Model {
  readonly #states = new Map<number, State>();
  #highest = 0;
  isLost = false;

  expected(step: Step): Outcome {
    const state = this.#states.get(step.id);
    if (state === undefined) return this.#onUnknown(step);
    switch (step.act) {
      case 'headers':
      case 'data':
        return this.#onMessage(step, state);
      case 'reset':
        if (!isLive(state)) return NOTHING;
        this.#states.set(step.id, 'reset-by-peer');
        return { events: [`reset ${step.id} CANCEL`], sent: [] };
      case 'window':
        return NOTHING;
      case 'respond':
        return this.#onRespond(step, state);
      case 'cancel':
        if (!isLive(state)) return NOTHING;
        this.#states.set(step.id, 'reset-by-us');
        return { events: [], sent: [`RST_STREAM ${step.id} CANCEL`] };
    }
  }

  #onUnknown({ act, id, isEnd }: Step): Outcome {
    const isIdle = id > this.#highest;
    if (act === 'respond' || act === 'cancel') return NOTHING;
    if (act === 'headers' && isIdle) {
      this.#highest = id;
      this.#states.set(id, isEnd ? 'remote-ended' : 'open');
      return { events: [`head ${id}${isEnd ? ' end' : ''}`], sent: [] };
    }
    if (act === 'data' && !isIdle) return this.#lose('STREAM_CLOSED');
    if (act === 'headers' || isIdle) return this.#lose('PROTOCOL_ERROR');
    return NOTHING;
  }

  #onMessage({ act, id, isEnd }: Step, state: State): Outcome {
    const end = isEnd ? ' end' : '';
    switch (state) {
      case 'open':
      case 'local-ended':
        if (act === 'headers' && !isEnd) {
          // Trailers that end nothing: malformed, and the test resets such a stream.
          this.#states.set(id, 'reset-by-us');
          const sent = [`RST_STREAM ${id} PROTOCOL_ERROR`];
          return { events: [`malformed ${id} malformed-field`], sent };
        }
        if (isEnd) this.#states.set(id, state === 'open' ? 'remote-ended' : 'ended');
        return { events: [`${act === 'data' ? 'data' : 'trailers'} ${id}${end}`], sent: [] };
      case 'remote-ended':
        this.#states.set(id, 'reset-by-us');
        return {
          events: [`stream-error ${id} STREAM_CLOSED`],
          sent: [`RST_STREAM ${id} STREAM_CLOSED`],
        };
      case 'ended':
        return this.#lose('STREAM_CLOSED');
      case 'reset-by-us':
        return NOTHING;
      case 'reset-by-peer':
        return { events: [], sent: [`RST_STREAM ${id} STREAM_CLOSED`] };
    }
  }

  #onRespond({ id, isEnd }: Step, state: State): Outcome {
    if (state !== 'open' && state !== 'remote-ended') return NOTHING;
    if (isEnd) this.#states.set(id, state === 'open' ? 'local-ended' : 'ended');
    return { events: [], sent: [`HEADERS ${id}${isEnd ? ' end' : ''}`] };
  }

  #lose(code: string): Outcome {
    this.isLost = true;
    return { events: [`fault ${code}`], sent: [`GOAWAY ${this.#highest} ${code}`] };
  }
}

function isLive(state: State): boolean {
  return state === 'open' || state === 'remote-ended' || state === 'local-ended';
}

/** The same step on a real connection, events without their content. */
function run(connection: Http2Connection<string>, step: Step, opened: Set<number>): Outcome {
  const { act, id, isEnd } = step;
  let events: string[] = [];
  if (act === 'respond' || act === 'cancel') {
    const stream = connection.stream(id);
    if (stream !== null && act === 'cancel') connection.resetStream(stream, 8);
    if (stream !== null && act === 'respond' && !stream.isLocalEnded) {
      connection.respond(stream, { status: 200, fields: [], isEndStream: isEnd });
    }
  } else {
    const flags = isEnd ? 1 : 0;
    if (act === 'headers') {
      const fields = opened.has(id) ? ['x', 'y'] : GET;
      events = drive(connection, headers(id, fields, flags | 4));
    } else if (act === 'data') events = drive(connection, data(id, 'z', flags));
    else if (act === 'reset') events = drive(connection, reset(id));
    else events = drive(connection, windowUpdate(id, 1));
  }
  for (const event of events) {
    if (event.startsWith('head')) opened.add(id);
    if (event.startsWith('malformed')) connection.resetStream(connection.facts.stream, 1);
  }
  return { events: events.map(withoutContent), sent: told(connection.take()) };
}

function withoutContent(event: string): string {
  if (!/^(head|data|trailers) /.test(event)) return event;
  const [name, id] = event.split(' ');
  return `${name} ${id}${event.endsWith(' end') ? ' end' : ''}`;
}

describe('stream states (RFC 9113 5.1)', () => {
  it('are those of the RFC on any sequence of frames', () => {
    const step: fc.Arbitrary<Step> = fc.record({
      act: fc.constantFrom('headers', 'data', 'reset', 'window', 'respond', 'cancel'),
      id: fc.constantFrom(1, 3, 5, 7),
      isEnd: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
        const model = new Model();
        const connection = greetedServer();
        const opened = new Set<number>();
        for (const one of steps) {
          expect(run(connection, one, opened)).toEqual(model.expected(one));
          if (model.isLost) return;
        }
      }),
      { numRuns: 3000 },
    );
  });
});
