import { describe, expect, it } from 'vitest';
import { updatesOf } from '../../../bench/loads/changing_policy.ts';
import type { Sample, Scenario } from '../../../bench/report/report.ts';
import { rateOf, withAdded, withLatenessWarning } from '../../../bench/suites/latency.ts';

function scenario(rows: Readonly<Record<string, readonly Sample[]>>): Scenario {
  return {
    id: 'x',
    title: 'x',
    load: [],
    figures: [],
    reference: null,
    rows: Object.entries(rows).map(([subject, samples]) => ({ subject, samples })),
    warnings: ['was there'],
  };
}

describe('the rate', () => {
  it('is half of what the slowest one reached, as a round number', () => {
    const fast = [
      { requestsPerSecond: 40_000 },
      { requestsPerSecond: 10 },
      { requestsPerSecond: 50_000 },
    ];
    const slow = [{ requestsPerSecond: 8_300 }];
    expect(rateOf(scenario({ fast, slow }))).toBe(4_100);
    expect(rateOf(scenario({ slow: [{ requestsPerSecond: 7 }] }))).toBe(100);
  });

  it('leaves out who gave no answer, and needs one who did', () => {
    expect(rateOf(scenario({ dead: [], slow: [{ requestsPerSecond: 8_000 }] }))).toBe(4_000);
    expect(() => rateOf(scenario({ dead: [{ failures: 3 }] }))).toThrow('nobody answered');
  });
});

describe('added latency', () => {
  it('is the difference to the origin alone in the same round', () => {
    const { rows } = withAdded(
      scenario({
        'origin alone': [
          { p50Ms: 1, p99Ms: 2 },
          { p50Ms: 2, p99Ms: 4 },
        ],
        envoy: [{ p50Ms: 3, p99Ms: 7 }, { p50Ms: 3 }],
      }),
    );
    expect(rows[1]?.samples).toEqual([
      { p50Ms: 3, p99Ms: 7, addedP50Ms: 2, addedP99Ms: 5 },
      { p50Ms: 3, addedP50Ms: 1 },
    ]);
    expect(rows[0]?.samples[0]).toEqual({ p50Ms: 1, p99Ms: 2 });
  });

  it('is not told when a round is lacking, or the origin', () => {
    const short = scenario({ 'origin alone': [{ p99Ms: 1 }], envoy: [{ p99Ms: 2 }, { p99Ms: 3 }] });
    expect(withAdded(short)).toEqual(short);
    const alone = scenario({ envoy: [{ p99Ms: 2 }] });
    expect(withAdded(alone)).toEqual(alone);
  });
});

describe('a load that is late itself', () => {
  it.each([
    { loadLateP99Ms: 0.6, isWarned: true },
    { loadLateP99Ms: 0.1, isWarned: false },
  ])(
    'is warned of when it comes near the latency: $loadLateP99Ms',
    ({ loadLateP99Ms, isWarned }) => {
      const { warnings } = withLatenessWarning(
        scenario({ envoy: [{ p99Ms: 1, loadLateP99Ms }], haproxy: [{ p99Ms: 5, loadLateP99Ms }] }),
      );
      expect(warnings[0]).toBe('was there');
      expect(warnings.length).toBe(isWarned ? 2 : 1);
    },
  );
});

describe('policy updates', () => {
  it('are read from the metrics', () => {
    const metrics = [
      '# TYPE sallyport_policy_updates_total counter',
      'sallyport_policy_updates_total{result="accepted"} 12',
      'sallyport_policy_updates_total{result="rejected"} 2',
      'sallyport_policy_updates_total{result="failed"} 1',
      'sallyport_policy_revision 13',
    ].join('\n');
    expect(updatesOf(metrics)).toEqual({ accepted: 12, refused: 3 });
    expect(updatesOf('')).toEqual({ accepted: 0, refused: 0 });
  });
});
