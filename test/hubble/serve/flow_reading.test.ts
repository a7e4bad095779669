/** Which flows an answer to GetFlows has, by the rules of Cilium's observer. */
import { describe, expect, it } from 'vitest';
import { FlowReading, type FlowsAsked } from '../../../src/hubble/serve/flow_reading.ts';
import { FlowStore } from '../../../src/hubble/serve/flow_store.ts';
import type { ProxyFlow } from '../../../src/model/flow.ts';
import { FlowBatch } from '../../../src/observe/flow/wire/flow_batch.ts';
import { flowCases, NAMING } from '../flow/flow_cases.ts';

const BASE = (flowCases[0] as (typeof flowCases)[0]).flow as ProxyFlow;
/** TLS that went through: one flow for each. */
const FACTS = { kind: 'tls', serverName: 'a.example' } as const;
const BATCH_FLOWS = 4;
const RING_FLOWS = 20;

const ALL: FlowsAsked = {
  passes: () => true,
  number: 0,
  isFirst: false,
  isFollowing: false,
  sinceMs: null,
  untilMs: null,
};

/** Flows are numbered; that of number n began in the n-th second. */
class Scene {
  readonly store = new FlowStore({
    countMax: RING_FLOWS,
    bytesMax: 1_000_000,
    naming: NAMING,
    onError: (error) => expect.fail(String(error)),
  });
  readonly #batch = new FlowBatch(BASE);
  #number = 0;
  nowMs = 0;

  add(count: number): this {
    for (let i = 0; i < count; i++) {
      const number = ++this.#number;
      this.#batch.add({ ...BASE, number, facts: FACTS, endedAtMs: number * 1000, durationMs: 0 });
      if (number % BATCH_FLOWS === 0) this.store.push(this.#batch.take());
    }
    if (!this.#batch.isEmpty) this.store.push(this.#batch.take());
    return this;
  }

  ask(asked: Partial<FlowsAsked>): Answer {
    return new Answer(this, { ...ALL, ...asked });
  }
}

/** Numbers of the flows, and "lost N". */
class Answer {
  readonly told: (number | string)[] = [];
  readonly #steps: Generator<string, void>;
  isOver = false;
  turnCount = 0;

  constructor(scene: Scene, asked: FlowsAsked) {
    this.#steps = new FlowReading({
      store: scene.store,
      asked,
      outlet: {
        flow: ({ of }) => this.told.push(of.number),
        lost: (_source, count) => this.told.push(`lost ${count}`),
      },
      wallMs: () => scene.nowMs,
      lostIntervalMs: 1000,
    }).read();
    this.goOn();
  }

  /** Until there is nothing more now; of `sentMax`: as a client that takes no more. */
  goOn(sentMax = Number.POSITIVE_INFINITY): this {
    for (let sent = 0; ; ) {
      const step = this.#steps.next();
      this.isOver = step.done === true;
      if (step.value === 'turn') this.turnCount++;
      if (this.isOver || step.value === 'more') return this;
      if (step.value === 'sent' && ++sent >= sentMax) return this;
    }
  }
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('of ten flows', () => {
  it.each<[string, Partial<FlowsAsked>, readonly number[]]>([
    ['all', {}, range(1, 10)],
    ['the last three', { number: 3 }, [8, 9, 10]],
    ['the first three', { number: 3, isFirst: true }, [1, 2, 3]],
    ['more than there are', { number: 99 }, range(1, 10)],
    [
      'the last two that pass',
      { number: 2, passes: ({ time }) => Number(time?.seconds) % 3 === 0 },
      [6, 9],
    ],
    ['those since', { sinceMs: 7000 }, [7, 8, 9, 10]],
    ['the first two since', { sinceMs: 7000, number: 2 }, [7, 8]],
    ['those until', { untilMs: 3000 }, [1, 2, 3]],
    ['the last two until', { untilMs: 5000, number: 2 }, [4, 5]],
    ['none that pass', { passes: () => false }, []],
  ])('%s', (_name, asked, expected) => {
    const answer = new Scene().add(10).ask(asked);
    expect(answer.told).toEqual(expected);
    expect(answer.isOver).toBe(true);
  });
});

it.each<[string, Partial<FlowsAsked>]>([
  ['all flows', {}],
  ['the last ones', { number: 99 }],
])('others have their turn after each flow that a filter looks at for long: %s', (_name, asked) => {
  const scene = new Scene().add(10);
  const passes = (): boolean => {
    scene.nowMs += 50;
    return false;
  };
  expect(scene.ask({ ...asked, passes }).turnCount).toBeGreaterThanOrEqual(10);
});

describe('who follows', () => {
  it('gets what comes from now on', () => {
    const scene = new Scene().add(6);
    const answer = scene.ask({ isFollowing: true });
    scene.add(3);
    expect(answer.goOn().told).toEqual([7, 8, 9]);
    expect(answer.isOver).toBe(false);
  });

  it('gets the last ones first, and does not end at their number', () => {
    const scene = new Scene().add(6);
    const answer = scene.ask({ isFollowing: true, number: 2 });
    expect(answer.told).toEqual([5, 6]);
    scene.add(2);
    expect(answer.goOn().told).toEqual([5, 6, 7, 8]);
  });

  it('ends at the time that was asked for, when nothing can be so old any more', () => {
    const scene = new Scene().add(2);
    const answer = scene.ask({ isFollowing: true, number: 9, untilMs: 3000 });
    scene.add(2);
    expect(answer.goOn().told).toEqual([1, 2, 3]);
    expect(answer.isOver).toBe(false);
    scene.nowMs = 4001;
    expect(answer.goOn().isOver).toBe(true);
  });

  it('is told how many it lost, once, when it read too slowly', () => {
    const scene = new Scene();
    const answer = scene.ask({ isFollowing: true });
    scene.add(4);
    answer.goOn(2);
    expect(answer.told).toEqual([1, 2]);
    scene.nowMs = 5000;
    // What it is at is still read to its end: it was decoded.
    scene.add(100);
    answer.goOn();
    expect(answer.told).toEqual([...range(1, 4), 'lost 80', ...range(85, 104)]);
  });
});

describe('the store', () => {
  it('keeps the last flows, by batches, and counts all', () => {
    const { store } = new Scene().add(101);
    expect(store.seenCount).toBe(101);
    expect(store.keptCount).toBe(RING_FLOWS);
    const kept = store.endId - store.firstId;
    expect(kept).toBe(Math.ceil(RING_FLOWS / BATCH_FLOWS) + 1);
  });

  it('keeps no more bytes than it may, but the newest batch', () => {
    const store = new FlowStore({
      ...{ countMax: 1000, bytesMax: 1, naming: NAMING },
      onError: () => {},
    });
    const batch = new FlowBatch(BASE);
    for (let i = 0; i < 3; i++) {
      batch.add(BASE);
      store.push(batch.take());
    }
    expect(store.endId - store.firstId).toBe(1);
  });
});
