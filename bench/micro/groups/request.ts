/** What a request costs but for the sockets: parsed, decided, recorded as a line of the access log. */
import { HEAD, NEED_MORE } from '../../../src/codec/http1/events.ts';
import { RequestParser } from '../../../src/codec/http1/request_parser.ts';
import { RecordFlow } from '../../../src/observe/flow/record_flow.ts';
import { LineBatch } from '../../../src/observe/log/batch.ts';
import { LogLineWriter } from '../../../src/observe/log/line.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { FLOW_OPTIONS, metaOf, recordOf } from '../exchange_record.ts';
import { PARSER_OPTIONS, requestBytes } from '../heads.ts';
import { compiled, policyOf, rulesOf, viewOf } from '../policies.ts';
import type { Work, Works } from '../work.ts';

const TAKEN_BYTES = 96 * 1024;

export function works(): Works {
  return {
    'parsed, decided and logged, 5 fields': handling(requestBytes(5, '/service/7/items/42')),
    'parsed, decided and logged, 20 fields': handling(requestBytes(20, '/service/7/items/42')),
    'parsed, denied and logged, 5 fields': handling(requestBytes(5, '/elsewhere')),
  };
}

function handling(bytes: Buffer): Work {
  const snapshot = compiled([policyOf(rulesOf('path pattern', 10))]);
  const view = viewOf(snapshot);
  const parser = new RequestParser(PARSER_OPTIONS);
  const lines = new LogLineWriter();
  const flow = new RecordFlow(FLOW_OPTIONS);
  flow.policyChanged(snapshot, []);
  const batch = new LineBatch();
  const meta = metaOf(1);
  let count = 0;
  return () => {
    count++;
    if (parser.next(bytes, 0) !== HEAD) throw new Error(parser.fault);
    const { head } = parser;
    const decision = decideRequest(view, '', head);
    parser.next(bytes, parser.offset);
    if (parser.next(bytes, parser.offset) !== NEED_MORE) throw new Error('more than one request');
    const line = lines.line(flow.take(recordOf(meta, { head, decision }, count)));
    batch.add(line);
    if (batch.byteLength > TAKEN_BYTES) {
      batch.take();
      batch.written();
    }
    return line.length;
  };
}
