/**
 * Of what is wrong with a set, as much as a log line or a status should hold, one line each; the last says how many
 * more there are. Whoever writes ten thousand fields that do not exist is not told of each: `sallyport check -c` is.
 */
export function toldProblems<Item>(
  all: readonly Item[],
  { textOf, countMax }: { readonly textOf: (item: Item) => string; readonly countMax: number },
): readonly string[] {
  const texts = all.slice(0, countMax).map(textOf);
  const moreCount = all.length - texts.length;
  return moreCount === 0 ? texts : [...texts, `and ${moreCount} more`];
}
