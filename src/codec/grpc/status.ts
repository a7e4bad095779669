/** gRPC status codes, and the mapping from HTTP statuses for replies that are not gRPC's own. */

export const GRPC_STATUSES = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const satisfies Record<string, number>;

export type GrpcStatus = (typeof GRPC_STATUSES)[keyof typeof GRPC_STATUSES];

/**
 * What a gRPC client makes of an HTTP status (gRPC's http-grpc-status-mapping), and so what we say in
 * its place.
 */
export function grpcStatusOf(httpStatus: number): GrpcStatus {
  switch (httpStatus) {
    case 400:
      return GRPC_STATUSES.INTERNAL;
    case 401:
      return GRPC_STATUSES.UNAUTHENTICATED;
    case 403:
      return GRPC_STATUSES.PERMISSION_DENIED;
    case 404:
      return GRPC_STATUSES.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC_STATUSES.UNAVAILABLE;
    default:
      return GRPC_STATUSES.UNKNOWN;
  }
}

/** The value of `grpc-status`; null when it is no number that can be logged as one. */
export function parseGrpcStatus(value: string): number | null {
  if (value.length === 0 || value.length > 3) return null;
  for (let i = 0; i < value.length; i++) {
    const char = value.charCodeAt(i);
    if (char < 0x30 || char > 0x39) return null;
  }
  return Number(value);
}

/** Flat fields → the number of the last `grpc-status` (gRPC has one), or null. */
export function grpcStatusIn(fields: readonly string[]): number | null {
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    if (fields[i] === 'grpc-status') return parseGrpcStatus(fields[i + 1] as string);
  }
  return null;
}
