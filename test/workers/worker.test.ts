/** A worker from its first message: what comes while it is still being made is not lost. */
import { describe, expect, it } from 'vitest';
import type { SourceBundle } from '../../src/control/source/files/source_bundle.ts';
import type { Identity, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { DEFAULT_BEHAVIOUR } from '../../src/proxy/plane/options.ts';
import type { FromWorker, ToWorker, WorkerSettings } from '../../src/workers/messages.ts';
import { Worker } from '../../src/workers/worker.ts';
import { numberedSet } from '../support/numbered_set.ts';
import { address, allowHttp, cnp, ENDPOINTS } from '../support/plane_rig.ts';
import { RawClient } from '../support/raw_client.ts';
import { RawOrigin } from '../support/raw_origin.ts';
import { settled } from '../support/settled.ts';
import { Signal } from '../support/signal.ts';

describe('a message that overtakes the start', () => {
  it('a new policy is in force before it listens', async () => {
    const scene = new Scene();
    scene.tell({
      kind: 'start',
      settings: SETTINGS,
      policy: numberedSet(1, bundle('/a')),
      batches: [],
      services: [],
    });
    scene.tell({ kind: 'update', policy: numberedSet(2, bundle('/b')) });
    await scene.until(({ kind }) => kind === 'listening');
    const told = scene.posted.map((message) =>
      message.kind === 'updated' ? `updated ${message.revision}` : message.kind,
    );
    expect(told.indexOf('updated 2')).toBeLessThan(told.indexOf('listening'));
    expect(told.filter((one) => one.startsWith('updated')).at(-1)).toBe('updated 2');
    scene.worker.stop();
  });

  it('a drain leaves nothing listening', async () => {
    const scene = new Scene();
    scene.tell({
      kind: 'start',
      settings: SETTINGS,
      policy: numberedSet(1, bundle('/a')),
      batches: [],
      services: [],
    });
    scene.tell({ kind: 'drain' });
    await scene.until(({ kind }) => kind === 'drained');
    await settled();
    expect(scene.posted.map(({ kind }) => kind)).toEqual(['drained']);
  });
});

describe('a set of thousands of rules', () => {
  it('ends what it denies also when a drain comes while it is compiled', async () => {
    const origin = await RawOrigin.start();
    const scene = new Scene();
    const policy = numberedSet(1, bundle('/a'));
    scene.tell({
      kind: 'start',
      settings: settingsTo(origin.port),
      policy,
      batches: [],
      services: [],
    });
    await scene.until(({ kind }) => kind === 'listening');
    const client = await RawClient.open(scene.port);
    client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    await (await origin.connection()).untilBytes(10);
    scene.tell({ kind: 'update', policy: numberedSet(2, MANY_FOR_ANOTHER) });
    // It takes several turns.
    expect(scene.revisions()).toEqual([1]);
    scene.tell({ kind: 'drain' });
    // The origin never answers, and the drain's own deadline is far away: only the new set ends it.
    await scene.until(({ kind }) => kind === 'drained');
    origin.stop();
    client.close();
  });

  it('come faster than they compile: the last one is in force at the end', async () => {
    const scene = new Scene();
    const policy = numberedSet(1, bundle('/a'));
    scene.tell({ kind: 'start', settings: SETTINGS, policy, batches: [], services: [] });
    await scene.until(({ kind }) => kind === 'listening');
    const sets = [2, 3, 4, 5].map((revision) => numberedSet(revision, MANY_FOR_ANOTHER));
    for (const one of sets) scene.tell({ kind: 'update', policy: one });
    await scene.until((message) => message.kind === 'updated' && message.revision === 5);
    expect(scene.revisions()).toEqual([1, 2, 5]);
    scene.worker.stop();
  });
});

class Scene {
  readonly posted: FromWorker[] = [];
  readonly #signal = new Signal();
  readonly worker = new Worker({
    post: (message) => {
      this.posted.push(message);
      this.#signal.raise();
    },
    onDrained: () => {},
  });

  /** Of the sets in force, as they were told. */
  revisions(): readonly number[] {
    return this.posted.flatMap((message) => (message.kind === 'updated' ? message.revision : []));
  }

  get port(): number {
    const listening = this.posted.find((message) => message.kind === 'listening');
    return listening?.listeners[0]?.address.port ?? 0;
  }

  tell(message: ToWorker): void {
    this.worker.handle(message);
  }

  until(isMet: (message: FromWorker) => boolean): Promise<void> {
    return this.#signal.until(
      () => this.posted.some(isMet),
      () => `a message; there were ${JSON.stringify(this.posted)}`,
    );
  }
}

const SETTINGS = {
  index: 0,
  workerCount: 1,
  listeners: [
    {
      name: 'api',
      address: address('127.0.0.1:0'),
      direction: 'ingress' as const,
      isTransparent: false,
      clientAddress: 'always' as const,
      proxyId: 0 as ProxyId,
      destination: { kind: 'fixed' as const, address: address('10.0.0.7:8080') },
      upstream: { kind: 'fixed' as const, address: address('127.0.0.1:9') },
      identity: { kind: 'fixed' as const, identity: 43 as Identity },
      isPortShared: false,
    },
  ],
  redirectRoot: '/sys/fs/bpf/sallyport',
  cilium: { root: '/sys/fs/bpf', ipcacheName: 'cilium_ipcache' },
  behaviour: DEFAULT_BEHAVIOUR,
  limits: DEFAULT_LIMITS,
  accessLog: { to: { kind: 'none' as const }, headers: [], isQueryLogged: false, allowSampling: 1 },
  logLevel: 'info' as const,
};

function settingsTo(originPort: number): WorkerSettings {
  const listeners = SETTINGS.listeners.map((listener) => ({
    ...listener,
    upstream: { kind: 'fixed' as const, address: address(`127.0.0.1:${originPort}`) },
  }));
  return { ...SETTINGS, listeners, limits: { ...DEFAULT_LIMITS, drainTimeoutMs: 600_000 } };
}

const MANY_FOR_ANOTHER = bundleOf(
  cnp(
    `, rules: { http: [${Array.from({ length: 5000 }, (_, i) => `{ path: "/${i}/[0-9]+" }`).join(', ')}] }`,
    { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' },
  ),
);

function bundle(path: string): SourceBundle {
  return bundleOf(allowHttp(`GET ${path}`));
}

function bundleOf(text: string): SourceBundle {
  return {
    policies: [{ path: 'policy.yaml', text }],
    endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
    secrets: null,
  };
}
