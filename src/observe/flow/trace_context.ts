import type { TraceFacts } from '../../model/flow.ts';

/** Trace Context level 1: version, trace id, parent id, flags; ids of zeros only are invalid. */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Null when it is none. */
export function parseTraceparent(traceparent: string): TraceFacts | null {
  const ids = TRACEPARENT.exec(traceparent);
  return ids === null ? null : { traceId: ids[1] as string, spanId: ids[2] as string };
}
