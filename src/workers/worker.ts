/**
 * A data-plane worker from the inside: takes messages, keeps its own snapshot store, observer and data
 * plane. Listens only with a policy set in force; ends when it is drained. Knows no process.
 */
import { randomFillSync } from 'node:crypto';
import type { SentBatch } from '../control/worker/identity_wire.ts';
import {
  LiveSnapshot,
  newest,
  type PolicyUpdate,
  type TakenSet,
} from '../control/worker/live_snapshot.ts';
import type { SentServices } from '../control/worker/service_wire.ts';
import { formatSocketAddress } from '../model/address.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { quietTurn } from '../platform/quiet_turn.ts';
import { DataPlane } from '../proxy/data_plane.ts';
import { createRe2Engine } from '../regex/re2_engine.ts';
import { makeDatagrams } from './datagram_parts.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './messages.ts';
import { Observation, type ObservationOptions } from './observation.ts';
import { bindErrorText } from './port_probe.ts';
import { makeCiliumIdentities, makeRedirectParts } from './redirect_parts.ts';
import { type TaughtNames, taughtNames } from './taught_names.ts';

export class Worker {
  readonly #post: Post;
  readonly #onDrained: () => void;
  #parts: Parts | null = null;
  #isDrained = false;
  /** Also while it drains: answers may wait. */
  #names: TaughtNames | null = null;
  #areFlowsWanted = false;
  /** Came while the parts were being made. */
  #earlyUpdate: PolicyUpdate | null = null;
  #earlyBatches: SentBatch[] = [];
  #earlyServices: SentServices[] = [];

  constructor(options: {
    readonly post: Post;
    /** Nothing is open any more. */
    readonly onDrained: () => void;
  }) {
    this.#post = options.post;
    this.#onDrained = options.onDrained;
  }

