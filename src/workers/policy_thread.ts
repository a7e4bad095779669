/**
 * The supervisor's side of the policy thread. Fail closed: a thread that dies, hangs or runs out of memory is a set
 * that is rejected, the last good one stays in force, and another thread goes on; the files that it was at are read
 * again when they change, or when somebody asks for it.
 *
 *     supervisor ── start, reload, print, explain ──► thread (policy_service.ts)
 *                ◄── accepted (rules as bytes) | rejected ──
 */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { BusyError, type ExplainAnswer } from '../admin/backend.ts';
import type { Staleness } from '../control/source/policy_feed.ts';
import { FRESH, type SourceHealth } from '../control/source/source.ts';
import type { FlowAddress, FlowSide } from '../model/flow.ts';
import { type NameCounts, NO_NAMES } from '../model/name_counts.ts';
import type { NameFilter } from '../model/name_row.ts';
import type { Timers } from '../platform/platform.ts';
import type { SentForm } from './kept_forms.ts';
import { failedSet, problemOf } from './policy_failure.ts';
import type {
  FromPolicyThread,
  Kept,
  KeptSet,
  PolicyFormat,
  PolicySettings,
  PolicyThreadData,
  RefusedObjects,
  SentGiven,
  SentIdentities,
  SentRead,
  SentSet,
  SentStart,
  ToPolicyThread,
} from './policy_messages.ts';
import type { PolicyThreadEvents } from './policy_thread_events.ts';

export interface PolicyThreadOptions {
  readonly settings: Omit<PolicySettings, 'isStateOurs'>;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  readonly events: PolicyThreadEvents;
}

/** Between the end of a thread and the next, doubled for each that does nothing to an end. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 60_000;
/** For the last good set to be written. */
const STOP_WAIT_MS = 2000;
/** Until a thread can begin; it is then to put in force again what was. */
const BOOT_MS = 30_000;
/** The first, and one that starts with what is kept instead of the files. */
const START_THREADS_MAX = 2;
const MIB = 1024 * 1024;
/** Of the thread's young generation: half of what V8 would take, which it keeps at rest. */
const YOUNG_MIB_MAX = 24;
const CHECKS = 'a policy set is being checked; ask again later';
const STARTS_AGAIN = 'the policy thread starts again; ask again later';
const ENDED = 'the policy thread has ended';

const NONE_REFUSED: RefusedObjects = { objects: [], count: 0 };

type WithoutId<One> = One extends unknown ? Omit<One, 'id'> : never;
type Ask = WithoutId<Extract<ToPolicyThread, { readonly id: number }>>;

interface Pending {
  readonly resolve: (answer: FromPolicyThread) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
}

export class PolicyThread {
  readonly #options: PolicyThreadOptions;
  readonly #asked = new Map<number, Pending>();
  #nextId = 1;
  #worker: Worker | null = null;
  #cancelTimeout: (() => void) | null = null;
  #cancelRestart: (() => void) | null = null;
  /** Of what the thread is at. */
  #fingerprint: string | null = null;
  #isReading = false;
  #onStarted: ((start: SentStart) => void) | null = null;
  #reloading: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null;
  #onStopped: (() => void) | null = null;
  #isStateOurs = false;
  /** Reads that are told when somebody follows; null: somebody does. */
  #untold: (() => void)[] | null = [];
  #isStopped = false;
  #inForce: KeptSet | null = null;
  /** Of `#inForce`. */
  #forms: Uint8Array[] = [];
  #given: Uint8Array[] = [];
  #staleness: Staleness | null = null;
  #refused = NONE_REFUSED;
  #health = FRESH;
  #unwrittenCount = 0;
  #nameCounts = NO_NAMES;
  #lostForms: Uint8Array | null = null;
  #deathCount = 0;
  /** Of the workers, as it was told last. */
  #condition: string | null = null;

  constructor(options: PolicyThreadOptions) {
    this.#options = options;
  }

