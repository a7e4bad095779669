/** What has become of what DNS answers said of names: in numbers. */

/** Why an address cannot be a name's: not of one host in the network, of the cluster, of this machine. */
export const UNLEARNABLE_REASONS = ['special', 'cluster', 'own'] as const;

export type UnlearnableReason = (typeof UNLEARNABLE_REASONS)[number];

/** An address of a name counts once for each name that has it. */
export interface NameCounts {
  /** That are kept now. */
  readonly names: number;
  readonly addresses: number;
  /** Addresses of names, since the start: learned anew, and gone as they had to make room or had had their time. */
  readonly learned: number;
  readonly evicted: number;
  readonly expired: number;
  /** Addresses in answers that names do not get, since the start. */
  readonly refused: Readonly<Record<UnlearnableReason, number>>;
}

export const NO_NAMES: NameCounts = {
  ...{ names: 0, addresses: 0, learned: 0, evicted: 0, expired: 0 },
  refused: { special: 0, cluster: 0, own: 0 },
};
