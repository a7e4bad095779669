/**
 * hot path
 *
 * How many log lines one source may cause: a bucket for each address that refills, so that who asks for what is denied,
 * ten thousand times a second, fills no disk. What is left out is counted, and told with the next line of that source,
 * or by itself when it stays quiet.
 */
export interface LineRateOptions {
  /** Lines that come back each second; 0: no bound. */
  readonly perSecond: number;
  /** Lines that a source may cause at once. */
  readonly burstCount: number;
  /** Sources that are remembered; beyond, the one that has been quiet for the longest is forgotten. */
  readonly sourceCountMax: number;
  /** What was left out of a source that nothing more is heard of. */
  readonly onLeftOut: (source: string, count: number) => void;
}

interface Bucket {
  lines: number;
  atMs: number;
  leftOut: number;
}

/** A line that is not to be written. */
export const LEFT_OUT = -1;

export class LineRate {
  readonly #options: LineRateOptions;
  /** In the order of their last line. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: LineRateOptions) {
    this.#options = options;
  }

  /** `LEFT_OUT`, or how many lines of the source were left out before the one that may be written now. */
  take(source: string, nowMs: number): number {
    const { perSecond, burstCount } = this.#options;
    if (perSecond === 0) return 0;
    const bucket = this.#bucketOf(source, nowMs);
    const refilled = ((nowMs - bucket.atMs) / 1000) * perSecond;
    bucket.lines = Math.min(burstCount, bucket.lines + refilled);
    bucket.atMs = nowMs;
    if (bucket.lines < 1) {
      bucket.leftOut += 1;
      return LEFT_OUT;
    }
    bucket.lines -= 1;
    const { leftOut } = bucket;
    bucket.leftOut = 0;
    return leftOut;
  }

  /** Tells what was left out of sources that have been quiet since `beforeMs`, and forgets them. */
  tell(beforeMs: number): void {
    for (const [source, bucket] of this.#buckets) {
      if (bucket.atMs > beforeMs) return;
      this.#forget(source, bucket);
    }
  }

  #bucketOf(source: string, nowMs: number): Bucket {
    const { burstCount, sourceCountMax } = this.#options;
    const known = this.#buckets.get(source);
    if (known !== undefined) {
      // Lines within a moment need no new place in the order.
      if (known.atMs === nowMs) return known;
      this.#buckets.delete(source);
      this.#buckets.set(source, known);
      return known;
    }
    if (this.#buckets.size >= sourceCountMax) {
      for (const [oldest, bucket] of this.#buckets) {
        this.#forget(oldest, bucket);
        break;
      }
    }
    const bucket = { lines: burstCount, atMs: nowMs, leftOut: 0 };
    this.#buckets.set(source, bucket);
    return bucket;
  }

  #forget(source: string, { leftOut }: Bucket): void {
    this.#buckets.delete(source);
    if (leftOut > 0) this.#options.onLeftOut(source, leftOut);
  }
}
