/** Threads that judge: what is given up leaves nothing behind, and costs nobody else. Time is moved by hand. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ReviewReply } from '../../../src/cli/admission/reply.ts';
import { ReviewThreads } from '../../../src/cli/admission/review_threads.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';

const TIMEOUT_MS = 1_000_000;
/** No review at all, which is an answer, too. */
const MALFORMED = { status: 400 };

const open: ReviewThreads[] = [];

afterEach(async () => {
  for (const threads of open.splice(0)) await threads.end();
});

interface Rig {
  readonly platform: ManualPlatform;
  judge(namespace: string, signal?: AbortSignal): Promise<ReviewReply>;
}

/** One thread that has begun. */
async function rig(changes: Partial<Limits> = {}): Promise<Rig> {
  const platform = new ManualPlatform();
  const settings = { limits: { ...DEFAULT_LIMITS, ...changes }, hasNodeLabels: false };
  const threads = new ReviewThreads({ settings, threadCount: 1, ...platform });
  open.push(threads);
  const judge: Rig['judge'] = (namespace, signal = new AbortController().signal) => {
    const sender = { client: 'api', tenant: `namespace ${namespace}` };
    return threads.judge('x', { sender, timeoutMs: TIMEOUT_MS, signal });
  };
  expect(await judge('first')).toMatchObject(MALFORMED);
  return { platform, judge };
}

describe('threads that judge reviews', () => {
  it('take nothing more once they are told to end, even if they were done at that moment', async () => {
    const { platform, judge } = await rig();
    const late = judge('late');
    // The thread answers, and nobody here has a turn to hear it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    platform.advance(DEFAULT_LIMITS.admissionJudgeTimeoutMs);
    const next = judge('other');
    expect(await late).toMatchObject({ outcome: 'too-slow' });
    expect(await next).toMatchObject(MALFORMED);
  });

  it('have no place taken by those of whom nobody waits', async () => {
    const { judge } = await rig({ admissionWaitingCountMax: 1 });
    const running = judge('running');
    const leaving = new AbortController();
    const gone = judge('gone', leaving.signal);
    const other = judge('other');
    expect(await other).toMatchObject({ outcome: 'overloaded' });
    leaving.abort();
    expect(await gone).toMatchObject({ outcome: 'overloaded' });
    const replies = await Promise.all([running, judge('other')]);
    expect(replies).toMatchObject([MALFORMED, MALFORMED]);
  });

  it('give a place that many have to who has none', async () => {
    const { judge } = await rig({ admissionWaitingCountMax: 3 });
    const running = judge('many');
    const many = Array.from({ length: 3 }, () => judge('many'));
    const other = judge('other');
    const outcomes = (await Promise.all([running, ...many, other])).map(({ outcome }) => outcome);
    expect(outcomes).toEqual(['malformed', 'malformed', 'malformed', 'overloaded', 'malformed']);
  });
});
