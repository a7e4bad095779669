/**
 * What supervisor and workers say to each other: plain values, over the fork's channel or, in tests,
 * by a call. A worker is told which rules there are, never compiled things: each compiles for itself.
 */

import type { AccessLogConfig, CiliumConfig } from '../config/config.ts';
import type { SentBatch } from '../control/worker/identity_wire.ts';
import type { NumberedSet, PolicyUpdate } from '../control/worker/live_snapshot.ts';
import type { SentServices } from '../control/worker/service_wire.ts';
import type { IpText } from '../model/address.ts';
import type { Limits } from '../model/limits.ts';
import type { LogLevel } from '../model/log_level.ts';
import type { MetricsSnapshot } from '../observe/metrics/counters.ts';
import type { BoundListener } from '../proxy/accept/listener.ts';
import type { ToldLookup } from '../proxy/dns/name_learner.ts';
import type { Behaviour, ListenerOptions } from '../proxy/plane/options.ts';

export interface WorkerSettings {
  /** 0 to workers - 1; a restarted worker keeps its number. */
  readonly index: number;
  readonly workerCount: number;
  readonly listeners: readonly ListenerOptions[];
  /** Where the redirect has pinned its maps. */
  readonly redirectRoot: string;
  readonly cilium: CiliumConfig;
  readonly behaviour: Behaviour;
  readonly limits: Limits;
  readonly accessLog: AccessLogConfig;
  readonly logLevel: LogLevel;
}

export type ToWorker =
  /** First, once: compile, then listen. */
  | {
      readonly kind: 'start';
      readonly settings: WorkerSettings;
      readonly policy: NumberedSet;
      /** Since the set, in order. */
      readonly batches: readonly SentBatch[];
      /** The first of them is whole; none: no Service is known. */
      readonly services: readonly SentServices[];
    }
  | { readonly kind: 'update'; readonly policy: PolicyUpdate }
  /** The next batch of identities; answered by `identities-in-force`. */
  | { readonly kind: 'identities'; readonly batch: SentBatch }
  /** The next batch of Services, or all of them; answered by `services-in-force`. */
  | { readonly kind: 'services'; readonly batch: SentServices }
  | { readonly kind: 'report'; readonly requestId: number }
  /** Answered by `alive`, at once. */
  | { readonly kind: 'are-you-alive' }
  | { readonly kind: 'reopen-access-log' }
  | { readonly kind: 'set-log-level'; readonly level: LogLevel }
  /** Somebody wants flows: they are sent from now on. */
  | { readonly kind: 'subscribe-flows' }
  | { readonly kind: 'unsubscribe-flows' }
  /** Stop accepting, let finish, cut after `limits.drainTimeoutMs`, then end. */
  | { readonly kind: 'drain' }
  /** What was told as `lookups` under these numbers is in force everywhere. */
  | { readonly kind: 'lookups-in-force'; readonly ids: readonly number[] };

export type FromWorker =
  | { readonly kind: 'listening'; readonly listeners: readonly BoundListener[] }
  | { readonly kind: 'start-failed'; readonly message: string }
  | { readonly kind: 'updated'; readonly revision: number }
  | {
      readonly kind: 'update-failed';
      readonly revision: number;
      readonly problems: readonly string[];
    }
  /** All batches up to this one are. */
  | { readonly kind: 'identities-in-force'; readonly sequence: number }
  /** A batch does not fit; answered by a whole set. */
  | { readonly kind: 'identities-broken'; readonly sequence: number; readonly problem: string }
  /** All batches of Services up to this one are. */
  | { readonly kind: 'services-in-force'; readonly sequence: number }
  /** One does not fit; answered by all of them. */
  | { readonly kind: 'services-broken'; readonly sequence: number; readonly problem: string }
  | { readonly kind: 'report'; readonly requestId: number; readonly report: WorkerReport }
  | { readonly kind: 'alive' }
  /** See observe/flow/wire/flow_batch.ts. */
  | { readonly kind: 'flows'; readonly batch: Uint8Array }
  | { readonly kind: 'drained' }
  /** What answers taught; answered by `lookups-in-force`. */
  | { readonly kind: 'lookups'; readonly lookups: readonly ToldLookup[] }
  /** Addresses that names taught, to which connections are open. */
  | { readonly kind: 'open-addresses'; readonly ips: readonly IpText[] };

/** What one worker has counted; the supervisor sums over workers. */
export interface WorkerReport {
  readonly metrics: MetricsSnapshot;
}
