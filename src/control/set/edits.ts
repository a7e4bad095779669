/**
 * What makes one list of another in which all that did not change is the very same object. It costs one look at each
 * item where changes are few and far between.
 */
export interface Edit<Item> {
  /** In the list before. */
  readonly at: number;
  readonly gone: readonly Item[];
  readonly come: readonly Item[];
}

export interface ChangedItems<Item> {
  readonly gone: readonly Item[];
  readonly come: readonly Item[];
}

/** Items that come and go together, up to which what follows them is looked for. */
const LOOK_AHEAD = 8;

/** By ascending places, apart from each other. */
export function editsBetween<Item extends object>(
  before: readonly Item[],
  after: readonly Item[],
): readonly Edit<Item>[] {
  if (before === after) return NOTHING;
  if (lastLong.before === before && lastLong.after === after) {
    return lastLong.edits as readonly Edit<Item>[];
  }
  const edits = foundEdits(before, after);
  if (after.length > LONG) lastLong = { before, after, edits };
  return edits;
}

/** Several ask what differs in one list of tens of thousands. */
const LONG = 1000;
let lastLong: {
  readonly before: readonly object[] | null;
  readonly after: readonly object[] | null;
  readonly edits: readonly Edit<object>[];
} = { before: null, after: null, edits: [] };

function foundEdits<Item extends object>(
  before: readonly Item[],
  after: readonly Item[],
): readonly Edit<Item>[] {
  const edits: Edit<Item>[] = [];
  let from = 0;
  let to = 0;
  for (;;) {
    while (from < before.length && to < after.length && before[from] === after[to]) {
      from += 1;
      to += 1;
    }
    if (from >= before.length && to >= after.length) return edits;
    const [gone, come] = nextAlike({ before, from }, { after, to });
    edits.push({
      at: from,
      gone: before.slice(from, from + gone),
      come: after.slice(to, to + come),
    });
    from += gone;
    to += come;
  }
}

/** Without what an edit only moves. */
export function changedItems<Item extends object>(
  edits: readonly Edit<Item>[],
): ChangedItems<Item> {
  const gone = new Set(edits.flatMap((edit) => edit.gone));
  const come = edits.flatMap((edit) => edit.come).filter((item) => !gone.delete(item));
  return { gone: [...gone], come };
}

export function edited<Item>(
  before: readonly Item[],
  edits: readonly Edit<Item>[],
): readonly Item[] {
  const after = before.slice();
  for (const { at, gone, come } of edits.toReversed()) {
    after.splice(at, gone.length, ...come);
  }
  return after;
}

const NOTHING: readonly never[] = [];

interface Before<Item> {
  readonly before: readonly Item[];
  readonly from: number;
}

interface After<Item> {
  readonly after: readonly Item[];
  readonly to: number;
}

/** How many go and how many come until both lists go on alike. */
function nextAlike<Item>(
  { before, from }: Before<Item>,
  { after, to }: After<Item>,
): readonly [gone: number, come: number] {
  for (let count = 1; count <= LOOK_AHEAD; count++) {
    for (let gone = 0; gone <= count; gone++) {
      const [i, j] = [from + gone, to + count - gone];
      if (i > before.length || j > after.length) continue;
      const areAtEnd = i === before.length && j === after.length;
      const areInside = i < before.length && j < after.length;
      if (areAtEnd || (areInside && before[i] === after[j])) return [gone, count - gone];
    }
  }
  let [i, j] = [before.length, after.length];
  while (i > from && j > to && before[i - 1] === after[j - 1]) {
    i -= 1;
    j -= 1;
  }
  return [i - from, j - to];
}
