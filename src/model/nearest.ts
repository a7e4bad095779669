/**
 * "Did you mean": the known name that is nearest to a misspelt one. For messages only; nothing is
 * ever decided by it.
 */

/** Null when no name is near enough to be what was meant: a third of it may differ, unless `allowedEdits` is given. */
export function nearestName(
  found: string,
  known: Iterable<string>,
  allowedEdits = Math.max(1, Math.floor(found.length / 3)),
): string | null {
  const lowered = found.toLowerCase();
  let best: string | null = null;
  let bestEdits = allowedEdits + 1;
  for (const name of known) {
    if (Math.abs(name.length - found.length) >= bestEdits) continue;
    const edits = editDistance(lowered, name.toLowerCase());
    if (edits < bestEdits) {
      best = name;
      bestEdits = edits;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let edits = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) edits = Math.min(edits, at(beforeLast, j - 2) + 1);
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.MAX_SAFE_INTEGER;
}
