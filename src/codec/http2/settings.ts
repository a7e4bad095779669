/** SETTINGS (RFC 9113 6.5): what a peer has told us, and what we tell it. */
import type { Limits } from '../../model/limits.ts';
import {
  ERROR_CODES,
  FRAME_BYTES_MAX,
  HEADER_TABLE_BYTES_DEFAULT,
  readUint32,
  SETTING_ENABLE_PUSH,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_INITIAL_WINDOW_SIZE,
  SETTING_MAX_CONCURRENT_STREAMS,
  SETTING_MAX_FRAME_SIZE,
  SETTING_MAX_HEADER_LIST_SIZE,
  UINT31_MAX,
  WINDOW_BYTES_DEFAULT,
} from './frame.ts';

export type Role = 'server' | 'client';

const SETTING_BYTES = 6;
const FRAME_SIZE_SETTING_MAX = 0xff_ffff;

/** Streams that a peer is trusted with before it has said how many it takes (6.5.2: at least 100). */
const CONCURRENT_STREAMS_ASSUMED = 100;

export class PeerSettings {
  initialWindow = WINDOW_BYTES_DEFAULT;
  /** What it takes; our frames never exceed the minimum that all must take. */
  frameBytesMax = FRAME_BYTES_MAX;
  concurrentStreamsMax = CONCURRENT_STREAMS_ASSUMED;
  headerTableBytes = HEADER_TABLE_BYTES_DEFAULT;

  /**
   * Applies a SETTINGS payload; NO_ERROR or the code of the connection error. `isFromServer` tells
   * whether ENABLE_PUSH may be 1. Unknown settings are ignored (6.5.2).
   */
  apply(payload: {
    readonly bytes: Buffer;
    readonly start: number;
    readonly end: number;
    readonly isFromServer: boolean;
  }): number {
    const { bytes, isFromServer } = payload;
    for (let at = payload.start; at < payload.end; at += SETTING_BYTES) {
      const identifier = bytes.readUInt16BE(at);
      const code = this.#applyOne(identifier, readUint32(bytes, at + 2), isFromServer);
      if (code !== ERROR_CODES.NO_ERROR) return code;
    }
    return ERROR_CODES.NO_ERROR;
  }

  #applyOne(identifier: number, value: number, isFromServer: boolean): number {
    switch (identifier) {
      case SETTING_HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        break;
      case SETTING_ENABLE_PUSH:
        if (value > (isFromServer ? 0 : 1)) return ERROR_CODES.PROTOCOL_ERROR;
        break;
      case SETTING_MAX_CONCURRENT_STREAMS:
        this.concurrentStreamsMax = value;
        break;
      case SETTING_INITIAL_WINDOW_SIZE:
        if (value > UINT31_MAX) return ERROR_CODES.FLOW_CONTROL_ERROR;
        this.initialWindow = value;
        break;
      case SETTING_MAX_FRAME_SIZE:
        if (value < FRAME_BYTES_MAX || value > FRAME_SIZE_SETTING_MAX) {
          return ERROR_CODES.PROTOCOL_ERROR;
        }
        this.frameBytesMax = value;
        break;
      default:
        break;
    }
    return ERROR_CODES.NO_ERROR;
  }
}

/**
 * Flat [identifier, value, ...] of our SETTINGS frame. Towards an upstream the header table is off,
 * so that its header blocks mean the same to anyone and can be passed on as they came.
 */
export function ownSettings(
  role: Role,
  limits: Limits,
  streamWindowBytes: number,
): readonly number[] {
  const window = [SETTING_INITIAL_WINDOW_SIZE, streamWindowBytes];
  if (role === 'server') {
    return [
      SETTING_HEADER_TABLE_SIZE,
      limits.h2HeaderTableBytes,
      SETTING_MAX_CONCURRENT_STREAMS,
      limits.h2StreamCountMax,
      ...window,
      SETTING_MAX_HEADER_LIST_SIZE,
      limits.headBytesMax,
    ];
  }
  return [
    SETTING_HEADER_TABLE_SIZE,
    0,
    SETTING_ENABLE_PUSH,
    0,
    ...window,
    SETTING_MAX_HEADER_LIST_SIZE,
    limits.responseHeadBytesMax,
  ];
}

/** HPACK table size that is in force once the peer has acknowledged `ownSettings`. */
export function ownHeaderTableBytes(role: Role, limits: Limits): number {
  return role === 'server' ? limits.h2HeaderTableBytes : 0;
}
