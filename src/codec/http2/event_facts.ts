/**
 * The facts of the event that `Http2Connection.next` gave last, in one object of one shape that is
 * used again and again. Which of them count, `event.ts` says for each event; the others are stale.
 */
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import { NOTHING_SEEN, type PartialRequest } from '../../model/partial_request.ts';
import type { Http2RequestHead } from './request_head.ts';
import type { Http2ResponseHead } from './response_head.ts';
import { Http2Stream } from './stream.ts';

export class EventFacts<Context> {
  stream: Http2Stream<Context> = new Http2Stream<Context>(0, 0, { receive: 0, send: 0 });
  isEndStream = false;
  /** Of a HEAD in the server role. */
  requestHead: Http2RequestHead | null = null;
  /** Of a HEAD in the client role. */
  responseHead: Http2ResponseHead | null = null;
  /** Of a HEAD or of TRAILERS: flat, pseudo-fields first. The caller may keep the array. */
  fields: readonly string[] = [];
  kinds: readonly number[] = [];
  /** Of DATA: the content. Of a HEAD or of TRAILERS: the header block. Valid until `receive`. */
  bytes: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  /** The header block means the same to anyone, so it may be passed on as it came. */
  isBlockSelfContained = false;
  byteCount = 0;
  errorCode = 0;
  lastStreamId = 0;
  fault: Fault = 'http2-error';
  /** Which rule was broken. */
  cause: Cause | null = null;
  /** Of a MALFORMED request head. */
  partial: PartialRequest = NOTHING_SEEN;
  /** Of a MALFORMED request head: its sender reads gRPC's answers. */
  isGrpc = false;
}
