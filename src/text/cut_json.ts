/** What can be told of a JSON text that is cut off, or that is wrong further on. */

/**
 * The text that stands at these keys, as ["metadata", "name"]; null if it does not come before the text ends. Of text
 * that is no JSON, anything.
 */
export function textAtKeys(json: string, keys: readonly string[]): string | null {
  /** The key of each open map below which we are; null of a list, or before its first one. */
  const path: (string | null)[] = [];
  const openers: string[] = [];
  for (let at = 0; at < json.length; at++) {
    switch (json.charAt(at)) {
      case '{':
      case '[':
        openers.push(json.charAt(at));
        path.push(null);
        break;
      case '}':
      case ']':
        openers.pop();
        path.pop();
        break;
      case '"': {
        const end = endOfString(json, at);
        if (end === -1) return null;
        const text = stringOf(json.slice(at, end));
        if (openers.at(-1) === '{' && isKey(json, end)) path[path.length - 1] = text;
        else if (isAt(path, keys)) return text;
        at = end - 1;
        break;
      }
    }
  }
  return null;
}

/** The index behind the quote that closes; -1: there is none. */
function endOfString(json: string, open: number): number {
  let at = open + 1;
  while (at < json.length && json.charAt(at) !== '"') at += json.charAt(at) === '\\' ? 2 : 1;
  return at < json.length ? at + 1 : -1;
}

function isKey(json: string, end: number): boolean {
  let at = end;
  while (' \t\r\n'.includes(json.charAt(at)) && at < json.length) at += 1;
  return json.charAt(at) === ':';
}

function stringOf(quoted: string): string | null {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return null;
  }
}

function isAt(path: readonly (string | null)[], keys: readonly string[]): boolean {
  return path.length === keys.length && keys.every((key, i) => path[i] === key);
}
