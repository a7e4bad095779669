/** What a sink is told of how far it may believe what it has heard: once it changes, and not for a short break. */
import type { Clock, Timers } from '../../platform/platform.ts';
import type { StaleKind } from '../kind_sink.ts';
import type { ObjectNameKey } from '../seen_object.ts';

export interface KindHealthOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly graceMs: number;
  readonly tell: (stale: StaleKind | null) => void;
}

/** Objects whose names are kept. */
const UNREAD_MAX = 100;
/** Names that are shown. */
const SHOWN_MAX = 3;

export class KindHealth {
  readonly #options: KindHealthOptions;
  /** The watch does not work, or has not yet. */
  #broken: StaleKind | null = null;
  #isGraceOver = false;
  #stopGrace: (() => void) | null = null;
  /** Objects whose newest form was skipped, and why. */
  readonly #unread = new Map<ObjectNameKey, StaleKind>();
  #told: StaleKind | null = null;

  constructor(options: KindHealthOptions) {
    this.#options = options;
  }

  /** Since the first one of several. */
  broken(problem: string, isAtOnce = false): void {
    const { clock, timers, graceMs } = this.#options;
    this.#broken = { sinceMs: this.#broken?.sinceMs ?? clock.wallMs(), problem };
    if (isAtOnce) this.#isGraceOver = true;
    if (!this.#isGraceOver) {
      this.#stopGrace ??= timers.after(graceMs, () => {
        this.#isGraceOver = true;
        this.#tell();
      });
      return;
    }
    this.#tell();
  }

  whole(): void {
    if (this.#broken === null) return;
    this.#broken = null;
    this.#isGraceOver = false;
    this.stop();
    this.#tell();
  }

  unread(key: ObjectNameKey, problem: string): void {
    const before = this.#unread.get(key);
    if (before === undefined && this.#unread.size >= UNREAD_MAX) return;
    const sinceMs = before?.sinceMs ?? this.#options.clock.wallMs();
    this.#unread.set(key, { sinceMs, problem });
    this.#tell();
  }

  /** It was read, or is gone. */
  read(key: ObjectNameKey): void {
    if (this.#unread.size > 0 && this.#unread.delete(key)) this.#tell();
  }

  /** Of what could not be read, the others are gone. */
  keepUnread(isThere: (key: ObjectNameKey) => boolean): void {
    for (const key of this.#unread.keys()) if (!isThere(key)) this.#unread.delete(key);
    this.#tell();
  }

  stop(): void {
    this.#stopGrace?.();
    this.#stopGrace = null;
  }

  #tell(): void {
    const stale = this.#isGraceOver ? this.#broken : this.#unreadState();
    const told = this.#told;
    if (stale?.sinceMs === told?.sinceMs && stale?.problem === told?.problem) return;
    this.#told = stale;
    this.#options.tell(stale);
  }

  #unreadState(): StaleKind | null {
    if (this.#unread.size === 0) return null;
    const all = [...this.#unread];
    const shown = all.slice(0, SHOWN_MAX).map(([key, { problem }]) => `${key}: ${problem}`);
    const more = all.length > SHOWN_MAX ? `; and ${all.length - SHOWN_MAX} more` : '';
    return {
      sinceMs: Math.min(...all.map(([, { sinceMs }]) => sinceMs)),
      problem: `objects that cannot be read keep the form they had: ${shown.join('; ')}${more}`,
    };
  }
}
