/** One bound: what it is without a word of the user, and what a user may make of it. */
export interface LimitSpec {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly about: string;
}

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const SECOND = 1000;
export const HOUR = 3600 * SECOND;

export function spec(value: number, min: number, max: number, about: string): LimitSpec {
  return { default: value, min, max, about };
}
