/** What every connection of a data plane shares: options, clocks, and the two states of the whole. */
import type { DataPlaneOptions } from './options.ts';

export interface Shared {
  readonly options: DataPlaneOptions;
  /** No new request is taken. */
  isDraining: boolean;
  /** Memory is at its bound: new work is refused. */
  isOverloaded: boolean;
}
