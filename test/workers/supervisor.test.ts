/** The supervisor against workers that are only promises kept or broken. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SentBatch } from '../../src/control/worker/identity_wire.ts';
import type { NumberedSet } from '../../src/control/worker/live_snapshot.ts';
import { parseSocketAddress } from '../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { DEFAULT_BEHAVIOUR } from '../../src/proxy/plane/options.ts';
import type { WorkerEvents } from '../../src/workers/link.ts';
import type { ToWorker, WorkerSettings } from '../../src/workers/messages.ts';
import type { SentServiceChange } from '../../src/workers/service_sender.ts';
import { Supervisor } from '../../src/workers/supervisor.ts';

/** A worker that does what the test says: how it starts, and whether it takes over updates. */
class FakeWorker {
  readonly sent: ToWorker[] = [];
  readonly index: number;
  readonly #events: WorkerEvents;
  isEnded = false;
  /** Stopped, or in an endless loop. */
  isHung = false;

  constructor(index: number, events: WorkerEvents) {
    this.index = index;
    this.#events = events;
  }

  get settings(): WorkerSettings {
    const start = this.sent[0];
    if (start?.kind !== 'start') throw new Error('was not started');
    return start.settings;
  }

  listen(port = 4711): void {
    const start = this.sent[0];
    if (start?.kind !== 'start') throw new Error('was not started');
    this.took(start.policy.revision);
    this.#events.onMessage({
      kind: 'listening',
      listeners: [{ name: 'a', address: address(`127.0.0.1:${port}`) }],
    });
  }

  took(revision: number): void {
    this.#events.onMessage({ kind: 'updated', revision });
  }

  refuse(revision: number): void {
    this.#events.onMessage({ kind: 'update-failed', revision, problems: ['no'] });
  }

  failToStart(message: string): void {
    this.#events.onMessage({ kind: 'start-failed', message });
  }

  hasInForce(sequence: number): void {
    this.#events.onMessage({ kind: 'identities-in-force', sequence });
  }

  hasServices(sequence: number): void {
    this.#events.onMessage({ kind: 'services-in-force', sequence });
  }

  lacksServices(sequence: number): void {
    this.#events.onMessage({ kind: 'services-broken', sequence, problem: 'a gap' });
  }

  /** Numbers of the batches of Services that it was sent. */
  toldServices(): readonly (number | string)[] {
    const batches = this.sent.flatMap((message) => {
      if (message.kind === 'services') return [message.batch];
      return message.kind === 'start' ? message.services : [];
    });
    return batches.map(({ isWhole, sequence }) => (isWhole ? `whole ${sequence}` : sequence));
  }

  isBroken(sequence: number): void {
    this.#events.onMessage({ kind: 'identities-broken', sequence, problem: 'a gap' });
  }

  /** Numbers of the batches that it was sent, and "set" for a set. */
  told(): readonly (number | string)[] {
    return this.sent.flatMap((message) => {
      if (message.kind === 'identities') return [message.batch.sequence];
      if (message.kind === 'start') return ['start', ...message.batches.map((one) => one.sequence)];
      return message.kind === 'update' ? ['set'] : [];
    });
  }

  alive(): void {
    this.#events.onMessage({ kind: 'alive' });
  }

  end(how = 'signal SIGKILL'): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#events.onEnd(how);
  }
}

class Scene {
  readonly workers: FakeWorker[] = [];
  readonly log: string[] = [];
  readonly supervisor: Supervisor;
  isDrainHeard = true;
  onLaunch: (worker: FakeWorker) => void = (worker) => worker.listen();

