/** What a worker observes, asked by records: as the data plane does, without one. */
import type { RequestRecord } from '../../src/model/record.ts';
import { RecordFlow } from '../../src/observe/flow/record_flow.ts';
import { WorkerCounters } from '../../src/observe/metrics/counters.ts';
import type { ObservedPolicy } from '../../src/observe/observed_policy.ts';
import { Observation } from '../../src/workers/observation.ts';

export function flowMaker(): RecordFlow {
  return new RecordFlow({ instance: 'test', node: 'node', headers: [], isQueryLogged: false });
}

export class RecordCounters extends WorkerCounters {
  readonly #flow = flowMaker();

  override policyChanged(policy: ObservedPolicy): void {
    super.policyChanged(policy);
    this.#flow.policyChanged(policy, []);
  }

  record(record: RequestRecord): void {
    this.flow(this.#flow.take(record));
  }
}

export class RecordObservation extends Observation {
  record(record: RequestRecord): void {
    this.recorder.record(record);
  }
}
