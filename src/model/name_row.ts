/** Names and their addresses as a running proxy lists them, and what of them is asked for. */
export const NAME_SOURCES = ['lookup', 'connection'] as const;
/** `connection`: the time to live is over, and a connection to it is, or was a moment ago, open. */
export type NameSource = (typeof NAME_SOURCES)[number];

/** Null: any. */
export interface NameFilter {
  readonly endpoint: string | null;
  /** As `matchPattern` of a `toFQDNs`. */
  readonly matchPattern: string | null;
  readonly source: NameSource | null;
}

export interface NameRow {
  readonly endpoint: string;
  readonly source: NameSource;
  readonly fqdn: string;
  /** Seconds that are left of it; 0: it is over. */
  readonly ttl: number;
  /** ISO 8601; when it is forgotten, unless it is asked for again, or a connection is open. */
  readonly expirationTime: string;
  readonly ips: readonly string[];
}
