/**
 * hot path
 *
 * The `Recorder` that the data plane of a worker reports to. A record becomes a flow, and every sink is given the
 * flow. Nothing here throws into the data plane or waits for a sink; an error of a sink is counted as what it is, a
 * bug of ours, and the request and the other sinks go on.
 *
 *     record ──► RecordFlow ──► sinks: WorkerCounters, AccessLog, FlowSender
 *     events ──► WorkerCounters
 */
import type { Decision } from '../model/decision.ts';
import type { PlaneEvents, Recorder, RequestRecord } from '../model/record.ts';
import type { FlowSink } from './flow/flow_sink.ts';
import type { RecordFlow } from './flow/record_flow.ts';
import type { InternalErrors } from './internal_errors.ts';
import type { ObservedPolicy } from './observed_policy.ts';

export interface ObserverOptions {
  readonly sinks: readonly FlowSink[];
  readonly flow: RecordFlow;
  readonly events: PlaneEvents;
  readonly errors: InternalErrors;
  /** The policy in force. Looked at for each record; give the same object until it changes. */
  readonly currentPolicy: () => ObservedPolicy;
  /** Values of the policies' secrets, never shown. Asked again whenever the policy changes. */
  readonly secretValues: () => Iterable<string>;
  readonly onPolicy: (policy: ObservedPolicy) => void;
}

export class Observer implements Recorder {
  readonly events: PlaneEvents;
  readonly #options: ObserverOptions;
  readonly #sinks: readonly FlowSink[];
  #policy: ObservedPolicy | null = null;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#sinks = options.sinks;
    this.events = options.events;
    this.policyChanged();
  }

  record(record: RequestRecord): void {
    try {
      this.policyChanged();
      const flow = this.#options.flow.take(record);
      const sinks = this.#sinks;
      for (let i = 0; i < sinks.length; i++) {
        try {
          (sinks[i] as FlowSink).flow(flow);
        } catch (error) {
          this.internalError('record', error);
        }
      }
      this.#tellCause(record.decision);
      this.#tellCause(record.shadowDecision);
    } catch (error) {
      this.internalError('record', error);
    }
  }

  /** A verdict that was denied for an exception: the denial is a value, the exception is a bug of ours. */
  #tellCause(decision: Decision | null): void {
    if (decision?.verdict !== 'deny' || decision.cause === undefined) return;
    this.internalError('decide', decision.cause);
  }

  internalError(where: string, error: unknown): void {
    this.#options.errors.tell(where, error);
  }

  /** Right after a swap, so that the next record does not have to. */
  policyChanged(): void {
    const { currentPolicy, secretValues, flow, onPolicy } = this.#options;
    const policy = currentPolicy();
    if (policy === this.#policy) return;
    this.#policy = policy;
    onPolicy(policy);
    flow.policyChanged(policy, secretValues());
  }

  /** Right after a batch: another who is who for the same rules, of which thousands need no look. */
  identitiesChanged(): void {
    this.#policy = this.#options.currentPolicy();
    this.#options.flow.identitiesChanged(this.#policy);
  }
}
