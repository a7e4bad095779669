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

/**
 * A stream that lived this long, or less, before it was reset costs one reset; one that lived n times as long costs
 * 1/n³. For all that time it had its place among the streams that may be open at once, so that n times fewer can
 * follow it, and an upstream has not more of them in hand than it takes: that is a client with deadlines, and no
 * rapid reset. A hundred streams that all end 33 ms after they began, again and again, are just forgiven in time.
 */
const WHOLE_RESET_LIFE_MS = 10;

/** What a stream that an upstream has answered to its end gives back: a third may be reset for good. */
const RESETS_AN_ANSWER = 0.5;

/** Refused streams that are forgiven while the client cannot know our limit yet, by that limit. */
const EARLY_REFUSALS_A_STREAM = 10;

export class AbuseBudget {
  readonly #limits: Limits;
  /** Resets that are not forgiven yet. */
  #resets = 0;
  #resetsAtMs = 0;
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

  /** The peer gave up a stream that it had opened `lifeMs` ago. Deadlines, hedging and users do so all day. */
  countCancel(lifeMs: number, nowMs: number): boolean {
    const share = WHOLE_RESET_LIFE_MS / Math.max(lifeMs, WHOLE_RESET_LIFE_MS);
    return this.#countResets(share ** 3, nowMs);
  }

  /** A stream was reset by us because of what the peer sent, however long it lived. */
  countReset(nowMs: number): boolean {
    return this.#countResets(1, nowMs);
  }

  /** An upstream has answered a stream: what it did was asked for. */
  noteAnswered(): void {
    if (this.#resets > 0) this.#resets = Math.max(0, this.#resets - RESETS_AN_ANSWER);
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

  #countResets(cost: number, nowMs: number): boolean {
    const { h2ResetCountMax, h2ResetWindowMs } = this.#limits;
    const elapsedMs = Math.max(0, nowMs - this.#resetsAtMs);
    const forgiven = (elapsedMs * h2ResetCountMax) / h2ResetWindowMs;
    this.#resetsAtMs = nowMs;
    this.#resets = Math.max(0, this.#resets - forgiven) + cost;
    return this.#resets <= h2ResetCountMax;
  }
}
