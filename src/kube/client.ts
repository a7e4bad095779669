/** Requests to an API server. `kube/access/` knows which one, and as whom; nothing behind this border does. */
import type { Readable } from 'node:stream';

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** See `pathOf`. */
  readonly path: string;
  readonly query?: ReadonlyMap<string, string>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of a PATCH: "application/merge-patch+json", ... */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

export type KubeReply =
  | { readonly kind: 'ok'; readonly status: number; readonly object: unknown }
  | KubeFailure;

export type KubeStreamReply =
  /** Content as it comes; whoever takes it ends it. */
  { readonly kind: 'stream'; readonly body: Readable } | KubeFailure;

/** `refused`: the API server said no; `unreachable`: nobody said anything. */
export type KubeFailure =
  | {
      readonly kind: 'refused';
      /** HTTP status. */
      readonly status: number;
      /** "NotFound", "Expired", "Forbidden", ...; "" when it gave none. */
      readonly reason: string;
      readonly message: string;
      /** Null: it named no time. */
      readonly retryAfterMs: number | null;
    }
  | { readonly kind: 'unreachable'; readonly message: string };

export interface KubeClient {
  /** "https://10.0.0.1:6443", for messages. */
  readonly server: string;
  /** Never rejects. The answer is bounded (`Limits.kubeObjectBytesMax` for one object). */
  request(request: KubeRequest): Promise<KubeReply>;
  /** Never rejects; resolves with the head of the answer. */
  stream(request: KubeRequest): Promise<KubeStreamReply>;
  close(): Promise<void>;
}
