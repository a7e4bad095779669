/**
 * Before anything is timed each request is sent once: is it answered as its verdict says? What the
 * client refuses to send is named. Only what is allowed goes to the origin directly, too: policy is
 * not to be passed by on the way to somebody's real upstream.
 */
import type { Dispatcher } from 'undici';
import { KEPT_MISMATCH_COUNT_MAX } from './bounds.ts';
import { BenchFailure } from './children.ts';
import { ask, isRefusedByClient } from './client.ts';
import type { SentRequest, UnsentRequest } from './plan.ts';
import { mismatchOf, type OriginAnswer } from './status.ts';

/** A request that was answered as judged, or is timed all the same. */
export interface CheckedRequest {
  readonly request: SentRequest;
  readonly origin: OriginAnswer;
}

export interface Mismatch {
  readonly place: string;
  readonly what: string;
}

export interface Pools {
  readonly origin: Dispatcher;
  /** By group. */
  readonly groups: readonly Dispatcher[];
}

export interface CheckResult {
  readonly checked: readonly CheckedRequest[];
  readonly refused: readonly UnsentRequest[];
}

/** The first of them are kept, all are counted. */
export class Mismatches {
  readonly kept: Mismatch[] = [];
  count = 0;

  add(place: string, what: string): void {
    this.count++;
    const isKnown = this.kept.some((one) => one.place === place && one.what === what);
    if (!isKnown && this.kept.length < KEPT_MISMATCH_COUNT_MAX) this.kept.push({ place, what });
  }
}

export interface CheckOrder {
  readonly requests: readonly SentRequest[];
  readonly pools: Pools;
  readonly isEmbedded: boolean;
  readonly concurrency: number;
  readonly mismatches: Mismatches;
  /** True when there is no use in going on. */
  readonly isStopped: () => boolean;
}

export async function checkRequests(order: CheckOrder): Promise<CheckResult> {
  const checked: (CheckedRequest | null)[] = order.requests.map(() => null);
  const refused: UnsentRequest[] = [];
  const remaining = order.requests.entries();
  const work = async (): Promise<void> => {
    for (const [index, request] of remaining) {
      if (order.isStopped()) return;
      const outcome = await checkRequest(request, order);
      if (typeof outcome === 'string') {
        refused.push({ place: request.judged.place, because: outcome });
      } else {
        checked[index] = outcome;
      }
    }
  };
  await Promise.all(Array.from({ length: order.concurrency }, work));
  return { checked: checked.filter((one) => one !== null), refused };
}

/** A text: why the client would not send it. */
async function checkRequest(
  request: SentRequest,
  { pools, isEmbedded, mismatches, isStopped }: CheckOrder,
): Promise<CheckedRequest | string> {
  let originStatus = 0;
  if (request.expected.kind === 'forwarded') {
    const direct = await ask(pools.origin, request);
    if (isRefusedByClient(direct)) return refusalText(direct.error);
    if (direct.status === 0 && !isStopped()) {
      const because = direct.error?.message ?? 'no reply';
      throw new BenchFailure(`${request.judged.place}: the origin did not answer: ${because}`);
    }
    originStatus = direct.status;
  }
  const origin = { isEmbedded, status: originStatus };
  const seen = await ask(pools.groups[request.group] as Dispatcher, request);
  if (isRefusedByClient(seen)) return refusalText(seen.error);
  const mismatch = mismatchOf(request.expected, seen, origin);
  if (mismatch !== null && !isStopped()) mismatches.add(request.judged.place, mismatch);
  return { request, origin };
}

function refusalText(error: Error | null): string {
  return `the client refuses to send it: ${error?.message ?? 'no reason given'}`;
}
