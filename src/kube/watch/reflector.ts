/**
 * Follows the objects of one kind: lists them, watches what changes, and begins again where that breaks, so that its
 * sink ends with what there is (KEP-3157 and the reflector of client-go).
 *
 *     no version ──list──► version ──watch──► version ──watch──► ...
 *         ▲                                      │ it is too old (410), or refused again and again
 *         └──────────────────────────────────────┘
 *
 * A list asks for the newest there is, never for what a cache has: a second API server may be behind the first one.
 */
import type { Limits } from '../../model/limits.ts';
import type { Platform } from '../../platform/platform.ts';
import type { PieceLimits } from '../../text/json_piece.ts';
import type { KubeClient, KubeFailure } from '../client.ts';
import { isTooNew } from '../failure.ts';
import type { KubeKind } from '../kind.ts';
import type { KindSink } from '../kind_sink.ts';
import { nameKeyOf, type ObjectNameKey } from '../seen_object.ts';
import type { ApiServer } from './api_server.ts';
import { Backoff, cryptoRandom, type Random } from './backoff.ts';
import { KindHealth } from './kind_health.ts';
import { listAll } from './list_all.ts';
import { Pauses } from './pauses.ts';
import type { ReadObject, UnreadObject } from './read_object.ts';
import type { Selection } from './selection.ts';
import { isStoreBehind } from './store_version.ts';
import type { WatchEvent } from './watch_event.ts';
import { WATCH_END_TEXTS, type WatchEnd, watch } from './watch_stream.ts';

export interface ReflectorOptions {
  readonly client: KubeClient;
  readonly kind: KubeKind;
  /** Absent: all objects of the kind. */
  readonly selection?: Selection;
  readonly sink: KindSink;
  /** What is known of the API server: one for all that follow its kinds. */
  readonly server: ApiServer;
  readonly platform: Platform;
  readonly limits: PieceLimits &
    Pick<
      Limits,
      'kubeObjectCountMax' | 'kubeRequestTimeoutMs' | 'kubeWatchQuietMaxMs' | 'kubeStaleGraceMs'
    >;
  /** Of a test. */
  readonly random?: Random;
}

/** What to do next. */
type Outcome =
  | { readonly kind: 'again' }
  | Failed
  /** Not allowed. An API server that has just started says so to all, until it has read its roles. */
  | { readonly kind: 'forbidden'; readonly problem: string }
  | { readonly kind: 'absent' };

interface Failed {
  readonly kind: 'failed';
  readonly problem: string;
  readonly retryAfterMs: number | null;
  /** Not of this kind alone, as far as can be told: once the server is back, it may be over. */
  readonly isOfServer: boolean;
}

