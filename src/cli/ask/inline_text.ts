/**
 * The text of one part of a YAML file, as it is written there: all else becomes blanks, so that the
 * part means what it says (quotes stay quotes) and its lines and columns are those of the file.
 */
import { type Document, isNode, visit } from 'yaml';

export interface YamlFile {
  readonly document: Document;
  readonly text: string;
}

/** `value` is what the part was read as; a part with aliases stands for it as JSON. */
export function inlineText(
  file: YamlFile,
  place: readonly (string | number)[],
  value: unknown,
): string {
  const node = file.document.getIn(place, true);
  if (!isNode(node) || !node.range || hasAlias(node)) return JSON.stringify(value);
  const [start, end] = node.range;
  const { text } = file;
  return `${blanked(text.slice(0, start))}${text.slice(start, end)}`;
}

function hasAlias(node: Parameters<typeof visit>[0]): boolean {
  let isFound = false;
  visit(node, {
    Alias() {
      isFound = true;
      return visit.BREAK;
    },
  });
  return isFound;
}

function blanked(text: string): string {
  return text.replace(/[^\r\n]/g, ' ');
}
