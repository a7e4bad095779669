/** Access log lines as text. */

import type { RequestRecord } from '../../src/model/record.ts';
import type { ShownOptions } from '../../src/observe/flow/http_facts.ts';
import { RecordFlow } from '../../src/observe/flow/record_flow.ts';
import { LogLineWriter } from '../../src/observe/log/line.ts';
import type { ObservedPolicy } from '../../src/observe/observed_policy.ts';

export class ReadableLines {
  readonly #writer = new LogLineWriter();
  readonly #flow: RecordFlow;

  constructor(options: ShownOptions) {
    this.#flow = new RecordFlow({ ...options, instance: 'test', node: 'node' });
  }

  policyChanged(policy: ObservedPolicy, secrets: Iterable<string>): void {
    this.#flow.policyChanged(policy, secrets);
  }

  line(record: RequestRecord, suppressed = 0): Uint8Array {
    return this.#writer.line(this.#flow.take(record), suppressed);
  }

  leftOut(source: string, count: number, atMs: number): Uint8Array {
    return this.#writer.leftOut(source, count, atMs);
  }

  text(record: RequestRecord, suppressed = 0): string {
    return Buffer.from(this.line(record, suppressed)).toString('latin1');
  }
}
