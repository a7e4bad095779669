/** Frames and header blocks written by hand, and connections driven with them: the tests' tools. */
import { Http2Connection } from '../../../src/codec/http2/connection.ts';
import {
  DATA,
  FAULT,
  HEAD,
  type Http2Event,
  MALFORMED,
  NEED_MORE,
  RESET,
  SENT,
  STREAM_ERROR,
  TRAILERS,
} from '../../../src/codec/http2/event.ts';
import { CLIENT_PREFACE, errorCodeName } from '../../../src/codec/http2/frame.ts';
import { FrameReader, READ_DATA, READ_FRAME } from '../../../src/codec/http2/frame_reader.ts';
import { encodedLengthMax, encodeFields } from '../../../src/codec/http2/hpack_encoder.ts';
import { SlabPool } from '../../../src/codec/http2/slab_pool.ts';
import type { UnderscoreAction } from '../../../src/model/field_alias.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';

export const POOL = new SlabPool();

const NONE = new Uint8Array(0);

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = NONE,
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export function block(fields: readonly string[]): Buffer {
  const target = Buffer.alloc(encodedLengthMax(fields, 0));
  return target.subarray(0, encodeFields(target, 0, { fields, kinds: null, from: 0 }));
}

export function headers(streamId: number, fields: readonly string[], flags = 0x5): Buffer {
  return frame(0x1, flags, streamId, block(fields));
}

export function data(streamId: number, content: string | Buffer, flags = 0): Buffer {
  return frame(0x0, flags, streamId, Buffer.from(content as string));
}

export function settings(...entries: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([identifier, value], i) => {
    payload.writeUInt16BE(identifier, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(0x4, 0, 0, payload);
}

export const SETTINGS_ACK = frame(0x4, 0x1, 0);

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(0x8, 0, streamId, uint32(increment));
}

export function reset(streamId: number, code = 8): Buffer {
  return frame(0x3, 0, streamId, uint32(code));
}

export const GET = [':method', 'GET', ':scheme', 'http', ':authority', 'a.test', ':path', '/'];
export const POST = [':method', 'POST', ':scheme', 'http', ':authority', 'a.test', ':path', '/'];
export const OK = [':status', '200'];

export function limitsWith(changes: Partial<Limits>): Limits {
  return { ...DEFAULT_LIMITS, ...changes };
}

export function server(
  limits: Limits = DEFAULT_LIMITS,
  underscores: UnderscoreAction = 'allow',
): Http2Connection<string> {
  const options = { limits, pool: POOL, isPathNormalised: true, underscores };
  return new Http2Connection({ role: 'server', ...options });
}

export function client(limits: Limits = DEFAULT_LIMITS): Http2Connection<string> {
  return new Http2Connection({ role: 'client', limits, pool: POOL, isPathNormalised: true });
}

/** Budgets that no sequence of a few frames spends: for models of what is not about them. */
export const GENEROUS_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  h2WindowUpdateSlackCount: 1000,
  h2NoiseFrameCountMax: 1000,
  h2EmptyFrameCountMax: 1000,
  h2ResetCountMax: 1000,
};

/** A server connection that has the client's preface, SETTINGS and ACK behind it. */
export function greetedServer(
  limits: Limits = DEFAULT_LIMITS,
  underscores: UnderscoreAction = 'allow',
): Http2Connection<string> {
  const connection = server(limits, underscores);
  drive(connection, Buffer.concat([CLIENT_PREFACE, settings(), SETTINGS_ACK]));
  connection.take();
  connection.flushed();
  return connection;
}

export function greetedClient(limits: Limits = DEFAULT_LIMITS): Http2Connection<string> {
  const connection = client(limits);
  drive(connection, Buffer.concat([settings(), SETTINGS_ACK]));
  connection.take();
  connection.flushed();
  return connection;
}

const EVENT_NAMES: Record<number, string> = {
  [HEAD]: 'head',
  [DATA]: 'data',
  [TRAILERS]: 'trailers',
  [RESET]: 'reset',
  [STREAM_ERROR]: 'stream-error',
  [MALFORMED]: 'malformed',
  [SENT]: 'sent',
  [FAULT]: 'fault',
  8: 'settings',
  9: 'goaway',
  10: 'ping-acked',
};

