/** Whether two values that were derived one after the other say the same. */
import type { InventoryEndpoint } from '../../../policy/resolve/inventory.ts';

export function isSameList<Value>(
  a: readonly Value[],
  b: readonly Value[],
  isSame: (one: Value, other: Value) => boolean,
): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((one, index) => isSame(one, b[index] as Value));
}

export function isSameTexts(a: readonly string[], b: readonly string[]): boolean {
  return isSameList(a, b, (one, other) => one === other);
}

/** Of one name. */
export function isSameEndpoint(a: InventoryEndpoint, b: InventoryEndpoint): boolean {
  return (
    a.identity === b.identity &&
    a.isLocal === b.isLocal &&
    a.interface === b.interface &&
    a.podUid === b.podUid &&
    isSameTexts(a.labels, b.labels) &&
    isSameList(a.ips, b.ips, (one, other) => one.text === other.text) &&
    isSameList(
      a.namedPorts,
      b.namedPorts,
      (one, other) =>
        one.name === other.name && one.port === other.port && one.protocol === other.protocol,
    )
  );
}
