/**
 * What a benchmark is: it does its work once and gives a number made of the result, so that no compiler
 * can find that nobody wants it.
 */
export type Work = () => number;

/** Those that run in one process, by name: what code they share has seen the same kinds of objects. */
export type Works = Readonly<Record<string, Work>>;

/** A file in `groups/` of that name, with a function `works`. */
export const GROUPS = [
  'parse',
  'paths',
  'decide',
  'header_actions',
  'hpack',
  'http2',
  'access_log',
  'request',
  'compile',
] as const;

export type GroupName = (typeof GROUPS)[number];

export async function loadGroup(name: GroupName): Promise<Works> {
  const module = (await import(`./groups/${name}.ts`)) as { readonly works: () => Works };
  return module.works();
}
