/** Access log lines as text. */

import type { RequestRecord } from '../../src/model/record.ts';
import { LogLineWriter } from '../../src/observe/log/line.ts';

export class ReadableLines extends LogLineWriter {
  text(record: RequestRecord, suppressed = 0): string {
    return Buffer.from(this.line(record, suppressed)).toString('latin1');
  }
}