  /** Null while what the files say is in force. */
  get staleness(): Staleness | null {
    return this.#staleness;
  }

  /** What the source refuses alone. */
  get refused(): RefusedObjects {
    return this.#refused;
  }

  /** How old what the source has may be. */
  get health(): SourceHealth {
    return this.#health;
  }

  /** Policies whose status cannot be written back. */
  get unwrittenCount(): number {
    return this.#unwrittenCount;
  }

  /** What answers have taught, as the thread told it last. */
  get nameCounts(): NameCounts {
    return this.#nameCounts;
  }

  /** It is at the files. */
  get isReading(): boolean {
    return this.#isReading;
  }

  /** Resolves with what comes first. */
  start(): Promise<SentStart> {
    return new Promise((resolve) => {
      this.#onStarted = resolve;
      this.#launch(null);
      this.#send({ kind: 'start' });
    });
  }

  /** From now on `onRead` is called, first for what has been read since the start. */
  follow(): void {
    const untold = this.#untold ?? [];
    this.#untold = null;
    for (const tell of untold) tell();
  }

  /** The last good set may be kept in the state folder: nobody else does. */
  ownState(): void {
    this.#isStateOurs = true;
    this.#send({ kind: 'own-state' });
  }

  /** What is wrong with the workers; null: nothing any more. */
  tellCondition(problem: string | null): void {
    this.#condition = problem;
    this.#send({ kind: 'condition', problem });
  }

  /** Resolves when what the source has has been read, settled, and was accepted or not. */
  reload(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    if (this.#reloading === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#reloading = { promise, resolve };
      this.#send({ kind: 'reload' });
    }
    return this.#reloading.promise;
  }

  /** The set that was sent last is made anew, with all batches in it: `onRebased`. */
  rebase(): void {
    this.#send({ kind: 'rebase' });
  }

  /** The set in force. */
  print(format: PolicyFormat): Promise<string> {
    return this.#printed({ kind: 'print', format });
  }

  /** What answers have taught, as JSON. */
  listNames(filter: NameFilter): Promise<string> {
    return this.#printed({ kind: 'list-names', filter });
  }