  constructor(workerCount: number) {
    this.supervisor = new Supervisor({
      workerCount,
      settings: {
        listeners: [LISTENER],
        redirectRoot: '/sys/fs/bpf/sallyport',
        cilium: { root: '/sys/fs/bpf', ipcacheName: 'cilium_ipcache' },
        behaviour: DEFAULT_BEHAVIOUR,
        limits: DEFAULT_LIMITS,
        accessLog: { to: { kind: 'none' }, headers: [], isQueryLogged: false, allowSampling: 1 },
        logLevel: 'info',
      },
      platform: nodePlatform(),
      launch: (index, events) => this.#launch(index, events),
      events: {
        onWorkerDied: (status, { how, retryInMs }) =>
          this.log.push(`worker ${status.index} died: ${how}, again in ${retryInMs} ms`),
        onWorkerHung: (status) => this.log.push(`worker ${status.index} hangs`),
        onWorkerRestarted: (status) => this.log.push(`worker ${status.index} is back`),
        onPolicyInForce: (revision) => this.log.push(`revision ${revision} in force`),
        onWorkerUpdateFailed: (status, revision, problems) =>
          this.log.push(`worker ${status.index} refused ${revision}: ${problems.join()}`),
        onIdentitiesBroken: (status, problem) =>
          this.log.push(`worker ${status.index} is broken: ${problem}`),
        onManyBatches: () => this.log.push('many batches'),
        onCondition: (problem) => this.log.push(`condition: ${problem}`),
      },
    });
  }

  #launch(index: number, events: WorkerEvents) {
    const worker = new FakeWorker(index, events);
    this.workers.push(worker);
    return {
      pid: 1000 + this.workers.length,
      send: (message: ToWorker) => {
        worker.sent.push(message);
        if (message.kind === 'start') queueMicrotask(() => this.onLaunch(worker));
        if (message.kind === 'are-you-alive' && !worker.isHung)
          queueMicrotask(() => worker.alive());
        if (message.kind === 'drain' && this.isDrainHeard)
          queueMicrotask(() => worker.end('exit code 0'));
      },
      kill: () => worker.end(),
    };
  }

  worker(position: number): FakeWorker {
    const worker = this.workers[position];
    if (worker === undefined) throw new Error(`no worker ${position}`);
    return worker;
  }
}

const LISTENER = {
  name: 'a',
  address: address('127.0.0.1:0'),
  direction: 'ingress',
  proxyId: 0,
  destination: { kind: 'local-address' },
  upstream: { kind: 'original-destination' },
  identity: { kind: 'sources', sources: ['endpoints'] },
  isPortShared: false,
} as unknown as WorkerSettings['listeners'][number];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('start', () => {
  it('gives the port of the first worker to the others, and to those that come after a death', async () => {
    const scene = new Scene(3);
    expect(await scene.supervisor.start(policy(1))).toMatchObject({
      kind: 'started',
      listeners: [{ name: 'a', address: { port: 4711 } }],
    });
    scene.worker(0).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    const ports = scene.workers.map((worker) => worker.settings.listeners[0]?.address.port);
    expect(ports).toEqual([0, 4711, 4711, 4711]);
    expect(scene.workers.every((worker) => worker.settings.listeners[0]?.isPortShared)).toBe(true);
  });

  it('a single worker shares its port with nobody', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    expect(scene.worker(0).settings.listeners[0]?.isPortShared).toBe(false);
  });

  it('that fails in one worker ends all', async () => {
    const scene = new Scene(3);
    scene.onLaunch = (worker) => {
      if (worker.index === 2) worker.failToStart('no memory');
      else worker.listen();
    };
    expect(await scene.supervisor.start(policy(1))).toEqual({
      kind: 'failed',
      message: 'no memory',
    });
    expect(scene.workers.every((worker) => worker.isEnded)).toBe(true);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(scene.workers.length).toBe(3);
  });

  it('fails when a worker never listens', async () => {
    const scene = new Scene(1);
    scene.onLaunch = () => {};
    const start = scene.supervisor.start(policy(1));
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerStartTimeoutMs);
    expect(await start).toMatchObject({ kind: 'failed', message: /not listening within/ });
  });
});

