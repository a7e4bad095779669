/**
 * Why an HTTP/2 stream ended before its time, in a bounded number of words: what a peer said, or what we
 * found. A stream ends so at most once, on whichever side it was first.
 */
import { FAULTS, type Fault } from './fault.ts';

/** Who ended it. */
export type ResetBy = 'downstream' | 'upstream' | 'proxy';

/** The error codes of RFC 9113 7, then what has none. */
export const PEER_RESET_CAUSES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
  /** A code that the RFC does not know: a peer may choose any of four thousand million. */
  'UNKNOWN',
  /** The connection ended, and the stream with it. */
  'connection-lost',
] as const;

export type PeerResetCause = (typeof PEER_RESET_CAUSES)[number];

/** The fault that is on record for it, or one of two ends that are no fault. */
export type OwnResetCause = Fault | 'stream-refused' | 'response-complete';

export const OWN_RESET_CAUSES: readonly OwnResetCause[] = [
  /** More streams than h2StreamCountMax, or one that came after our last GOAWAY: no record is made. */
  'stream-refused',
  /** The response was whole before its request (RFC 9113 8.1). */
  'response-complete',
  ...(Object.keys(FAULTS) as Fault[]),
];

export type ResetCause = PeerResetCause | OwnResetCause;

const UNKNOWN_INDEX = PEER_RESET_CAUSES.indexOf('UNKNOWN');

export function resetCauseOf(errorCode: number): PeerResetCause {
  const index = Math.min(errorCode, UNKNOWN_INDEX);
  return PEER_RESET_CAUSES[index] as PeerResetCause;
}