/** Between two looks for a kind that is not installed; up to twice as long. */
const SLOW_RETRY_MS = 30_000;
/** Objects go only after the server has said twice that it does not have their kind. */
const CONFIRM_MS = 10_000;
const RETRY_AFTER_MAX_MS = 300_000;
/** Those who wait for a server that is back begin within so long, each by its own chance. */
const BACK_SPREAD_MS = 2_000;
/** A watch that lived for so long is one that works. */
const SHORT_LIFE_MS = 1_000;
/** What is not refused for so long is taken for allowed: a proxy may hold back the head of a watch until an event. */
const REFUSAL_MAX_MS = 2_000;
/** The server takes the version of a watch, and then fails: a list may be what it needs. */
const REFUSALS_MAX = 5;
/** Streaming lists that fail in a row before a list in pages is tried. */
const STREAMING_FAILURES_MAX = 2;

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #health: KindHealth;
  readonly #backoff: Backoff;
  /** Of what is forbidden: an API server that was gone for long refuses for a moment only. */
  readonly #forbiddenBackoff: Backoff;
  readonly #random: Random;
  readonly #abort = new AbortController();
  readonly #pauses: Pauses;
  readonly #name: string;
  #running: Promise<void> | null = null;
  /** What a watch goes on from; null: the objects are to be listed. */
  #version: string | null = null;
  /** Of a list that is under way. */
  #listed: Set<ObjectNameKey> | null = null;
  /** It comes in a watch, not in pages. */
  #isStreaming = false;
  /** The last list, or what came since, has an object whose name cannot be read. */
  #hasUnnamed = false;
  /** The sink has heard of objects, which would go if the kind went. */
  #hasObjects = false;
  #isAbsent = false;
  #refusalCount = 0;
  #streamingFailureCount = 0;
  /** The server tells how far it is, about once a minute. One over etcd 3.4 does not while nothing changes. */
  #hasBookmarks = false;

  constructor(options: ReflectorOptions) {
    const { platform, sink, limits, random, kind } = options;
    this.#options = options;
    this.#random = random ?? cryptoRandom;
    this.#pauses = new Pauses(platform.timers, this.#abort.signal);
    this.#backoff = new Backoff(platform.clock, this.#random);
    this.#forbiddenBackoff = new Backoff(platform.clock, this.#random);
    this.#name = kind.plural;
    this.#health = new KindHealth({
      clock: platform.clock,
      timers: platform.timers,
      graceMs: limits.kubeStaleGraceMs,
      tell: (stale) => sink.health(stale),
    });
  }

  start(): void {
    if (this.#running !== null) return;
    this.#health.broken(`${this.#name}: they have not been listed yet`);
    this.#running = this.#run();
  }

  /** The sink hears nothing more. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#health.stop();
    await this.#running;
    this.#options.server.outage.left(this);
  }

  get #isStopped(): boolean {
    return this.#abort.signal.aborted;
  }

  async #run(): Promise<void> {
    const { outage } = this.#options.server;
    while (!this.#isStopped) {
      const { count } = outage;
      const outcome = await this.#round();
      if (this.#isStopped) return;
      // What was asked of a server that was gone.
      if (count !== outage.count) this.#backoff.reset();
      await this.#settle(outcome);
    }
  }

  #round(): Promise<Outcome> {
    if (this.#version !== null) return this.#watch(this.#version);
    const { server } = this.#options;
    this.#isStreaming = server.streamsLists && this.#streamingFailureCount < STREAMING_FAILURES_MAX;
    this.#listed = new Set();
    this.#hasUnnamed = false;
    this.#options.sink.listing?.();
    return this.#isStreaming ? this.#watch(null) : this.#list();
  }

  async #settle(outcome: Outcome): Promise<void> {
    switch (outcome.kind) {
      case 'again':
        return;
      case 'failed':
        this.#health.broken(outcome.problem);
        await this.#backOff(outcome);
        return;
      case 'forbidden':
        this.#health.broken(outcome.problem, true);
        await this.#pauses.pause(this.#forbiddenBackoff.delayMs());
        return;
      case 'absent':
        await this.#settleAbsent();
        return;
    }
  }

  async #backOff({ retryAfterMs, isOfServer }: Failed): Promise<void> {
    const { server, platform } = this.#options;
    // The server may want more time than we would wait, but not for ever.
    const leastMs = Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
    const delayMs = Math.max(this.#backoff.delayMs(), leastMs);
    if (!isOfServer) return void (await this.#pauses.pause(delayMs));
    server.outage.failed(this);
    const startMs = platform.clock.nowMs();
    const isBack = await this.#pauses.pause(delayMs, (wake) => server.outage.onBack(wake));
    if (!isBack) return;
    this.#backoff.reset();
    const passedMs = platform.clock.nowMs() - startMs;
    const soonMs = Math.min(delayMs, passedMs + BACK_SPREAD_MS * this.#random());
    await this.#pauses.pause(Math.max(soonMs, leastMs) - passedMs);
  }

  async #list(): Promise<Outcome> {
    const { client, kind, selection = {}, platform, limits } = this.#options;
    const { timers } = platform;
    const { signal } = this.#abort;
    const options = { kind, selection, timers, limits, signal };
    const result = await listAll(client, options, {
      object: (read) => this.#takeListed(read),
      isEnough: () => this.#isStopped || this.#isTooMuch,
      again: () => this.#listed?.clear(),
    });
    if (this.#isTooMuch) return this.#tooMuch();
    if (result.kind !== 'listed') return this.#failed(result);
    this.#isAbsent = false;
    return this.#complete(result.version);
  }

  #takeListed(read: ReadObject): void {
    if (this.#isStopped) return;
    if (read.kind === 'object') this.#take({ kind: 'put', seen: read.seen });
    else this.#skip(read, false);
  }

  get #isTooMuch(): boolean {
    return (this.#listed?.size ?? 0) > this.#options.limits.kubeObjectCountMax;
  }

  #tooMuch(): Outcome {
    const { kubeObjectCountMax } = this.#options.limits;
    return this.#problem(`there are more than kubeObjectCountMax allows (${kubeObjectCountMax})`);
  }

  /** All there is has been told. */
  #complete(version: string): Outcome {
    const keys = this.#listed;
    if (this.#isStopped || keys === null) return { kind: 'again' };
    this.#listed = null;
    this.#version = version;
    this.#hasObjects = keys.size > 0;
    this.#streamingFailureCount = 0;
    this.#health.keepUnread((key) => (key === UNNAMED ? this.#hasUnnamed : keys.has(key)));
    try {
      this.#options.sink.listed(keys);
    } catch (error) {
      this.#version = null;
      return this.#problem(`internal error: ${(error as Error).message}`);
    }
    this.#works();
    return { kind: 'again' };
  }

  /** `version` null: the objects that there are come first (a streaming list). */
  async #watch(version: string | null): Promise<Outcome> {
    const { client, kind, selection = {}, platform, limits } = this.#options;
    const { clock, timers } = platform;
    const { signal } = this.#abort;
    const options = {
      ...{ kind, selection, version, timers, limits, signal, random: this.#random },
      quietMaxMs: () => this.#quietMaxMs(),
    };
    const follows = version === null ? null : timers.after(REFUSAL_MAX_MS, () => this.#follows());
    let openedMs = clock.nowMs();
    let stopLived: (() => void) | null = null;
    let eventCount = 0;
    let outcome: Outcome | null = null;
    const end = await watch(client, options, {
      opened: () => {
        openedMs = clock.nowMs();
        // One that is refused at once is not one that works.
        if (version === null) return;
        this.#follows();
        stopLived = timers.after(SHORT_LIFE_MS, () => this.#works());
      },
      event: (event) => {
        eventCount += 1;
        outcome = this.#event(event);
        return outcome === null && !this.#isStopped;
      },
    });
    follows?.();
    (stopLived as (() => void) | null)?.();
    // Whether what has no name is still there, no event tells.
    if (this.#listed === null && this.#hasUnnamed) this.#version = null;
    if (outcome !== null) return outcome;
    const isShort = clock.nowMs() - openedMs < SHORT_LIFE_MS;
    const next = this.#ended(end, isShort);
    const isSilent = version !== null && eventCount === 0 && next.kind === 'again';
    return isSilent ? await this.#checkStore(version) : next;
  }

  #follows(): void {
    if (!this.#isStopped) this.#options.sink.followed?.();
  }

  #works(): void {
    this.#refusalCount = 0;
    if (this.#listed !== null) return;
    this.#health.whole();
    this.#forbiddenBackoff.reset();
    this.#options.server.outage.works(this);
  }

  /** Not null: the watch is over. */
  #event(event: WatchEvent): Outcome | null {
    switch (event.kind) {
      case 'put':
      case 'removed':
        this.#take(event);
        if (this.#listed === null) {
          this.#version = event.seen.version;
          this.#works();
        }
        return this.#isTooMuch ? this.#tooMuch() : null;
      case 'unread':
        return this.#skip(event.object, event.isRemoved);
      case 'bookmark':
        return this.#bookmark(event);
      case 'error':
        return this.#failed(event.refusal);
    }
  }

  #bookmark({ version, isInitialEnd }: WatchEvent & { readonly kind: 'bookmark' }): Outcome | null {
    if (this.#listed === null) {
      this.#version = version;
      this.#hasBookmarks = true;
      this.#works();
      return null;
    }
    if (isInitialEnd) {
      this.#isAbsent = false;
      const outcome = this.#complete(version);
      if (outcome.kind !== 'again') return outcome;
      this.#follows();
      return null;
    }
    // A server that knows of streaming lists sends no other bookmark before that one.
    this.#options.server.streamsLists = false;
    return { kind: 'again' };
  }

  #take({ kind, seen }: WatchEvent & { readonly kind: 'put' | 'removed' }): void {
    const { sink } = this.#options;
    const key = nameKeyOf(seen);
    this.#health.read(key);
    if (kind === 'put') {
      this.#listed?.add(key);
      this.#hasObjects = true;
      this.#guarded(key, () => sink.put(seen));
    } else if (this.#listed === null) {
      this.#guarded(key, () => sink.removed({ namespace: seen.namespace, name: seen.name }));
    } else {
      this.#listed.delete(key);
    }
  }

  /** What cannot be read keeps the form that it had, and all others go on. Not null: the watch is over. */
  #skip({ name, message }: UnreadObject, isRemoved: boolean): Outcome | null {
    if (name === null) return this.#skipUnnamed(message);
    const key = nameKeyOf(name);
    if (!isRemoved) {
      this.#listed?.add(key);
      this.#health.unread(key, message);
      return null;
    }
    this.#listed?.delete(key);
    this.#health.read(key);
    if (this.#listed === null) this.#guarded(key, () => this.#options.sink.removed(name));
    return null;
  }

  /** Whatever it was, a list tells how it is now; if that had one, too, the next one after the end of the watch. */
  #skipUnnamed(message: string): Outcome | null {
    const wasThere = this.#hasUnnamed;
    this.#hasUnnamed = true;
    this.#health.unread(UNNAMED, message);
    if (this.#listed !== null || wasThere) return null;
    this.#version = null;
    return this.#problem(`something in the watch cannot be read: ${message}`);
  }

  /** A fault of ours with one object must not stop all others. */
  #guarded(key: ObjectNameKey, tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#health.unread(key, `internal error: ${(error as Error).message}`);
    }
  }

  #ended(end: WatchEnd, isShort: boolean): Outcome {
    if (end.kind === 'refused' || end.kind === 'unreachable') return this.#failed(end);
    if (this.#listed !== null) {
      this.#streamingFailureCount += 1;
      return this.#broken(`the list ended before its end (${WATCH_END_TEXTS[end.kind]})`);
    }
    if (end.kind === 'cut') return this.#broken(`the watch was cut: ${end.message}`);
    if (end.kind === 'quiet') this.#hasBookmarks = false;
    return isShort ? this.#problem('the watch ended at once') : { kind: 'again' };
  }

  #quietMaxMs(): number | null {
    const { limits } = this.#options;
    if (this.#listed !== null) return limits.kubeRequestTimeoutMs;
    return this.#hasBookmarks ? limits.kubeWatchQuietMaxMs : null;
  }

  /** Nothing came since `version`, which is as it should be, or will be so for ever. */
  async #checkStore(version: string): Promise<Outcome> {
    const { client, kind, selection = {} } = this.#options;
    const isBehind = await isStoreBehind(client, kind, selection, version, this.#abort.signal);
    if (!isBehind) return { kind: 'again' };
    this.#version = null;
    return this.#problem('the API server has gone back to an earlier state');
  }

  /** Of this kind, or of us. */
  #problem(problem: string, retryAfterMs: number | null = null): Failed {
    const isOfServer = false;
    return { kind: 'failed', problem: `${this.#name}: ${problem}`, retryAfterMs, isOfServer };
  }

  /** Of the server, or of the way to it. */
  #broken(problem: string, retryAfterMs: number | null = null): Failed {
    return { ...this.#problem(problem, retryAfterMs), isOfServer: true };
  }

  #failed(failure: KubeFailure): Outcome {
    if (failure.kind === 'unreachable') return this.#broken(failure.message);
    const { status, reason, message, retryAfterMs } = failure;
    const said = `the API server says ${status}${reason === '' ? '' : ` ${reason}`}: ${message}`;
    if (status === 404) return { kind: 'absent' };
    if (status === 403) return { kind: 'forbidden', problem: `${this.#name}: ${said}` };
    if (this.#listed !== null && this.#isStreamingRefused(failure)) return { kind: 'again' };
    const isGone = status === 410 || reason === 'Expired' || reason === 'Gone';
    if (isGone || isTooNew(message)) this.#version = null;
    if (status !== 401 && status !== 429) {
      this.#refusalCount += 1;
      if (this.#refusalCount >= REFUSALS_MAX) this.#version = null;
    }
    const isOfServer = status === 429 || (status >= 500 && !isGone && !isTooNew(message));
    return isOfServer ? this.#broken(said, retryAfterMs) : this.#problem(said, retryAfterMs);
  }

  /** A list failed. True: it was a streaming one, and the server knows none; a list in pages is next. */
  #isStreamingRefused({ status, message }: KubeFailure & { readonly kind: 'refused' }): boolean {
    const { server } = this.#options;
    if (status === 401 || status === 429) return false;
    this.#streamingFailureCount += 1;
    const isUnknown = status === 400 || status === 422 || message.includes(NO_PROGRESS);
    if (!isUnknown || !this.#isStreaming) return false;
    server.streamsLists = false;
    return true;
  }

  async #settleAbsent(): Promise<void> {
    const { server, kind } = this.#options;
    const isAbsent = await this.#isReallyAbsent();
    if (!isAbsent || this.#isStopped) return;
    this.#version = null;
    if (!this.#isAbsent) {
      this.#isAbsent = true;
      this.#listed = new Set();
      this.#complete('');
      this.#follows();
      this.#version = null;
    }
    this.#health.whole();
    // To ask for all that is missed of a group is one request, and each node asks.
    while (!this.#isStopped) {
      await this.#pauses.pause(SLOW_RETRY_MS * (1 + this.#random()));
      const look = await this.#pauses.untilStopped(server.kinds.look(kind));
      if (look?.kind === 'served') return;
    }
  }

  async #isReallyAbsent(): Promise<boolean> {
    const { server, kind } = this.#options;
    const lookCount = this.#hasObjects ? 2 : 1;
    for (let i = 0; i < lookCount; i++) {
      if (i > 0) await this.#pauses.pause(CONFIRM_MS);
      const look = await this.#pauses.untilStopped(server.kinds.look(kind));
      if (look === null) return false;
      if (look.kind === 'absent') {
        if (this.#hasObjects)
          this.#health.broken(`${this.#name}: the API server does not have them`);
        continue;
      }
      const why = look.kind === 'served' ? 'it says 404, and that it has them' : look.message;
      const problem = `the API server does not give them: ${why}`;
      await this.#settle(
        look.kind === 'unreachable' ? this.#broken(problem) : this.#problem(problem),
      );
      return false;
    }
    return true;
  }
}

/** Stands for all whose names cannot be read: no object is called so. */
const UNNAMED = '(without a name)';

/** What an API server over etcd 3.4 says to a streaming list, with 500. */
const NO_PROGRESS = 'RequestWatchProgress is disabled';
