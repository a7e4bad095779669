import { decodeEndpoints } from '../../src/control/decode/endpoints/endpoints.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { Inventory } from '../../src/policy/resolve/inventory.ts';

/** Of the text of an endpoints file. */
export function inventoryOf(text: string): Inventory {
  const decoded = decodeEndpoints({ path: 'endpoints.yaml', text }, DEFAULT_LIMITS);
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
  return decoded.inventory;
}