describe('batches of identities', () => {
  it('are in force when every worker has said so', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    const isInForce = scene.supervisor.inForce(2, 1000);
    const seen = vi.fn();
    void isInForce.then(seen);
    scene.worker(0).hasInForce(2);
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).not.toHaveBeenCalled();
    scene.worker(1).hasInForce(2);
    expect(await isInForce).toBe(true);
    expect(await scene.supervisor.inForce(2, 1000)).toBe(true);
  });

  it('are waited for within a bound', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    const isInForce = scene.supervisor.inForce(2, 100);
    await vi.advanceTimersByTimeAsync(100);
    expect(await isInForce).toBe(false);
  });

  it('are not waited for by a worker that has died: it comes back with them', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    scene.supervisor.identities(batch(3));
    scene.worker(0).hasInForce(3);
    const isInForce = scene.supervisor.inForce(3, 1000);
    scene.worker(1).end();
    expect(await isInForce).toBe(true);
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    expect(scene.worker(2).told()).toEqual(['start', 2, 3]);
  });

  it('of before a set are in it', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    scene.supervisor.update(policy(2));
    scene.supervisor.identities(batch(3));
    expect(scene.worker(0).told()).toEqual(['start', 2, 'set', 3]);
    scene.worker(0).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    expect(scene.worker(1).told()).toEqual(['start', 3]);
  });

  it('of before other rules are kept: whoever starts has the set, the last rules and all batches', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    for (const revision of [2, 3]) scene.supervisor.update({ revision, rules: [RULES] });
    scene.supervisor.identities(batch(3));
    expect(scene.worker(0).told()).toEqual(['start', 2, 'set', 'set', 3]);
    expect(scene.worker(0).sent).toContainEqual({
      kind: 'update',
      policy: { revision: 3, rules: [RULES] },
    });
    scene.worker(0).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    expect(scene.worker(1).told()).toEqual(['start', 2, 3]);
    expect(scene.worker(1).sent[0]).toMatchObject({ policy: { ...policy(3), rules: [RULES] } });
    scene.supervisor.update(policy(4));
    expect(scene.supervisor.policyInForce()).toEqual(policy(4));
    expect(scene.supervisor.batchesSince()).toEqual([]);
  });

  it('that do not fit a worker bring it everything anew, and that is told', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    scene.worker(0).isBroken(2);
    expect(scene.worker(0).told()).toEqual(['start', 2, 'set', 2]);
    expect(scene.log).toContain('worker 0 is broken: a gap');
  });

  it('that a worker does not put in force are a worker that hangs', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.identities(batch(2));
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerUpdateTimeoutMs);
    expect(scene.log).toContain('worker 0 hangs');
    expect(scene.worker(0).isEnded).toBe(true);
  });

  it('that wait in too great a number are a worker that hangs', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    const { identityBatchesWaitingMax: countMax } = DEFAULT_LIMITS;
    for (let i = 0; i < countMax; i++) scene.supervisor.identities(batch(2 + i));
    expect(scene.worker(0).isEnded).toBe(false);
    scene.supervisor.identities(batch(2 + countMax));
    expect(scene.worker(0).isEnded).toBe(true);
  });

  it('are not kept without end: the set is made anew with them', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    const { identityBatchesKeptMax: countMax } = DEFAULT_LIMITS;
    for (let i = 0; i < countMax; i++) {
      scene.supervisor.identities(batch(2 + i));
      scene.worker(0).hasInForce(2 + i);
    }
    expect(scene.log).toContain('many batches');
    scene.supervisor.rebase(policy(1), countMax);
    scene.worker(0).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    expect(scene.worker(1).told()).toEqual(['start', countMax + 1]);
  });
});

function batch(sequence: number): SentBatch {
  return { sequence, bytes: new Uint8Array(0) };
}

