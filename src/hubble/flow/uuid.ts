import type { Flow } from '../../model/flow.ts';

/** Hubble's flows of one of ours. */
const PARTS = 2;
const NUMBER_DIGITS = 12;

/**
 * The same for each reader: the random digits of the process that saw the flow, then its number. Each process counts
 * its own flows, and 48 bits of them are more than it will see.
 */
export function flowUuid(
  { instance, number }: Pick<Flow, 'instance' | 'number'>,
  part: 0 | 1,
): string {
  const digits = (number * PARTS + part).toString(16).padStart(NUMBER_DIGITS, '0');
  return instance.slice(0, -NUMBER_DIGITS) + digits.slice(-NUMBER_DIGITS);
}
