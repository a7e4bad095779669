/** What every connection of a data plane shares: options, clocks, and the two states of the whole. */
import type { DataPlaneOptions } from './options.ts';
import type { OwnAddresses } from './own_addresses.ts';
import type { ReadMemory } from './read_memory.ts';

export interface Shared {
  readonly options: DataPlaneOptions;
  readonly readMemory: ReadMemory;
  readonly ownAddresses: OwnAddresses;
  /** No new request is taken. */
  isDraining: boolean;
  /** Memory is at its bound: new work is refused. */
  isOverloaded: boolean;
}