describe('a port in use', () => {
  it('is told before any worker is launched', async () => {
    vi.useRealTimers();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const bound = other.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const { probePorts } = await import('../../src/workers/port_probe.ts');
    const found = await probePorts([{ name: 'a', address: address(`127.0.0.1:${port}`) }]);
    expect(found).toBe(`listener a: 127.0.0.1:${port}: the port is in use by another program`);
    await new Promise((resolve) => other.close(resolve));
    expect(await probePorts([{ name: 'a', address: address(`127.0.0.1:${port}`) }])).toBe(null);
  });

  it('a port that another program shares for datagrams is in use for dns', async () => {
    const other = createSocket({ type: 'udp4', reusePort: true });
    await new Promise<void>((resolve) => other.bind(0, '127.0.0.77', resolve));
    const { port } = other.address();
    const { probePorts } = await import('../../src/workers/port_probe.ts');
    const probed = { name: 'a', address: address(`127.0.0.77:${port}`), protocol: 'dns' } as const;
    const found = await probePorts([probed]);
    expect(found).toBe(`listener a: 127.0.0.77:${port}: the port is in use by another program`);
    expect(await probePorts([{ ...probed, protocol: 'http' }])).toBe(null);
    await new Promise<void>((resolve) => other.close(() => resolve()));
    expect(await probePorts([probed])).toBe(null);
  });
});

describe('a set that comes before the workers are started', () => {
  it.each(['before', 'after'])(
    '%s the older first one stays: workers start with it',
    async (when) => {
      const scene = new Scene(2);
      if (when === 'before') scene.supervisor.update(policy(2));
      const started = scene.supervisor.start(policy(1));
      if (when === 'after') scene.supervisor.update(policy(2));
      await started;
      scene.supervisor.update(policy(1));
      for (const { sent } of scene.workers) {
        const [start, ...others] = sent;
        expect(start?.kind === 'start' && start.policy.revision).toBe(2);
        expect(others).toEqual([]);
      }
      expect(scene.log).toEqual(['revision 2 in force']);
    },
  );
});

describe('a worker that dies', () => {
  it('is started again with the set in force, the others untouched', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.supervisor.update(policy(2));
    scene.worker(0).end('exit code 1');
    expect(scene.supervisor.isReady()).toBe(false);
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    const start = scene.worker(2).sent[0];
    expect(start?.kind === 'start' && start.policy.revision).toBe(2);
    expect(scene.worker(1).isEnded).toBe(false);
    scene.worker(1).took(2);
    expect(scene.supervisor.isReady()).toBe(true);
    expect(scene.log).toEqual([
      'revision 1 in force',
      'worker 0 died: exit code 1, again in 100 ms',
      'worker 0 is back',
      'revision 2 in force',
    ]);
  });

  it('again and again is started ever later, up to a bound', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.onLaunch = (worker) => worker.end('exit code 1');
    scene.worker(0).end('exit code 1');
    await vi.advanceTimersByTimeAsync(300_000);
    const waits = scene.log.flatMap((line) => /again in (\d+)/.exec(line)?.[1] ?? []).map(Number);
    const { restartBackoffMaxMs } = DEFAULT_LIMITS;
    expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(Math.max(...waits)).toBe(restartBackoffMaxMs);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
  });

  it('after a long life is started again soon', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    for (let life = 0; life < 3; life++) {
      await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMaxMs + 1000);
      scene.workers.at(-1)?.end();
      await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    }
    expect(scene.workers.length).toBe(4);
    expect(scene.supervisor.workers()[0]).toMatchObject({ state: 'listening', restartCount: 3 });
  });
});

