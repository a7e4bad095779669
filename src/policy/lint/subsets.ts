/** Of more items than these only none, each alone and all together: there would be too many. */
const ENUMERATED_MAX = 6;

/** Those with fewer items first, the whole last; each in the order of `items`. */
export function subsets<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const { length } = items;
  if (length > ENUMERATED_MAX) return [[], ...items.map((one) => [one]), items];
  const all: Item[][] = [];
  for (let bits = 0; bits < 1 << length; bits++) {
    all.push(items.filter((_, index) => (bits & (1 << index)) !== 0));
  }
  return all.sort((a, b) => a.length - b.length);
}
