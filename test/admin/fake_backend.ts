/** An `AdminBackend` of plain values, for tests of the server and of `status`. */
import {
  type AdminBackend,
  BusyError,
  type Liveness,
  type Readiness,
} from '../../src/admin/backend.ts';
import { policiesDocument } from '../../src/admin/policies_document.ts';
import type { Identity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { NO_NAMES } from '../../src/model/name_counts.ts';
import type { FlowStream } from '../../src/observe/flow/flow_stream.ts';
import type { MetricsSnapshot } from '../../src/observe/metrics/counters.ts';
import { MetricsHub } from '../../src/observe/metrics/hub.ts';
import { denyAllSnapshot } from '../../src/policy/compile/compile.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';

export interface FakeBackend extends AdminBackend {
  readonly errors: unknown[];
  drainCount: number;
}

export function fakeBackend(
  options: {
    readonly liveness?: Liveness;
    readonly readiness?: Readiness;
    readonly metrics?: readonly MetricsSnapshot[];
    readonly flows?: FlowStream;
    readonly flowQueueCountMax?: number;
    readonly failing?: boolean;
    /** Why it cannot be answered now. */
    readonly busy?: string;
    readonly isDryRun?: boolean;
    readonly dryRunPolicies?: readonly string[];
    readonly staleness?: ReturnType<AdminBackend['staleness']>;
    readonly sourceHealth?: ReturnType<AdminBackend['sourceHealth']>;
    readonly refused?: ReturnType<AdminBackend['refusedObjects']>;
    /** Of what is learned. */
    readonly names?: object;
    readonly nameState?: Partial<ReturnType<AdminBackend['names']>>;
    readonly services?: Partial<ReturnType<AdminBackend['services']>>;
  } = {},
): FakeBackend {
  const hub = new MetricsHub({
    isPolicyCurrent: () => true,
    refusedObjectCount: () => 0,
    interfaceWaits: () => null,
    serviceCounts: () => null,
    clusterHealth: () => null,
    version: '1.2.3',
    clock: { nowMs: () => 0, wallMs: () => 1_700_000_000_000 },
  });
  hub.policyUpdated('accepted', 7);
  const rule = { policy: 'default/api', rule: 'ingress[0]', index: 0 };
  const snapshot: PolicySnapshot = Object.assign(
    Object.create(
      denyAllSnapshot({
        ipcache: { lookup: () => null },
        labels: { labelsOf: (_: Identity) => [] },
      }),
    ),
    { revision: 7, rules: [rule], policyNames: ['default/api'], endpoints: () => [], shadow: null },
  );
  let level = 'info';
  const backend: FakeBackend = {
    errors: [],
    drainCount: 0,
    liveness: () => options.liveness ?? { isLive: true },
    readiness: () => options.readiness ?? { isReady: true },
    metrics: () => {
      if (options.failing === true) throw new Error('secret detail');
      if (options.busy !== undefined) throw new BusyError(options.busy);
      return hub.merge(options.metrics ?? [], { listening: 1 });
    },
    policySet: () => ({
      revision: 7,
      policyCount: 1,
      endpointCount: 0,
      dryRunPolicies: options.dryRunPolicies ?? [],
    }),
    staleness: () => options.staleness ?? null,
    sourceHealth: () => options.sourceHealth ?? null,
    refusedObjects: () => options.refused ?? { objects: [], count: 0 },
    services: () => ({
      ...{ serviceCount: 0, frontendCount: 0, backendCount: 0, areInForce: true, problems: [] },
      ...{ source: 'files', mode: 'none', ...options.services },
    }),
    names: () => ({ ...NO_NAMES, keptIn: null, ...options.nameState }),
    documentLimits: () => DEFAULT_LIMITS,
    isDryRun: () => options.isDryRun ?? false,
    printPolicies: async (format) =>
      format === 'text' ? 'endpoint default/api\n' : policiesDocument(snapshot),
    listNames: async (filter) => JSON.stringify({ filter, ...options.names }),
    explain: async (question) =>
      typeof question === 'object' && question !== null && 'port' in question
        ? { kind: 'explanation', json: JSON.stringify({ verdict: 'deny', asked: question }) }
        : { kind: 'error', message: 'port must be a whole number' },
    lastFlows: (count) => (options.flows?.isKept === true ? options.flows.last(count) : null),
    followFlows: (onReady) => {
      const queueCountMax = options.flowQueueCountMax ?? 4;
      return options.flows?.subscribe({ filter: () => true, queueCountMax, onReady }) ?? null;
    },
    workers: () => [{ index: 0, state: 'listening', pid: 42, revision: 7, restartCount: 1 }],
    listeners: () => [{ name: 'api', address: '127.0.0.1:15006' }],
    drain: () => {
      backend.drainCount++;
    },
    logLevel: () => level,
    setLogLevel: (next) => {
      if (!['debug', 'info'].includes(next)) return false;
      level = next;
      return true;
    },
    version: () => ({ sallyport: '1.2.3' }),
    config: () => ({ workers: 1 }),
    onError: (_where, error) => backend.errors.push(error),
  };
  return backend;
}
