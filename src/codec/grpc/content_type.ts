/**
 * Which content type makes a request gRPC: `application/grpc`, alone, with a suffix (`+proto`) or with parameters, as
 * grpc-go and Envoy tell it. `application/grpc-web` is another protocol. What answers, counts and logs asks here.
 */
import { equalsIgnoringCase } from '../http1/syntax.ts';

const GRPC = 'application/grpc';
const PLUS = 0x2b;
const SEMICOLON = 0x3b;

export function isGrpcType(value: string): boolean {
  // Told first: in HTTP/2 it is nearly always the same string of the HPACK table.
  if (value === GRPC) return true;
  if (value.slice(0, GRPC.length).toLowerCase() !== GRPC) return false;
  return value.length === GRPC.length || endsName(value.charCodeAt(GRPC.length));
}

/** The same of the value that stands there, without making a string of it. */
export function isGrpcTypeAt(bytes: Uint8Array, start: number, end: number): boolean {
  const nameEnd = start + GRPC.length;
  if (nameEnd > end || !equalsIgnoringCase(bytes, start, nameEnd, GRPC)) return false;
  return nameEnd === end || endsName(bytes[nameEnd] as number);
}

function endsName(next: number): boolean {
  return next === PLUS || next === SEMICOLON;
}