describe('a worker that hangs', () => {
  const { workerHeartbeatIntervalMs, workerSilenceTimeoutMs } = DEFAULT_LIMITS;

  it('is killed and started again; the others go on', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    await vi.advanceTimersByTimeAsync(60_000);
    scene.worker(0).isHung = true;
    await vi.advanceTimersByTimeAsync(workerSilenceTimeoutMs - workerHeartbeatIntervalMs);
    expect(scene.worker(0).isEnded).toBe(false);
    await vi.advanceTimersByTimeAsync(2 * workerHeartbeatIntervalMs + 100);
    expect(scene.log).toEqual([
      'revision 1 in force',
      'worker 0 hangs',
      `worker 0 died: no sign of life for ${workerSilenceTimeoutMs} ms, again in 100 ms`,
      'worker 0 is back',
    ]);
    expect(scene.worker(1).isEnded).toBe(false);
  });

  it('counts as one that does not answer after three heartbeats', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.worker(0).isHung = true;
    await vi.advanceTimersByTimeAsync(5 * workerHeartbeatIntervalMs);
    expect(scene.supervisor.hasAnsweringWorker()).toBe(true);
    scene.worker(1).isHung = true;
    await vi.advanceTimersByTimeAsync(5 * workerHeartbeatIntervalMs);
    expect(scene.supervisor.hasAnsweringWorker()).toBe(false);
    await vi.advanceTimersByTimeAsync(workerSilenceTimeoutMs);
    expect(scene.supervisor.hasAnsweringWorker()).toBe(true);
  });

  it('is not one whose supervisor slept: it has its whole time after that', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    await vi.advanceTimersByTimeAsync(1_500);
    // A suspend: the clock jumps, no timer ran, no message was read.
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 10 * workerSilenceTimeoutMs);
    scene.worker(0).isHung = true;
    await vi.advanceTimersByTimeAsync(workerSilenceTimeoutMs - 2 * workerHeartbeatIntervalMs);
    expect(scene.worker(0).isEnded).toBe(false);
    scene.worker(0).isHung = false;
    await vi.advanceTimersByTimeAsync(10 * workerSilenceTimeoutMs);
    expect(scene.log).toEqual(['revision 1 in force']);
  });

  it('while it drains has the deadline of the drain', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.isDrainHeard = false;
    scene.worker(0).isHung = true;
    const drained = scene.supervisor.drain();
    const { drainTimeoutMs, workerReplyTimeoutMs } = DEFAULT_LIMITS;
    await vi.advanceTimersByTimeAsync(drainTimeoutMs + workerReplyTimeoutMs);
    await drained;
    expect(scene.log).toEqual(['revision 1 in force']);
  });
});

describe('a policy set', () => {
  it('is in force when every worker has taken it over', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.supervisor.update(policy(2));
    scene.worker(0).took(2);
    expect(scene.supervisor.isReady()).toBe(false);
    scene.worker(1).took(2);
    expect(scene.log).toEqual(['revision 1 in force', 'revision 2 in force']);
    expect(scene.supervisor.isReady()).toBe(true);
  });

  it('is not in force while a worker that was launched with the one before may begin to listen', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.onLaunch = () => {};
    scene.worker(1).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    scene.supervisor.update(policy(2));
    scene.worker(0).took(2);
    expect(scene.log).not.toContain('revision 2 in force');
    scene.worker(2).listen();
    expect(scene.log).not.toContain('revision 2 in force');
    scene.worker(2).took(2);
    expect(scene.log.filter((line) => line === 'revision 2 in force')).toHaveLength(1);
  });

  it('is in force when the worker that kept it from being so is dead', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.onLaunch = () => {};
    scene.worker(1).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    scene.supervisor.update(policy(2));
    scene.worker(0).took(2);
    scene.worker(2).failToStart('no memory');
    expect(scene.log.at(-1)).toBe('revision 2 in force');
  });

  it('that a worker refuses costs that worker its life, and is told', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    scene.supervisor.update(policy(2));
    scene.worker(0).took(2);
    scene.worker(1).refuse(2);
    expect(scene.log).toContain('worker 1 refused 2: no');
    expect(scene.worker(1).isEnded).toBe(true);
    expect(scene.worker(0).isEnded).toBe(false);
  });

  it('that a worker does not answer costs it its life too', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.update(policy(2));
    scene.supervisor.update(policy(3));
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerUpdateTimeoutMs);
    expect(scene.worker(0).isEnded).toBe(true);
  });

  it('that comes every moment does not make a worker that keeps up look hung', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    for (let revision = 2; revision < 12; revision++) {
      scene.supervisor.update(policy(revision));
      await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerUpdateTimeoutMs / 2);
      scene.worker(0).took(revision - 1);
    }
    expect(scene.worker(0).isEnded).toBe(false);
  });
});

