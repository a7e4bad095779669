/** Which API server, how it is reached and known, and as whom we ask. Says nothing of any request. */
import type { Credentials } from './credentials.ts';
import type { RereadText } from './reread_text.ts';

export interface KubeAccess {
  /** "https://10.0.0.1:6443", with the path below which the API is, if there is one; for messages, too. */
  readonly server: string;
  /** Of the context or of our service account. */
  readonly namespace: string;
  /** Where this was found, for messages: "/root/.kube/config, context prod". */
  readonly from: string;
  /** What a user should know, a line each: certificates that are not verified, ... */
  readonly warnings: readonly string[];
  readonly trust: Trust;
  /** Through which proxy; null: none. With its user and password, if it asks for them. */
  readonly proxy: URL | null;
  readonly credentials: Credentials;
  /** Fields of each request: whom we ask for, if not for ourselves. */
  readonly impersonation: Readonly<Record<string, readonly string[]>>;
}

/** How the API server proves that it is the one. */
export interface Trust {
  readonly isVerified: boolean;
  /** Null: the host of the URL. */
  readonly serverName: string | null;
  /** In PEM; null: the authorities that the runtime knows. */
  readonly authorities: RereadText | null;
}
