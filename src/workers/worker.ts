/**
 * A data-plane worker from the inside: takes messages, keeps its own policy store, observer and data
 * plane. Listens only with a policy set in force; ends when it is drained. Knows no process.
 */
import { formatProblem } from '../control/decode/problem.ts';
import { decodeSecrets } from '../control/decode/secrets.ts';
import type { SourceBundle } from '../control/policy_set.ts';
import { PolicyStore } from '../control/policy_store.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Limits } from '../model/limits.ts';
import { createObserver, type Observer, type ObserverOptions } from '../observe/observer.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { DataPlane } from '../proxy/data_plane.ts';
import { createRe2Engine } from '../regex/re2_engine.ts';
import type { FromWorker, NumberedBundle, ToWorker, WorkerSettings } from './messages.ts';
import { bindErrorText } from './port_probe.ts';
import { makeCiliumIdentities, makeRedirectParts } from './redirect_parts.ts';

export class Worker {
  readonly #post: (message: FromWorker) => void;
  readonly #onDrained: () => void;
  #parts: Parts | null = null;
  #isDrained = false;
  /** Came while the parts were being made. */
  #earlyUpdate: NumberedBundle | null = null;

  constructor(options: {
    readonly post: (message: FromWorker) => void;
    /** Nothing is open any more. */
    readonly onDrained: () => void;
  }) {
    this.#post = options.post;
    this.#onDrained = options.onDrained;
  }

  handle(message: ToWorker): void {
    switch (message.kind) {
      case 'start':
        void this.#start(message.settings, message.policy);
        break;
      case 'update':
        this.#update(message.policy);
        break;
      case 'report':
        void this.#report(message.requestId);
        break;
      case 'reopen-access-log':
        this.#parts?.observer.reopen();
        break;
      case 'set-log-level':
        this.#parts?.observer.setLogLevel(message.level);
        break;
      case 'drain':
        void this.#drain();
        break;
    }
  }

  /** True once everything is closed after a drain. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  /** Everything is closed now; nothing is told any more. */
  stop(): void {
    const parts = this.#parts;
    this.#parts = null;
    this.#isDrained = true;
    parts?.stopRedirect();
    parts?.dataPlane.stop();
    void parts?.observer.close();
  }

  async #start(settings: WorkerSettings, policy: NumberedBundle): Promise<void> {
    try {
      const parts = await makeParts(settings);
      if (this.#isDrained) {
        parts.stopRedirect();
        await parts.observer.close();
        return;
      }
      const result = parts.store.update(policy.bundle, policy.revision);
      if (result.kind === 'rejected') {
        const message = `the policy set was rejected: ${result.problems.map(formatProblem).join('; ')}`;
        this.#post({ kind: 'start-failed', message });
        return;
      }
      parts.secrets.take(policy.bundle);
      parts.observer.policyChanged();
      this.#parts = parts;
      if (this.#earlyUpdate !== null) this.#update(this.#earlyUpdate);
      const listeners = await parts.dataPlane.start();
      this.#post({ kind: 'updated', revision: parts.store.current().revision });
      this.#post({ kind: 'listening', listeners });
    } catch (error) {
      // Descriptors that it would register again are closed, and soon somebody else's.
      this.#parts?.stopRedirect();
      this.#post({ kind: 'start-failed', message: startErrorText(error) });
    }
  }

  #update(policy: NumberedBundle): void {
    if (this.#parts === null) {
      this.#earlyUpdate = policy;
      return;
    }
    const { store, dataPlane, observer, secrets } = this.#parts;
    const { revision } = policy;
    const result = store.update(policy.bundle, revision);
    if (result.kind === 'rejected') {
      const problems = result.problems.map(formatProblem);
      this.#post({ kind: 'update-failed', revision, problems });
      return;
    }
    secrets.take(policy.bundle);
    dataPlane.policyChanged();
    observer.policyChanged();
    this.#post({ kind: 'updated', revision });
  }

  async #report(requestId: number): Promise<void> {
    if (this.#parts === null) return;
    const metrics = await this.#parts.observer.metrics();
    this.#post({ kind: 'report', requestId, report: { metrics } });
  }

  async #drain(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    parts?.stopRedirect();
    await parts?.dataPlane.drain();
    await parts?.observer.close();
    this.#isDrained = true;
    this.#post({ kind: 'drained' });
    this.#onDrained();
  }
}

interface Parts {
  /** Of the set in force, so that the log never shows them. */
  readonly secrets: SecretValues;
  readonly observer: Observer;
  readonly store: PolicyStore;
  readonly dataPlane: DataPlane;
  readonly stopRedirect: () => void;
}

class SecretValues {
  readonly #limits: Limits;
  #values: readonly string[] = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  take({ secrets }: SourceBundle): void {
    const decoded = secrets === null ? null : decodeSecrets(secrets, this.#limits);
    this.#values = decoded?.kind === 'ok' ? [...decoded.secrets.values()] : [];
  }

  values(): readonly string[] {
    return this.#values;
  }
}

async function makeParts(settings: WorkerSettings): Promise<Parts> {
  const { limits } = settings;
  const store = new PolicyStore({ regexEngine: createRe2Engine(limits), limits });
  const platform = nodePlatform();
  const secrets = new SecretValues(limits);
  const observer = openObserver({
    workerIndex: settings.index,
    listeners: settings.listeners.map(({ name }) => name),
    accessLog: settings.accessLog,
    logLevel: settings.logLevel,
    limits,
    platform,
    currentPolicy: () => store.current(),
    secretValues: () => secrets.values(),
  });
  const redirect = await makeRedirectParts(settings, {
    timers: platform.timers,
    onReattached: () =>
      observer.warn({}, 'redirect: pins were made anew or slots were empty; taken again'),
    onError: (problem) => observer.warn({ problem }, 'redirect: the pins are gone'),
  });
  const cilium = await makeCiliumIdentities(settings, {
    clock: platform.clock,
    onError: (problem) => observer.warn({ problem }, 'cilium: a map cannot be read'),
  });
  const dataPlane = new DataPlane({
    listeners: settings.listeners,
    limits,
    behaviour: settings.behaviour,
    currentSnapshot: () => store.current(),
    recorder: observer,
    platform,
    sockets: redirect.sockets,
    records: redirect.records,
    cilium,
  });
  return { secrets, observer, store, dataPlane, stopRedirect: redirect.stop };
}

/** Opens the access log: a file that cannot be opened is the user's to mend. */
function openObserver(options: ObserverOptions): Observer {
  try {
    return createObserver(options);
  } catch (error) {
    const { to } = options.accessLog;
    if (to.kind !== 'file') throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new Error(`access log ${to.path}: cannot be opened (${code})`, { cause: error });
  }
}

/** A bind that failed is the user's to mend: say what it means. */
function startErrorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port } = error as NodeJS.ErrnoException & {
    readonly address?: string;
    readonly port?: number;
  };
  if (code === undefined || address === undefined) return error.message;
  return `${formatSocketAddress(address, port ?? 0)}: ${bindErrorText(code)}`;
}