  handle(message: ToWorker): void {
    switch (message.kind) {
      case 'start':
        void this.#start(message);
        break;
      case 'update':
        this.#update(message.policy);
        break;
      case 'identities':
        if (this.#parts === null) this.#earlyBatches.push(message.batch);
        else this.#parts.store.identities(message.batch);
        break;
      case 'services':
        if (this.#parts === null) this.#earlyServices.push(message.batch);
        else this.#parts.store.services(message.batch);
        break;
      case 'report':
        void this.#report(message.requestId);
        break;
      case 'are-you-alive':
        this.#post({ kind: 'alive' });
        break;
      case 'reopen-access-log':
        this.#parts?.observation.accessLog.reopen();
        break;
      case 'set-log-level':
        this.#parts?.observation.setLogLevel(message.level);
        break;
      case 'subscribe-flows':
      case 'unsubscribe-flows':
        this.#areFlowsWanted = message.kind === 'subscribe-flows';
        this.#parts?.observation.flows.setWanted(this.#areFlowsWanted);
        break;
      case 'lookups-in-force':
        this.#names?.inForce(message.ids);
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
    parts?.store.stop();
    this.#names?.stop();
    parts?.dataPlane.stop();
    void parts?.observation.close();
  }

  async #start({ settings, policy, batches, services }: Start): Promise<void> {
    try {
      const parts = await makeParts(settings, this.#post);
      parts.observation.flows.setWanted(this.#areFlowsWanted);
      if (this.#isDrained) {
        parts.stopRedirect();
        await parts.observation.close();
        return;
      }
      const early = this.#earlyUpdate;
      const result = parts.store.take(early === null ? policy : newest(policy, early));
      if (result.kind === 'refused') {
        const message = `the policy set was rejected: ${result.problems.join('; ')}`;
        this.#post({ kind: 'start-failed', message });
        return;
      }
      parts.secrets.take(result.set);
      parts.observation.recorder.policyChanged();
      this.#parts = parts;
      this.#names = parts.names;
      this.#catchUp(parts.store, [...batches, ...this.#earlyBatches]);
      for (const batch of [...services, ...this.#earlyServices]) parts.store.services(batch);
      this.#earlyServices = [];
      const listeners = await parts.dataPlane.start();
      await parts.warmUp();
      // Drained in the meantime: what is redirected stays with who has it.
      if (this.#parts !== parts) return;
      parts.takeSlots();
      this.#post({ kind: 'updated', revision: parts.store.current().revision });
      this.#post({ kind: 'listening', listeners });
    } catch (error) {
      // Descriptors that it would register again are closed, and soon somebody else's.
      this.#parts?.stopRedirect();
      this.#parts?.dataPlane.stop();
      this.#post({ kind: 'start-failed', message: startErrorText(error) });
    }
  }

  /** A set that came early has some of them in it. */
  #catchUp(store: LiveSnapshot, batches: readonly SentBatch[]): void {
    this.#earlyBatches = [];
    this.#post({ kind: 'identities-in-force', sequence: store.sequence });
    for (const batch of batches) if (batch.sequence > store.sequence) store.identities(batch);
  }

  #update(policy: PolicyUpdate): void {
    const early = this.#earlyUpdate;
    if (this.#parts !== null) this.#parts.store.update(policy);
    else this.#earlyUpdate = early?.parts === undefined ? policy : newest(early, policy);
  }

  async #report(requestId: number): Promise<void> {
    if (this.#parts === null) return;
    const metrics = await this.#parts.observation.metrics();
    this.#post({ kind: 'report', requestId, report: { metrics } });
  }

  async #drain(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    parts?.stopRedirect();
    // A set that came before is still put in force: what drains is not to outlive what it denies.
    await parts?.dataPlane.drain();
    this.#names?.stop();
    parts?.store.stop();
    await parts?.observation.close();
    this.#isDrained = true;
    this.#post({ kind: 'drained' });
    this.#onDrained();
  }
}

/** `onSent`: it has left this process, or never will. */
type Post = (message: FromWorker, onSent?: () => void) => void;

type Start = Extract<ToWorker, { readonly kind: 'start' }>;

interface Parts {
  /** Of the set in force, so that the log never shows them. */
  readonly secrets: SecretValues;
  readonly observation: Observation;
  readonly store: LiveSnapshot;
  readonly dataPlane: DataPlane;
  /** Null: no listener hears of names. */
  readonly names: TaughtNames | null;
  /** Until we are warm, redirected connections go to the proxy that had them before; then they come to us. */
  readonly warmUp: () => Promise<unknown>;
  readonly takeSlots: () => void;
  readonly stopRedirect: () => void;
}

class SecretValues {
  #values: readonly string[] = [];

  take({ secrets }: TakenSet): void {
    this.#values = [...secrets.values()];
  }

  values(): readonly string[] {
    return this.#values;
  }
}

async function makeParts(settings: WorkerSettings, post: Post): Promise<Parts> {
  const { limits } = settings;
  const platform = nodePlatform();
  const secrets = new SecretValues();
  const store = new LiveSnapshot({
    // The supervisor has compiled every pattern, with the same limits.
    regexEngine: createRe2Engine(limits, { areChecked: true }),
    limits,
    platform,
    events: {
      prepare: (next) => observation.prepare(next),
      onSwap: (set, done) => {
        secrets.take(set);
        observation.recorder.policyChanged();
        post({ kind: 'identities-in-force', sequence: store.sequence });
        dataPlane.policyChanged(() => {
          post({ kind: 'updated', revision: set.revision });
          done();
        });
      },
      onRefused: (revision, problems) => post({ kind: 'update-failed', revision, problems }),
      onIdentities: (batch) => {
        observation.recorder.identitiesChanged();
        dataPlane.identitiesChanged(batch);
        post({ kind: 'identities-in-force', sequence: batch.sequence });
      },
      onBroken: (sequence, problem) => post({ kind: 'identities-broken', sequence, problem }),
      onServices: (batch) => {
        observation.recorder.identitiesChanged();
        dataPlane.servicesChanged(batch);
        post({ kind: 'services-in-force', sequence: batch.sequence });
      },
      onServicesBroken: (sequence, problem) => post({ kind: 'services-broken', sequence, problem }),
    },
  });
  const observation = openObservation({
    workerIndex: settings.index,
    listeners: settings.listeners.map(({ name }) => name),
    accessLog: settings.accessLog,
    logLevel: settings.logLevel,
    limits,
    platform,
    currentPolicy: () => store.current(),
    secretValues: () => secrets.values(),
    sendFlows: (batch, onTaken) => post({ kind: 'flows', batch }, onTaken),
  });
  const { redirect, cilium, datagrams } = await kernelParts(settings, observation, platform);
  const names = taughtNames(settings, {
    ...{ platform, limits, post },
    currentSnapshot: () => store.current(),
    events: observation.recorder.events,
    openAddresses: () => dataPlane.openAddresses(),
  });
  const dataPlane: DataPlane = new DataPlane({
    listeners: settings.listeners,
    limits,
    behaviour: settings.behaviour,
    currentSnapshot: () => store.current(),
    recorder: observation.recorder,
    platform,
    sockets: redirect.sockets,
    datagrams,
    names: names?.learner ?? null,
    randomFill: randomFillSync,
    records: redirect.records,
    cilium,
  });
  const { takeSlots, stop: stopRedirect } = redirect;
  const warmUp = async (): Promise<unknown> =>
    redirect.records === null ? null : quietTurn(platform);
  return { secrets, observation, store, dataPlane, names, warmUp, takeSlots, stopRedirect };
}

/** What the kernel knows of connections. */
async function kernelParts(
  settings: WorkerSettings,
  { logger }: Observation,
  platform: ReturnType<typeof nodePlatform>,
) {
  const { timers, clock } = platform;
  const redirect = await makeRedirectParts(settings, {
    timers,
    onReattached: () =>
      logger.warn({}, 'redirect: pins were made anew or slots were empty; taken again'),
    onError: (problem) => logger.warn({ problem }, 'redirect: the pins are gone'),
  });
  const datagrams = await makeDatagrams(settings, {
    platform,
    onBound: redirect.onDatagramsBound,
    onPlain: (problem) =>
      logger.warn(
        { problem },
        'dns: datagrams are read by Node: slower, and not those that are redirected',
      ),
  });
  const cilium = await makeCiliumIdentities(settings, {
    clock,
    onError: (problem) => logger.warn({ problem }, 'cilium: a map cannot be read'),
  });
  return { redirect, cilium, datagrams };
}

/** Opens the access log: a file that cannot be opened is the user's to mend. */
function openObservation(options: ObservationOptions): Observation {
  try {
    return new Observation(options);
  } catch (error) {
    const { to } = options.accessLog;
    if (to.kind !== 'file') throw error;
    throw new Error(`access log ${to.path}: ${logErrorText(error)}`, { cause: error });
  }
}

function logErrorText(error: unknown): string {
  const { code = String(error) } = error as NodeJS.ErrnoException;
  if (code === 'ENXIO') return 'it is a pipe that nobody reads; start its reader first';
  return `cannot be opened (${code})`;
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