  async #printed(ask: Ask): Promise<string> {
    const answer = await this.#ask(ask);
    if (answer.kind !== 'printed') throw new Error('another answer than was asked for');
    return answer.text;
  }

  /** By the set in force. */
  async explain(question: unknown): Promise<ExplainAnswer> {
    const answer = await this.#ask({ kind: 'explain', question });
    if (answer.kind !== 'explained') throw new Error('another answer than was asked for');
    return answer.answer;
  }

  /** Who is at the addresses, by the set in force. */
  async nameSides(sides: readonly FlowAddress[]): Promise<readonly FlowSide[]> {
    const answer = await this.#ask({ kind: 'name-sides', sides });
    if (answer.kind !== 'named-sides') throw new Error('another answer than was asked for');
    return answer.sides;
  }

  /** What answers taught, and which addresses are in use. */
  tellNames(message: Extract<ToPolicyThread, { kind: 'lookups' | 'open-addresses' }>): void {
    this.#send(message);
  }

  /** Resolves when what is being kept on disk is, or after a moment, and the thread has ended. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#endReload();
    this.#cancelRestart?.();
    const worker = this.#worker;
    if (worker === null) return;
    let cancel = (): void => {};
    await new Promise<void>((resolve) => {
      this.#onStopped = resolve;
      this.#send({ kind: 'stop' });
      cancel = this.#options.timers.after(STOP_WAIT_MS, resolve);
    });
    cancel();
    this.#cancelTimeout?.();
    await worker.terminate();
    this.#failAll(ENDED);
    this.#onStarted?.(failedSet(ENDED));
  }

  /** The thread answers when it is done with the set that it checks, which can take minutes. */
  #ask(ask: Ask): Promise<FromPolicyThread> {
    if (this.#worker === null) return Promise.reject(new BusyError(STARTS_AGAIN));
    const { timers, settings } = this.#options;
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const cancel = timers.after(settings.limits.adminAnswerTimeoutMs, () => {
        this.#asked.delete(id);
        reject(new BusyError(CHECKS));
      });
      this.#asked.set(id, { resolve, reject, cancel });
      this.#send({ ...ask, id });
    });
  }

  #send(message: ToPolicyThread): void {
    this.#worker?.postMessage(message);
  }

  #launch(kept: Kept | null): void {
    const { settings } = this.#options;
    const isStateOurs = this.#isStateOurs;
    const workerData: PolicyThreadData = { settings: { ...settings, isStateOurs }, kept };
    // It gives back what a set leaves (`spent_memory.ts`). A thread cannot be started with it by itself.
    setFlagsFromString('--expose-gc');
    const worker = new Worker(new URL('./policy_thread_main.ts', import.meta.url), {
      workerData,
      name: 'policy',
      execArgv: [],
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_MIB_MAX,
        maxOldGenerationSizeMb: Math.ceil(settings.limits.policyMemoryBytesMax / MIB),
      },
    });
    this.#worker = worker;
    this.#isReading = false;
    this.#nameCounts = NO_NAMES;
    let problem = 'the policy thread ended';
    worker.on('message', (message: FromPolicyThread) => this.#handle(message));
    worker.on('error', (error) => {
      problem = problemOf(error, settings);
    });
    worker.on('exit', () => this.#ended(worker, problem));
    if (this.#condition !== null) this.tellCondition(this.#condition);
    this.#awaitIdle(null, BOOT_MS);
  }

  #handle(message: FromPolicyThread): void {
    switch (message.kind) {
      case 'busy':
        this.#awaitIdle(message.fingerprint);
        break;
      case 'idle':
        this.#cancelTimeout?.();
        this.#isReading = false;
        this.#deathCount = 0;
        break;
      case 'waiting':
        this.#awaitIdle(null, this.#options.settings.limits.kubeSyncTimeoutMs);
        break;
      case 'started':
        this.#started(message.start, message.staleness);
        break;
      case 'read':
        this.#staleness = message.staleness;
        if (message.read.kind === 'changed') this.#keep(message.read.sent);
        if (message.read.kind === 'identities') this.#keepIdentities(message.read.sent);
        this.#tellRead(message.read, message.isAsked);
        break;
      case 'rebased':
        this.#options.events.onRebased(message.set, message.sequence);
        break;
      case 'services':
        this.#options.events.onServices(message.change);
        break;
      case 'learned':
        this.#options.events.onLearned(message.ids, message.sequence);
        break;
      case 'reloaded':
        this.#endReload();
        break;
      case 'refused': {
        const before = this.#refused;
        this.#refused = message.refused;
        this.#options.events.onRefused(message.refused, before);
        break;
      }
      case 'health': {
        const before = this.#health;
        this.#health = message.health;
        this.#options.events.onHealth(message.health, before);
        break;
      }
      case 'unwritten':
        this.#unwrittenCount = message.count;
        break;
      case 'name-counts':
        this.#nameCounts = message.counts;
        break;
      case 'lost-forms':
        this.#lostForms = message.forms;
        break;
      case 'notice':
        this.#options.events.onNotice(message.message);
        break;
      case 'not-kept':
        this.#options.events.onNotKept(message.problem);
        break;
      case 'stopped':
        this.#onStopped?.();
        break;
      default:
        this.#answered(message);
    }
  }

  #answered(message: Extract<FromPolicyThread, { readonly id: number }>): void {
    const pending = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    pending?.cancel();
    if (message.kind === 'failed') pending?.reject(new Error(message.message));
    else pending?.resolve(message);
  }

  #started(start: SentStart, staleness: Staleness | null): void {
    this.#staleness = staleness;
    if (start.kind !== 'rejected') this.#keep(start.sent);
    this.#onStarted?.(start);
    this.#onStarted = null;
    // From here on the process has others that keep it alive.
    this.#worker?.unref();
  }

  #tellRead(read: SentRead, isAsked: boolean): void {
    const tell = (): void => this.#options.events.onRead(read, isAsked);
    if (this.#untold === null) tell();
    else this.#untold.push(tell);
  }

  #keep({ set, sequence, form, given }: SentSet): void {
    this.#keepInForce(form, { revision: set.revision, sequence });
    this.#keepGiven(given);
  }

  #keepInForce(form: SentForm, numbers: Omit<KeptSet, 'forms'>): void {
    if (form.isWhole) this.#forms = [];
    this.#forms.push(form.bytes);
    this.#inForce = { ...numbers, forms: this.#forms };
  }

  #keepGiven(given: SentGiven | null): void {
    if (given === null) return;
    if (given.isWhole) this.#given = [];
    this.#given.push(given.bytes);
  }

  #keepIdentities({ batch, form, given }: SentIdentities): void {
    const revision = this.#inForce?.revision ?? 0;
    const { sequence } = batch;
    if (form !== null) this.#keepInForce(form, { revision, sequence });
    else if (this.#inForce !== null) this.#inForce = { ...this.#inForce, sequence };
    this.#keepGiven(given);
  }

  #awaitIdle(fingerprint: string | null, moreMs = 0): void {
    this.#cancelTimeout?.();
    this.#fingerprint = fingerprint;
    this.#isReading ||= fingerprint !== null;
    const { policyCheckTimeoutMs } = this.#options.settings.limits;
    const worker = this.#worker;
    this.#cancelTimeout = this.#options.timers.after(policyCheckTimeoutMs + moreMs, () => {
      // What it says from now on does not count: it is given up.
      if (worker !== null) {
        this.#ended(
          worker,
          `the policy set took longer than policyCheckTimeoutMs (${policyCheckTimeoutMs} ms)`,
        );
      }
    });
  }

  #ended(worker: Worker, problem: string): void {
    if (worker !== this.#worker || this.#isStopped) {
      this.#onStopped?.();
      return;
    }
    worker.removeAllListeners('message');
    void worker.terminate();
    this.#worker = null;
    this.#cancelTimeout?.();
    this.#deathCount += 1;
    const told = `the policy set could not be checked: ${problem}`;
    this.#failAll(problem);
    if (this.#onStarted !== null) this.#startAgain(told);
    else this.#goOn(told);
  }

  /** Without reading the files that it ended at. */
  #startAgain(problem: string): void {
    if (this.#deathCount >= START_THREADS_MAX) {
      this.#started(failedSet(problem), null);
      return;
    }
    this.#launch(this.#kept(problem));
    this.#send({ kind: 'start' });
  }

  #goOn(problem: string): void {
    const { events, timers, wallMs } = this.#options;
    if (this.#isReading) {
      const rejected = failedSet(problem);
      const { problems, problemCount } = rejected;
      this.#staleness = { sinceMs: this.#staleness?.sinceMs ?? wallMs(), problems, problemCount };
      this.#tellRead(rejected, false);
    }
    events.onDied(problem);
    // The next one tells what it refuses.
    this.#refused = NONE_REFUSED;
    this.#endReload();
    const kept = this.#kept(problem);
    const delayMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** (this.#deathCount - 1));
    this.#cancelRestart = timers.after(delayMs, () => {
      if (this.#isStopped) return;
      this.#launch(kept);
      this.#worker?.unref();
      this.#send({ kind: 'go-on' });
      events.onNamesLost();
      if (this.#reloading !== null) this.#send({ kind: 'reload' });
    });
  }

  #kept(problem: string): Kept {
    return {
      inForce: this.#inForce,
      given: this.#given,
      lostForms: this.#lostForms,
      staleness: this.#staleness,
      problem,
      fingerprint: this.#fingerprint,
    };
  }

  #endReload(): void {
    this.#reloading?.resolve();
    this.#reloading = null;
  }

  #failAll(problem: string): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject, cancel } of asked) {
      cancel();
      reject(new BusyError(problem));
    }
  }
}
