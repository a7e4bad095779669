/**
 * One account a connection for what costs the peer little and us work: resets (CVE-2023-44487),
 * resets that it makes us send (CVE-2025-8671), frames that carry nothing or move nothing on.
 * Every method says whether the connection is still within its budget. Time is told, never read.
 */
import type { Limits } from '../../model/limits.ts';

/** Streams allow two such frames each, and each DATA frame ten WINDOW_UPDATEs twice, as in Envoy. */
const FRAMES_A_STREAM = 2;
const WINDOW_UPDATES_A_DATA_FRAME = 10;

const MILLISECONDS_A_SECOND = 1000;

/** Refused streams that are forgiven while the client cannot know our limit yet, by that limit. */
const EARLY_REFUSALS_A_STREAM = 10;

export class AbuseBudget {
  readonly #limits: Limits;
  /** Times of the latest resets, as a ring; made at the first one. */
  #resetTimes: Float64Array | null = null;
  #resetAt = 0;
  #noise = 0;
  #noiseAtMs = 0;
  #emptyCount = 0;
  #windowUpdateCount = 0;
  #streamCount = 0;
  #dataFrameCount = 0;
  #earlyRefusalsLeft: number;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#earlyRefusalsLeft = limits.h2StreamCountMax * EARLY_REFUSALS_A_STREAM;
  }

  /** A stream was reset by the peer, or by us because of what it sent. */
  countReset(nowMs: number): boolean {
    const countMax = this.#limits.h2ResetCountMax;
    this.#resetTimes ??= new Float64Array(countMax).fill(Number.NEGATIVE_INFINITY);
    const oldestMs = this.#resetTimes[this.#resetAt] as number;
    this.#resetTimes[this.#resetAt] = nowMs;
    this.#resetAt = (this.#resetAt + 1) % countMax;
    return nowMs - oldestMs >= this.#limits.h2ResetWindowMs;
  }

  /** A stream above our limit was refused, before the peer has acknowledged that limit. */
  countEarlyRefusal(nowMs: number): boolean {
    if (this.#earlyRefusalsLeft === 0) return this.countReset(nowMs);
    this.#earlyRefusalsLeft--;
    return true;
  }

  /** A frame that moves no request on: PING, SETTINGS, PRIORITY, unknown, of a closed stream. */
  countNoise(cost: number, nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#noiseAtMs);
    const forgotten = (elapsedMs * this.#limits.h2NoiseFramesPerSecond) / MILLISECONDS_A_SECOND;
    this.#noiseAtMs = nowMs;
    this.#noise = Math.max(0, this.#noise - forgotten) + cost;
    return this.#noise <= this.#limits.h2NoiseFrameCountMax;
  }

  countWindowUpdate(): boolean {
    this.#windowUpdateCount++;
    const work = this.#streamCount + WINDOW_UPDATES_A_DATA_FRAME * this.#dataFrameCount;
    const countMax = this.#limits.h2WindowUpdateSlackCount + FRAMES_A_STREAM * work;
    return this.#windowUpdateCount <= countMax;
  }

  /** A DATA, HEADERS or CONTINUATION frame with nothing in it that ends nothing. */
  countEmptyFrame(): boolean {
    this.#emptyCount++;
    return this.#emptyCount <= this.#limits.h2EmptyFrameCountMax;
  }

  /** A DATA frame with content came. */
  noteDataReceived(): void {
    this.#emptyCount = 0;
    if (this.#noise > 0) this.#noise--;
  }

  /** A header block with fields came. */
  noteFieldsReceived(): void {
    this.#emptyCount = 0;
  }

  noteDataSent(frameCount: number): void {
    this.#dataFrameCount += frameCount;
    this.#noise = Math.max(0, this.#noise - frameCount);
  }

  noteStreamOpened(): void {
    this.#streamCount++;
    this.#noise = Math.max(0, this.#noise - FRAMES_A_STREAM);
  }
}
