/** Whether what a client saw of a request is what its verdict says: 403, gRPC status 7, or a reset. */

export type Expected =
  | { readonly kind: 'forwarded' }
  | { readonly kind: 'denied' | 'grpc-denied' | 'reset'; readonly because: string };

/** What came back. */
export interface Seen {
  /** 0: the connection ended without a reply. */
  readonly status: number;
  /** grpc-status in the head, "" without one. */
  readonly grpcStatus: string;
}

/** What an allowed request gets from the origin. */
export interface OriginAnswer {
  readonly isEmbedded: boolean;
  /** When it was asked directly. */
  readonly status: number;
}

export const EMBEDDED_STATUS = 200;
const DENIED_STATUS = 403;
const GRPC_PERMISSION_DENIED = '7';

/** What the proxy itself answers when it cannot forward: an upstream's own answer is any other. */
const LOCAL_STATUSES: ReadonlySet<number> = new Set([0, 400, 403, 408, 414, 431, 502, 503, 504]);

/** Null when it is as judged, else what was expected and what was seen. */
export function mismatchOf(expected: Expected, seen: Seen, origin: OriginAnswer): string | null {
  if (isAsJudged(expected, seen, origin)) return null;
  return `${expectedText(expected, origin)}, seen ${seenText(seen)}`;
}

function isAsJudged(expected: Expected, seen: Seen, origin: OriginAnswer): boolean {
  switch (expected.kind) {
    case 'forwarded':
      if (origin.isEmbedded) return seen.status === EMBEDDED_STATUS && seen.grpcStatus === '';
      // The answers of somebody else's origin may change; ours it cannot give.
      return seen.status === origin.status || !LOCAL_STATUSES.has(seen.status);
    case 'denied':
      return seen.status === DENIED_STATUS;
    case 'grpc-denied':
      return seen.status === 200 && seen.grpcStatus === GRPC_PERMISSION_DENIED;
    case 'reset':
      return seen.status === 0;
  }
}

function expectedText(expected: Expected, origin: OriginAnswer): string {
  switch (expected.kind) {
    case 'forwarded':
      return `judged: allow, so the origin's ${origin.isEmbedded ? EMBEDDED_STATUS : origin.status}`;
    case 'denied':
      return `judged: deny (${expected.because}), so ${DENIED_STATUS}`;
    case 'grpc-denied':
      return `judged: deny (${expected.because}), so grpc-status ${GRPC_PERMISSION_DENIED}`;
    case 'reset':
      return `judged: deny (${expected.because}), so a reset connection`;
  }
}

function seenText({ status, grpcStatus }: Seen): string {
  if (status === 0) return 'a connection that ended without a reply';
  return grpcStatus === '' ? String(status) : `${status} with grpc-status ${grpcStatus}`;
}
