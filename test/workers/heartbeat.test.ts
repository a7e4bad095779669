/** A worker that answers is never taken for one that hangs, however the intervals are set and however busy we are. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Heartbeat } from '../../src/workers/heartbeat.ts';
import { PatientTimeout } from '../../src/workers/patient_timeout.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a heartbeat', () => {
  it.each([
    { intervalMs: 60_000, silenceMs: 500 },
    { intervalMs: 5_000, silenceMs: 5_000 },
    { intervalMs: 1_000, silenceMs: 10_000 },
    { intervalMs: 50, silenceMs: 3_600_000 },
  ])(
    'of $intervalMs ms does not hold silence of $silenceMs ms against one that answers',
    async (limits) => {
      const { beat, counts } = scene(limits, { answerMs: 5 });
      await vi.advanceTimersByTimeAsync(100 * limits.intervalMs);
      expect(counts.silences).toBe(0);
      expect(counts.questions).toBeGreaterThan(95);
      beat.stop();
    },
  );

  it.each([
    { intervalMs: 60_000, silenceMs: 500 },
    { intervalMs: 1_000, silenceMs: 10_000 },
  ])('of $intervalMs ms tells a silence of $silenceMs ms once', async (limits) => {
    const { counts } = scene(limits, { answerMs: Number.POSITIVE_INFINITY });
    await vi.advanceTimersByTimeAsync(20 * Math.max(limits.intervalMs, limits.silenceMs));
    expect(counts.silences).toBe(1);
  });

  it('reads what has come before it believes in silence', async () => {
    const { beat, counts } = scene({ intervalMs: 1000, silenceMs: 1000 }, { answerMs: Number.NaN });
    await vi.advanceTimersByTimeAsync(999);
    // The answer lies unread when the beat of 2000 ms is due, and is read in the same turn.
    setTimeout(() => setImmediate(() => beat.heard()), 1001);
    await vi.advanceTimersByTimeAsync(1500);
    expect(counts.silences).toBe(0);
    beat.stop();
  });

  it('that is stopped tells nothing', async () => {
    const { beat, counts } = scene({ intervalMs: 1000, silenceMs: 1000 }, { answerMs: Number.NaN });
    await vi.advanceTimersByTimeAsync(1999);
    beat.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(counts.silences).toBe(0);
  });
});

describe('a patient time-out', () => {
  it('is none when the word has come and is read in the turn in which it is due', async () => {
    const timeout = new PatientTimeout();
    const onTimeout = vi.fn();
    setTimeout(() => setImmediate(() => timeout.clear()), 100);
    timeout.start(100, onTimeout);
    await vi.advanceTimersByTimeAsync(1000);
    expect(onTimeout).not.toHaveBeenCalled();
  });

  it('comes once, and can be started again', async () => {
    const timeout = new PatientTimeout();
    const onTimeout = vi.fn();
    timeout.start(100, onTimeout);
    timeout.start(200, onTimeout);
    expect(timeout.isRunning).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(onTimeout).toHaveBeenCalledTimes(1);
    expect(timeout.isRunning).toBe(false);
  });
});

function scene(
  limits: { readonly intervalMs: number; readonly silenceMs: number },
  { answerMs }: { readonly answerMs: number },
) {
  const counts = { questions: 0, silences: 0 };
  const beat = new Heartbeat({
    limits: {
      workerHeartbeatIntervalMs: limits.intervalMs,
      workerSilenceTimeoutMs: limits.silenceMs,
    },
    ask: () => {
      counts.questions++;
      if (Number.isFinite(answerMs)) setTimeout(() => beat.heard(), answerMs);
    },
    onSilent: () => {
      counts.silences++;
    },
  });
  return { beat, counts };
}
