import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import {
  data,
  drive,
  frame,
  GENEROUS_LIMITS,
  GET,
  greetedServer,
  headers,
  reset,
  told,
  uint32,
  windowUpdate,
} from './wire.ts';

/**
 * RFC 9113 5.1 written down a second time, as slowly and plainly as it reads: what a server tells and
 * sends for every frame in every state. The connection must do the same on any sequence of frames.
 */
type State = 'open' | 'remote-ended' | 'local-ended' | 'ended' | 'reset-by-us' | 'reset-by-peer';

const ACTS = [
  'headers',
  'data',
  'reset',
  'window',
  'window-of-0',
  'window-too-wide',
  'priority',
  'priority-too-short',
  'priority-of-itself',
  'respond',
  'cancel',
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
  readonly #states = new Map<number, State>();
  #highest = 0;
  isLost = false;

  expected(step: Step): Outcome {
    const state = this.#states.get(step.id);
    // In every state, even before and after all others (5.3.2, 6.3).
    if (step.act === 'priority') return NOTHING;
    if (step.act === 'priority-of-itself') return this.#lose('PROTOCOL_ERROR');
    if (step.act === 'priority-too-short') {
      const isHere = state !== undefined && isLive(state);
      return isHere ? this.#break(step.id, 'FRAME_SIZE_ERROR') : this.#lose('FRAME_SIZE_ERROR');
    }
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
      case 'window-of-0':
        return isLive(state) ? this.#break(step.id, 'PROTOCOL_ERROR') : NOTHING;
      case 'window-too-wide':
        return isLive(state) ? this.#break(step.id, 'FLOW_CONTROL_ERROR') : NOTHING;
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
        return this.#break(id, 'STREAM_CLOSED');
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

  #break(id: number, code: string): Outcome {
    this.#states.set(id, 'reset-by-us');
    return { events: [`stream-error ${id} ${code}`], sent: [`RST_STREAM ${id} ${code}`] };
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
    else events = drive(connection, controlFrame(act, id));
  }
  for (const event of events) {
    if (event.startsWith('head')) opened.add(id);
    if (event.startsWith('malformed')) connection.resetStream(connection.facts.stream, 1);
  }
  return { events: events.map(withoutContent), sent: told(connection.take()) };
}

function controlFrame(act: Step['act'], id: number): Buffer {
  switch (act) {
    case 'window-of-0':
      return windowUpdate(id, 0);
    case 'window-too-wide':
      return windowUpdate(id, 0x7fff_ffff);
    case 'priority':
      return frame(2, 0, id, Buffer.concat([uint32(id + 2), Buffer.alloc(1)]));
    case 'priority-too-short':
      return frame(2, 0, id, Buffer.alloc(4));
    case 'priority-of-itself':
      return frame(2, 0, id, Buffer.concat([uint32(id), Buffer.alloc(1)]));
    default:
      return windowUpdate(id, 1);
  }
}

function withoutContent(event: string): string {
  if (!/^(head|data|trailers) /.test(event)) return event;
  const [name, id] = event.split(' ');
  return `${name} ${id}${event.endsWith(' end') ? ' end' : ''}`;
}

describe('stream states (RFC 9113 5.1)', () => {
  it('are those of the RFC on any sequence of frames', () => {
    const step: fc.Arbitrary<Step> = fc.record({
      // What ends the connection comes seldom, or most sequences would be short.
      act: fc.oneof(
        { weight: 9, arbitrary: fc.constantFrom(...ACTS.slice(0, 7), 'respond', 'cancel') },
        { weight: 1, arbitrary: fc.constantFrom(...ACTS) },
      ),
      id: fc.constantFrom(1, 3, 5, 7),
      isEnd: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
        const model = new Model();
        const connection = greetedServer(GENEROUS_LIMITS);
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
