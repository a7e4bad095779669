/** A worker from its first message: what comes while it is still being made is not lost. */
import { describe, expect, it } from 'vitest';
import type { SourceBundle } from '../../src/control/policy_set.ts';
import type { Identity, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { DEFAULT_BEHAVIOUR } from '../../src/proxy/options.ts';
import type { FromWorker, ToWorker } from '../../src/workers/messages.ts';
import { Worker } from '../../src/workers/worker.ts';
import { numberedSet } from '../support/numbered_set.ts';
import { address, allowHttp, ENDPOINTS } from '../support/plane_rig.ts';
import { Signal } from '../support/signal.ts';

describe('a message that overtakes the start', () => {
  it('a new policy is in force before it listens', async () => {
    const scene = new Scene();
    scene.tell({
      kind: 'start',
      settings: SETTINGS,
      policy: numberedSet(1, bundle('/a')),
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
    });
    scene.tell({ kind: 'drain' });
    await scene.until(({ kind }) => kind === 'drained');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(scene.posted.map(({ kind }) => kind)).toEqual(['drained']);
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

function bundle(path: string): SourceBundle {
  return {
    policies: [{ path: 'policy.yaml', text: allowHttp(`GET ${path}`) }],
    endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
    secrets: null,
  };
}
