/**
 * A gRPC response that is all status: HTTP 200 with `grpc-status` in the head, no content, no trailers
 * ("Trailers-Only"). What a gRPC client gets where others get an error status and a body.
 */
import { encodeGrpcMessage } from './message.ts';
import type { GrpcStatus } from './status.ts';

/** Flat fields that go with HTTP status 200 and the end of the stream. */
export function trailersOnlyFields(status: GrpcStatus, message: string): readonly string[] {
  const fields = ['content-type', 'application/grpc', 'grpc-status', String(status)];
  if (message !== '') fields.push('grpc-message', encodeGrpcMessage(message));
  return fields;
}
