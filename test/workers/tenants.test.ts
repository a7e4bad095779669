/**
 * Objects of two tenants, from a source through the real policy service into a real worker: what is wrong with one
 * object is told, and freezes neither the other tenant nor the other objects.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ObjectSet } from '../../src/control/source/objects/object_set.ts';
import type { Identity, ProxyId } from '../../src/model/identity.ts';
import type { InvalidPolicy } from '../../src/model/invalid_policy.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { DEFAULT_BEHAVIOUR } from '../../src/proxy/plane/options.ts';
import type { FromWorker, WorkerSettings } from '../../src/workers/messages.ts';
import type { FromPolicyThread, RefusedObjects } from '../../src/workers/policy_messages.ts';
import { PolicyService } from '../../src/workers/policy_service.ts';
import { Worker } from '../../src/workers/worker.ts';
import { inventoryOf } from '../support/inventory.ts';
import { cnpObject, MemorySource } from '../support/objects.ts';
import { address } from '../support/plane_rig.ts';
import { RawClient } from '../support/raw_client.ts';
import { answerHeads, RawOrigin } from '../support/raw_origin.ts';
import { Signal } from '../support/signal.ts';

const TENANTS = ['shop', 'bank'] as const;
type Tenant = (typeof TENANTS)[number];
type Status = number | 'closed';

const INVENTORY = inventoryOf(`endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: bank/api, ip: 10.0.0.2, labels: { app: api } }
`);

let origin: RawOrigin;
let cluster: Cluster | null = null;

beforeEach(async () => {
  origin = await RawOrigin.start(answerHeads);
});

afterEach(() => {
  cluster?.stop();
  origin.stop();
});

describe('a bad object of one tenant', () => {
  it('leaves its last good form in force, and every other object goes on', async () => {
    const { source } = await started('absent');
    source.put(policy('shop', '/new', { ingres: [] }));
    expect(cluster?.refused).toMatchObject({
      count: 1,
      objects: [
        {
          object: 'CiliumNetworkPolicy shop/api',
          inForce: 'last-good',
          problems: [expect.stringContaining('CiliumNetworkPolicy shop/api: spec.ingres: unknown')],
        },
      ],
    });
    source.put(policy('bank', '/other'));
    await cluster?.inForce();
    expect(await statuses('shop', '/ok', '/new')).toEqual([200, 403]);
    expect(await statuses('bank', '/ok', '/other')).toEqual([403, 200]);
    source.put(policy('shop', '/new'));
    await cluster?.inForce();
    expect(cluster?.refused).toEqual({ objects: [], count: 0 });
    expect(await statuses('shop', '/ok', '/new')).toEqual([403, 200]);
    expect(await statuses('bank', '/ok', '/other')).toEqual([403, 200]);
  });

  it.each([
    ['absent', 200],
    ['deny', 'closed'],
  ] as const)('that never had a good form: %s', async (invalidPolicy, status) => {
    const { source } = await started(invalidPolicy);
    // Without any policy the endpoint is open, so that what a bad one does to it shows.
    source.remove(policy('shop', '/ok').ref);
    source.put(cnpObject('shop', 'bad', { endpointSelector: {}, ingres: [] }));
    await cluster?.inForce();
    expect(cluster?.refused?.objects).toMatchObject([{ inForce: invalidPolicy }]);
    expect(await statuses('shop', '/ok')).toEqual([status]);
    expect(await statuses('bank', '/ok')).toEqual([200]);
  });
});

async function started(invalidPolicy: InvalidPolicy): Promise<Cluster> {
  const own = new Cluster(invalidPolicy, origin.port);
  cluster = own;
  for (const tenant of TENANTS) own.source.put(policy(tenant, '/ok'));
  own.source.synced();
  await own.listening();
  for (const tenant of TENANTS) expect(await statuses(tenant, '/ok', '/x')).toEqual([200, 403]);
  return own;
}

/** The tenant's endpoint may be asked for that path, and no other. */
function policy(tenant: Tenant, path: string, more: object = {}): ReturnType<typeof cnpObject> {
  const toPorts = [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{ path }] } }];
  return cnpObject(tenant, 'api', {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [{ toPorts }],
    ...more,
  });
}

/** A connection that is denied as a whole is closed without an answer. */
async function statuses(tenant: Tenant, ...paths: readonly string[]): Promise<readonly Status[]> {
  const answers: Status[] = [];
  for (const path of paths) {
    const client = await RawClient.open(cluster?.port(tenant) ?? 0);
    client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    const { text } = await client.over();
    answers.push(text === '' ? 'closed' : Number(text.slice('HTTP/1.1 '.length).slice(0, 3)));
  }
  return answers;
}

