/** A line of the access log made and gathered, as `observe/observer.ts` does; writing it is the sink's affair. */
import type { ConnectionMeta } from '../../../src/model/connection_meta.ts';
import type { Decision } from '../../../src/model/decision.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead, type RequestHead } from '../../../src/model/request_head.ts';
import { FlowSender } from '../../../src/observe/flow/flow_sender.ts';
import { RecordFlow } from '../../../src/observe/flow/record_flow.ts';
import { LineBatch } from '../../../src/observe/log/batch.ts';
import { LogLineWriter } from '../../../src/observe/log/line.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { FLOW_OPTIONS, metaOf, recordOf } from '../exchange_record.ts';
import { compiled, policyOf, rulesOf, viewOf } from '../policies.ts';
import type { Work, Works } from '../work.ts';

const CONNECTION_COUNT = 32;
const PATH_COUNT = 64;
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
/** Taken, as by a sink, before many pieces have gathered. */
const TAKEN_BYTES = 96 * 1024;

export function works(): Works {
  const snapshot = compiled([policyOf(rulesOf('path pattern', 10))]);
  const paths = Array.from({ length: PATH_COUNT }, (_, i) => `/service/7/items/${i * 997}`);
  return {
    'a line, one connection, one path': logging(snapshot, { heads: [headOf(paths[0] ?? '')] }),
    'a line, one of 32 connections, one of 64 paths': logging(snapshot, {
      heads: paths.map((path) => headOf(path)),
      connectionCount: CONNECTION_COUNT,
    }),
    'a line with a trace': logging(snapshot, {
      heads: paths.map((path) => headOf(path, ['traceparent', TRACEPARENT])),
    }),
    'a line of a denial': logging(snapshot, { heads: [headOf('/elsewhere?q=1')] }),
    'a flow for a follower, one of 32 connections, one of 64 paths': following(snapshot, {
      heads: paths.map((path) => headOf(path)),
      connectionCount: CONNECTION_COUNT,
    }),
    'a flow for nobody': following(snapshot, { heads: [headOf(paths[0] ?? '')], isWanted: false }),
  };
}

function headOf(path: string, fields: readonly string[] = []): RequestHead {
  return plainHead({ method: 'GET', path, authority: 'api.default.svc:8080', fields });
}

interface Requests {
  readonly heads: readonly RequestHead[];
  readonly connectionCount?: number;
}

/** Records of them in turn, each as the flow that a worker makes of it. */
function flowing(snapshot: PolicySnapshot, requests: Requests): () => RecordFlow {
  const { heads, connectionCount = 1 } = requests;
  const view = viewOf(snapshot);
  const asked = heads.map((head): { head: RequestHead; decision: Decision } => ({
    head,
    decision: decideRequest(view, '', head),
  }));
  const metas = Array.from({ length: connectionCount }, (_, i) => metaOf(i + 1));
  const flow = new RecordFlow(FLOW_OPTIONS);
  flow.policyChanged(snapshot, []);
  let count = 0;
  return () => {
    count++;
    const one = asked[count % asked.length] as (typeof asked)[number];
    const meta = metas[count % metas.length] as ConnectionMeta;
    return flow.take(recordOf(meta, one, count));
  };
}

/** As a worker does for the supervisor, which takes each batch at once. */
function following(
  snapshot: PolicySnapshot,
  requests: Requests & { readonly isWanted?: boolean },
): Work {
  const next = flowing(snapshot, requests);
  let sentBytes = 0;
  const sender = new FlowSender({
    ...FLOW_OPTIONS,
    limits: DEFAULT_LIMITS,
    timers: { after: () => () => {}, every: () => () => {} },
    send: (batch, onTaken) => {
      sentBytes += batch.length;
      onTaken();
    },
  });
  sender.setWanted(requests.isWanted ?? true);
  return () => {
    sender.flow(next());
    return sentBytes;
  };
}

function logging(snapshot: PolicySnapshot, requests: Requests): Work {
  const next = flowing(snapshot, requests);
  const lines = new LogLineWriter();
  const batch = new LineBatch();
  return () => {
    const line = lines.line(next());
    batch.add(line);
    if (batch.byteLength > TAKEN_BYTES) {
      batch.take();
      batch.written();
    }
    return line.length;
  };
}
