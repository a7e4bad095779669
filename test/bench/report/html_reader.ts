/**
 * Reads the page as strictly as XML is read, and throws where it is not: whatever text came into it, the
 * elements must be the page's own, balanced, with quoted attributes.
 */
export interface ReadPage {
  readonly elements: readonly ReadElement[];
  /** All text outside of <style>, unescaped. */
  readonly text: string;
}

export interface ReadElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
}

const VOID_ELEMENTS = new Set(['meta', '!doctype']);
const TAG =
  /<(\/?)(!?[A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z][A-Za-z0-9-]*(?:="[^"<>]*")?)*)\s*(\/?)>/y;
const ATTRIBUTE = /([A-Za-z][A-Za-z0-9-]*)(?:="([^"]*)")?/g;
const TEXT = /[^<>]+/y;

export function readHtml(html: string): ReadPage {
  const elements: ReadElement[] = [];
  const open: string[] = [];
  let text = '';
  for (let at = 0; at < html.length; ) {
    TAG.lastIndex = at;
    TEXT.lastIndex = at;
    const found = html[at] === '<' ? TAG.exec(html) : TEXT.exec(html);
    if (found === null) throw new Error(`not HTML at ${at}: ${html.slice(at, at + 80)}`);
    at += found[0].length;
    if (!found[0].startsWith('<')) {
      if (open.at(-1) !== 'style') text += unescapeHtml(found[0]);
      continue;
    }
    const [, slash, name = '', attributes = '', isSelfClosed] = found;
    if (slash === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
    } else {
      elements.push({ name, attributes: attributesOf(attributes) });
      if (isSelfClosed === '' && !VOID_ELEMENTS.has(name)) open.push(name);
    }
  }
  if (open.length > 0) throw new Error(`not closed: ${open.join(' ')}`);
  return { elements, text };
}

function attributesOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(ATTRIBUTE)].map(([, name = '', value = '']) => [name, unescapeHtml(value)]),
  );
}

function unescapeHtml(text: string): string {
  return text.replace(/&([^;]*);?/g, (whole, name: string) => {
    if (name === 'nbsp') return '\u00a0';
    const code = /^#([0-9]+)$/.exec(name)?.[1];
    if (code === undefined || !whole.endsWith(';')) throw new Error(`not escaped: ${whole}`);
    return String.fromCodePoint(Number(code));
  });
}