/** A policy service whose sets go to one worker. */
class Cluster {
  readonly source: MemorySource;
  refused: RefusedObjects | null = null;
  readonly #posted: FromWorker[] = [];
  readonly #signal = new Signal();
  readonly #service: PolicyService;
  readonly #worker = new Worker({
    post: (message) => {
      this.#posted.push(message);
      this.#signal.raise();
    },
    onDrained: () => {},
  });
  readonly #originPort: number;
  /** That the service accepted last. */
  #revision = 0;

  constructor(invalidPolicy: InvalidPolicy, originPort: number) {
    this.#originPort = originPort;
    const made: MemorySource[] = [];
    this.#service = new PolicyService(
      { settings: { ...SETTINGS, invalidPolicy }, kept: null },
      {
        environment: { env: {}, home: null, userAgent: 'test' },
        port: { post: (message) => this.#take(message) },
        sourceOf: (decode) => {
          const set = new ObjectSet({ decode, invalidPolicy });
          const source = new MemorySource(set, { inventory: INVENTORY, secrets: new Map() });
          made.push(source);
          return source;
        },
      },
    );
    const [source] = made;
    if (source === undefined) throw new Error('the service asked for no source');
    this.source = source;
    this.#service.handle({ kind: 'start' });
  }

  stop(): void {
    this.#worker.stop();
    this.#service.handle({ kind: 'stop' });
  }

  port(tenant: Tenant): number {
    const listening = this.#posted.find((message) => message.kind === 'listening');
    const listener = listening?.listeners.find(({ name }) => name === tenant);
    return listener?.address.port ?? 0;
  }

  listening(): Promise<void> {
    return this.#until(({ kind }) => kind === 'listening');
  }

  /** Of the worker: what was accepted last. */
  inForce(): Promise<void> {
    const revision = this.#revision;
    return this.#until((message) => message.kind === 'updated' && message.revision === revision);
  }

  #until(isMet: (message: FromWorker) => boolean): Promise<void> {
    return this.#signal.until(
      () => this.#posted.some(isMet),
      () => `a message; there were ${JSON.stringify(this.#posted)}`,
    );
  }

  #take(message: FromPolicyThread): void {
    switch (message.kind) {
      case 'refused':
        this.refused = message.refused;
        break;
      case 'started': {
        if (message.start.kind === 'rejected') throw new Error(message.start.problems.join('\n'));
        const policy = message.start.sent.set;
        this.#revision = policy.revision;
        const settings = settingsTo(this.#originPort);
        this.#worker.handle({ kind: 'start', settings, policy, batches: [], services: [] });
        break;
      }
      case 'read':
        if (message.read.kind !== 'changed') break;
        this.#revision = message.read.sent.set.revision;
        this.#worker.handle({ kind: 'update', policy: message.read.sent.set });
        break;
    }
  }
}

const SETTINGS = {
  policyPaths: [],
  endpointsPath: null,
  secretsPath: null,
  kubernetes: null,
  listeners: [],
  hasNodeLabels: false,
  isEmptySetOpen: false,
  isHostJudged: false,
  areServicesTranslated: false,
  neverLearned: [],
  isPathNormalised: true,
  isDryRun: false,
  stateDir: null,
  isStateOurs: true,
  limits: DEFAULT_LIMITS,
};

function settingsTo(originPort: number): WorkerSettings {
  return {
    index: 0,
    workerCount: 1,
    listeners: TENANTS.map((name, index) => ({
      name,
      address: address('127.0.0.1:0'),
      direction: 'ingress' as const,
      isTransparent: false,
      clientAddress: 'always' as const,
      proxyId: 0 as ProxyId,
      destination: { kind: 'fixed' as const, address: address(`10.0.0.${index + 1}:8080`) },
      upstream: { kind: 'fixed' as const, address: address(`127.0.0.1:${originPort}`) },
      identity: { kind: 'fixed' as const, identity: 2 as Identity },
      isPortShared: false,
    })),
    redirectRoot: '/sys/fs/bpf/sallyport',
    cilium: { root: '/sys/fs/bpf', ipcacheName: 'cilium_ipcache' },
    behaviour: DEFAULT_BEHAVIOUR,
    limits: DEFAULT_LIMITS,
    accessLog: { to: { kind: 'none' }, headers: [], isQueryLogged: false, allowSampling: 1 },
    logLevel: 'info',
  };
}
