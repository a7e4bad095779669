/** Random histories of objects, with random faults on the way: in the end the sink holds what the server has. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FakeRequest, Fault } from '../../support/fake_kube_api.ts';
import { CNPS, KubeRig } from '../../support/kube_rig.ts';
import type { MirrorSink } from '../../support/mirror_sink.ts';
import { runs } from '../../support/property_runs.ts';
import { until } from '../../support/until.ts';

const SPEED = 500;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
/** Never removed: nobody may ever say that they are. */
const STABLE = ['stable-1', 'stable-2', 'stable-3'] as const;

type Step =
  | { readonly do: 'put' | 'remove'; readonly name: string; readonly size: number }
  | { readonly do: 'fault'; readonly at: Place; readonly fault: Fault; readonly times: number }
  | {
      readonly do:
        | 'end'
        | 'reset'
        | 'cut'
        | 'compact'
        | 'bookmark'
        | 'hang'
        | 'restart'
        | 'nonsense';
    }
  | { readonly do: 'wait'; readonly ms: number };

type Place = 'any' | 'list' | 'page' | 'stream' | 'watch';

const PLACES: Readonly<Record<Place, (request: FakeRequest) => boolean>> = {
  any: () => true,
  list: ({ isWatch, query }) => !isWatch && query.has('limit'),
  page: ({ query }) => query.has('continue'),
  stream: ({ isStreamingList }) => isStreamingList,
  watch: ({ isWatch, isStreamingList }) => isWatch && !isStreamingList,
};

const bytes = fc.integer({ min: 0, max: 900 });
const faults: fc.Arbitrary<Fault> = fc.oneof(
  fc.constantFrom<Fault>(
    { kind: 'status', code: 410, reason: 'Expired' },
    { kind: 'event', code: 410, reason: 'Expired' },
    { kind: 'event', code: 504, message: 'Timeout: Too large resource version: 9, current: 8' },
    { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfterS: 1 },
    { kind: 'status', code: 500, reason: 'InternalError' },
    { kind: 'event', code: 500, reason: 'InternalError' },
    { kind: 'text', code: 503, text: 'no backend' },
    { kind: 'text', code: 404, text: '404 page not found' },
    { kind: 'text', code: 200, text: '<html>login</html>' },
    { kind: 'status', code: 401 },
    { kind: 'status', code: 422, reason: 'Invalid' },
    { kind: 'hang' },
    { kind: 'slow', delayMs: 5 },
  ),
  fc.record({ kind: fc.constantFrom('cut', 'end', 'stall'), afterBytes: bytes }),
);

const names = fc.constantFrom(...NAMES);
const size = fc.constantFrom(0, 10, 300, 5_000);
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constantFrom('put', 'remove'), name: names, size }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('fault'),
        at: fc.constantFrom<Place>('any', 'list', 'page', 'stream', 'watch'),
        fault: faults,
        times: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom(
          'end',
          'reset',
          'cut',
          'compact',
          'bookmark',
          'hang',
          'restart',
          'nonsense',
        ),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.integer({ min: 0, max: 20 }) }),
    },
  ) as fc.Arbitrary<Step>,
  { minLength: 1, maxLength: 25 },
);

async function take(rig: KubeRig, step: Step): Promise<void> {
  const { api } = rig;
  switch (step.do) {
    case 'put':
      return api.put(CNPS, object(step.name, step.size));
    case 'remove':
      return api.remove(CNPS, { namespace: 'shop', name: step.name });
    case 'fault':
      return api.fault(PLACES[step.at], step.fault, step.times);
    case 'compact':
      return api.compact();
    case 'bookmark':
      return api.bookmark();
    case 'hang':
      return api.hang();
    case 'restart':
      api.resume();
      return api.resetAll();
    case 'wait':
      return void (await new Promise((done) => setTimeout(done, step.ms)));
    default:
      for (const watch of api.watches) {
        if (step.do === 'cut') watch.send('{"type":"DELETED","object":{"meta');
        if (step.do === 'nonsense') watch.send('nonsense\n');
        else if (step.do === 'end') watch.end();
        else watch.reset();
      }
  }
}

function object(name: string, bytesOfSpec: number): Parameters<KubeRig['api']['put']>[1] {
  return { metadata: { namespace: 'shop', name }, spec: { text: 'x'.repeat(bytesOfSpec) } };
}

function isSame(rig: KubeRig, sink: MirrorSink): boolean {
  const there = [...rig.api.objectsOf(CNPS)].map(
    ([key, { metadata }]) => `${key}@${metadata['resourceVersion']}`,
  );
  return sink.listedCount > 0 && sink.stale === null && `${there.sort()}` === `${sink.shown}`;
}

describe('any history with any faults', () => {
  it.each([
    ['streams', true],
    ['pages', false],
  ])(
    'ends with what there is, and nothing that stayed is ever gone (%s)',
    async (_, streamsLists) => {
      await fc.assert(
        fc.asyncProperty(steps, fc.boolean(), async (history, isListedFirst) => {
          const rig = await KubeRig.start({ api: { streamsLists }, speed: SPEED });
          try {
            rig.api.serve(CNPS);
            for (const name of STABLE) rig.api.put(CNPS, object(name, 100));
            const sink = rig.follow(CNPS);
            if (isListedFirst) await until(() => rig.api.watchesOf(CNPS).length === 1);
            for (const step of history) await take(rig, step);
            rig.api.clearFaults();
            rig.api.resume();
            rig.api.resetAll();
            await until(() => isSame(rig, sink));
            // One more change comes without a list: the watch lives.
            rig.api.put(CNPS, object('last', 1));
            await until(() => isSame(rig, sink));
            expect(sink.gone.filter((key) => key.includes('stable'))).toEqual([]);
          } finally {
            await rig.close();
          }
        }),
        // What hangs would hang again for each smaller history: the seed is told at once instead.
        { ...runs(40), endOnFailure: true },
      );
    },
    120_000,
  );
});
