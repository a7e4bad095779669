/**
 * What the kernel wrote down at the SYN of each redirected connection, and at each redirected datagram: the proxy's
 * only source of the identities on both sides. Read once, when the connection is accepted or the datagram is read.
 */
import type { SocketAddress } from '../model/address.ts';
import type { Transport } from '../model/connection_meta.ts';
import type { RedirectRecord } from './layout.ts';

export interface RedirectRecords {
  /** Null: the kernel knows nothing of such a connection. */
  lookup(
    source: SocketAddress,
    destination: SocketAddress,
    transport: Transport,
  ): RedirectRecord | null;
}