/**
 * Feeds `bytes` and tells every event in words; DATA events of one stream that follow each other
 * are told as one, as chunks cut them anywhere.
 */
export function drive(connection: Http2Connection<string>, bytes: Buffer, nowMs = 0): string[] {
  connection.receive(bytes, nowMs);
  return drain(connection);
}

export function drain(connection: Http2Connection<string>): string[] {
  const told: string[] = [];
  for (;;) {
    const event = connection.next();
    if (event === NEED_MORE) return told;
    tell(told, event, connection);
    if (event === FAULT) return told;
  }
}

function tell(told: string[], event: Http2Event, connection: Http2Connection<string>): void {
  const { facts } = connection;
  const name = EVENT_NAMES[event] as string;
  const end = facts.isEndStream ? ' end' : '';
  const at = `${name} ${facts.stream.id}`;
  switch (event) {
    case DATA: {
      const content = facts.bytes.toString('latin1', facts.start, facts.end);
      const before = told[told.length - 1];
      if (before?.startsWith(`${at} `) && !before.endsWith(' end')) {
        told[told.length - 1] = `${before}${content}${end}`;
      } else told.push(`${at} ${content}${end}`);
      return;
    }
    case HEAD:
    case TRAILERS:
      told.push(`${at} ${facts.fields.join('|')}${end}`);
      return;
    case RESET:
    case STREAM_ERROR:
      told.push(`${at} ${errorCodeName(facts.errorCode)}`);
      return;
    case MALFORMED:
      told.push(`${at} ${facts.fault}`);
      return;
    case SENT:
      told.push(`${at} ${facts.byteCount}${end}`);
      return;
    case FAULT:
      told.push(`fault ${errorCodeName(facts.errorCode)}`);
      return;
    default:
      told.push(name);
  }
}

/** DATA events of `told` joined across calls of `drive`. */
export function joined(told: readonly string[]): string[] {
  const result: string[] = [];
  for (const line of told) {
    const at = /^data \d+ /.exec(line)?.[0];
    const before = result[result.length - 1];
    if (at !== undefined && before?.startsWith(at) && !before.endsWith(' end')) {
      result[result.length - 1] = before + line.slice(at.length);
    } else result.push(line);
  }
  return result;
}

export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** The frames in `bytes`, which must be whole; a client preface at the beginning is skipped. */
export function framesIn(chunks: readonly Buffer[]): SentFrame[] {
  let bytes = Buffer.concat(chunks);
  if (bytes.subarray(0, CLIENT_PREFACE.length).equals(CLIENT_PREFACE)) {
    bytes = bytes.subarray(CLIENT_PREFACE.length);
  }
  const reader = new FrameReader();
  reader.feed(bytes);
  const found: SentFrame[] = [];
  for (;;) {
    const outcome = reader.next();
    if (outcome !== READ_FRAME && outcome !== READ_DATA) return found;
    const payload = Buffer.from(reader.bytes.subarray(reader.start, reader.end));
    found.push({ type: reader.type, flags: reader.flags, streamId: reader.streamId, payload });
  }
}

const FRAME_NAMES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
];

/** In words: "RST_STREAM 1 CANCEL", "WINDOW_UPDATE 0 500", "DATA 1 abc end". */
export function told(chunks: readonly Buffer[]): string[] {
  return framesIn(chunks).map(({ type, flags, streamId, payload }) => {
    const name = FRAME_NAMES[type] as string;
    const end = (flags & 0x1) !== 0 ? ' end' : '';
    switch (name) {
      case 'RST_STREAM':
        return `${name} ${streamId} ${errorCodeName(payload.readUInt32BE())}`;
      case 'GOAWAY':
        return `${name} ${payload.readUInt32BE()} ${errorCodeName(payload.readUInt32BE(4))}`;
      case 'WINDOW_UPDATE':
        return `${name} ${streamId} ${payload.readUInt32BE()}`;
      case 'DATA':
        return `${name} ${streamId} ${payload.toString('latin1')}${end}`;
      case 'SETTINGS':
      case 'PING':
        return `${name}${(flags & 0x1) !== 0 ? ' ack' : ''}`;
      default:
        return `${name} ${streamId}${end}`;
    }
  });
}
