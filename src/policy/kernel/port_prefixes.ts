/** A range of ports as the fewest prefixes of 16 bits: 80-83 → 80/14, 443 → 443/16, 0-65535 → 0/0. */
export interface PortPrefix {
  readonly port: number;
  /** How many leading bits of `port` count. */
  readonly bits: number;
}

const PORT_BITS = 16;

/** Both ends inclusive. Ascending. */
export function portPrefixes(first: number, last: number): readonly PortPrefix[] {
  const prefixes: PortPrefix[] = [];
  for (let port = first; port <= last; ) {
    let bits = PORT_BITS;
    // One bit less doubles what the prefix covers: as long as it starts here and ends in the range.
    while (bits > 0) {
      const size = 1 << (PORT_BITS - bits + 1);
      if (port % size !== 0 || port + size - 1 > last) break;
      bits--;
    }
    prefixes.push({ port, bits });
    port += 1 << (PORT_BITS - bits);
  }
  return prefixes;
}
