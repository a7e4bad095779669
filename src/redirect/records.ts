/**
 * What the kernel wrote down at the SYN of each redirected connection: the proxy's only source of the
 * identities on both sides. Read once, when the connection is accepted.
 */
import type { SocketAddress } from '../model/address.ts';
import type { RedirectRecord } from './layout.ts';

export interface RedirectRecords {
  /** Null: the kernel knows nothing of such a connection. */
  lookup(source: SocketAddress, destination: SocketAddress): RedirectRecord | null;
}
