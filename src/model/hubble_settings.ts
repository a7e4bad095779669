/** What clients of Hubble are served, and where: of the configuration, and as the thread gets it. Plain values. */
import type { SocketAddress } from './address.ts';

export interface HubbleServeSettings {
  /** Null: none. */
  readonly socket: HubbleSocket | null;
  readonly tcp: HubbleTcp | null;
  /** Where relays reach this node; "" when they do not. */
  readonly announced: string;
  readonly cluster: string;
  readonly node: string;
}

export interface HubbleSocket {
  /** Absolute. */
  readonly path: string;
  /** Who may connect beside the owner; null: nobody. */
  readonly group: number | null;
}

export interface HubbleTcp {
  readonly address: SocketAddress;
  /** Null: plain text, on a loopback address. */
  readonly tls: HubbleTlsFiles | null;
}

export interface HubbleTlsFiles {
  /** Absolute, as the others. */
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
}
