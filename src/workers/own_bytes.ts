/** Values as bytes that can be given away whole to another thread. */
import { deserialize, serialize } from 'node:v8';

export type OwnBytes = Uint8Array<ArrayBuffer>;

export function bytesOf(value: unknown): OwnBytes {
  return ownBytes(serialize(value));
}

/** In a buffer of their own. */
export function ownBytes(bytes: Uint8Array): OwnBytes {
  const { buffer, byteLength } = bytes;
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

/** Of bytes that a thread before has made. */
export function decoded<Value>(bytes: Uint8Array): Value {
  return deserialize(bytes) as Value;
}