describe('the end', () => {
  it('a drain waits for every worker and starts none again', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    await scene.supervisor.drain();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(scene.workers.map((worker) => worker.sent.at(-1)?.kind)).toEqual(['drain', 'drain']);
    expect(scene.workers.length).toBe(2);
    expect(scene.log).toEqual(['revision 1 in force']);
  });

  it('a worker that does not finish is ended at the deadline', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.isDrainHeard = false;
    const drained = scene.supervisor.drain();
    await vi.advanceTimersByTimeAsync(
      DEFAULT_LIMITS.drainTimeoutMs + DEFAULT_LIMITS.workerReplyTimeoutMs,
    );
    await drained;
    expect(scene.worker(0).isEnded).toBe(true);
  });

  it('while it starts leaves no worker, whichever was to be next', async () => {
    for (const turns of [0, 1, 2, 3, 4, 5, 8]) {
      const scene = new Scene(3);
      const start = scene.supervisor.start(policy(1));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await scene.supervisor.drain();
      await start;
      await vi.advanceTimersByTimeAsync(120_000);
      expect(scene.workers.every((worker) => worker.isEnded)).toBe(true);
    }
  });

  it('while a worker waits to be started again starts none', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.worker(0).end();
    await scene.supervisor.drain();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(scene.workers.length).toBe(1);
  });
});

describe('reports', () => {
  it('of workers that do not answer are left out', async () => {
    const scene = new Scene(2);
    await scene.supervisor.start(policy(1));
    const reports = scene.supervisor.reports();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerReplyTimeoutMs);
    expect(await reports).toEqual([]);
  });
});

const RULES = new Uint8Array([1]);

function policy(revision: number): NumberedSet {
  return { revision, parts: [] };
}

function address(text: string) {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

describe('batches of Services', () => {
  it('are numbered as they come, and in force when every worker has said so', async () => {
    const scene = new Scene(2);
    expect(scene.supervisor.services(services({ isWhole: true }))).toBe(1);
    await scene.supervisor.start(policy(1));
    expect(scene.worker(0).toldServices()).toEqual(['whole 1']);
    for (const at of [0, 1]) scene.worker(at).hasServices(1);
    // Of another policy thread, which numbers its own anew.
    const sequence = scene.supervisor.services(services({ isWhole: true }));
    expect(sequence).toBe(2);
    const isInForce = scene.supervisor.servicesInForce(sequence, 1000);
    scene.worker(0).hasServices(2);
    expect(scene.supervisor.serviceStatus()).toMatchObject({ areInForce: false, serviceCount: 3 });
    scene.worker(1).hasServices(2);
    expect(await isInForce).toBe(true);
    expect(scene.supervisor.serviceStatus()).toMatchObject({ areInForce: true });
  });

  it('are all sent to a worker that starts, the whole in the place of what was before it', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.services(services({ isWhole: true }));
    scene.supervisor.services(services({}));
    scene.supervisor.services(services({ whole: true }));
    scene.supervisor.services(services({}));
    expect(scene.worker(0).toldServices()).toEqual(['whole 1', 2, 3, 4]);
    scene.worker(0).end();
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.restartBackoffMinMs);
    expect(scene.worker(1).toldServices()).toEqual(['whole 3', 4]);
  });

  it('that do not fit are all sent again', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.services(services({ isWhole: true }));
    scene.supervisor.services(services({}));
    scene.worker(0).lacksServices(2);
    expect(scene.worker(0).toldServices()).toEqual(['whole 1', 2, 'whole 1', 2]);
    expect(scene.log).toContain('worker 0 is broken: a gap');
  });

  it('that a worker does not put in force in time end it', async () => {
    const scene = new Scene(1);
    await scene.supervisor.start(policy(1));
    scene.supervisor.services(services({ isWhole: true }));
    await vi.advanceTimersByTimeAsync(DEFAULT_LIMITS.workerUpdateTimeoutMs);
    expect(scene.log).toContain('worker 0 hangs');
  });
});

function services({ isWhole = false, whole = false }): SentServiceChange {
  const sent = (all: boolean) => ({ sequence: 99, isWhole: all, bytes: new Uint8Array() });
  const facts = { serviceCount: 3, frontendCount: 4, backendCount: 5, problems: [] };
  return { batch: sent(isWhole), whole: whole ? sent(true) : null, facts };
}
