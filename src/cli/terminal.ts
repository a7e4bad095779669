/**
 * The one border between us and a terminal: everything that a verb writes goes through `safeIo`, which
 * escapes what a terminal would obey. Colours of ours are marked by what nobody's text can contain, and
 * become sequences here only.
 */
import { randomUUID } from 'node:crypto';
import { Document, isScalar, Scalar, visit } from 'yaml';
import { hasUnsafeText, shownText } from '../model/shown_text.ts';
import type { Io, TextSink } from './io.ts';

export const COLOURS = { red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36 } as const;

export type Colour = keyof typeof COLOURS;

/** Made anew by each process, so that no policy can have been written with it. */
const MARK = `\u0000${randomUUID()}`;

/** The text as it is when there are no colours. */
export function paint(io: Pick<Io, 'hasColour'>, colour: Colour, text: string): string {
  return io.hasColour ? `${MARK}${COLOURS[colour]}m${text}${MARK}0m` : text;
}

/** How many characters a painted text has. */
export function shownWidth(text: string): number {
  if (!text.includes(MARK)) return text.length;
  return text
    .split(MARK)
    .reduce(
      (width, part, index) => width + (index === 0 ? part : part.replace(STYLE, '')).length,
      0,
    );
}

const STYLE = /^[0-9]+m/;

export function safeIo(io: Io): Io {
  return { ...io, stdout: safeSink(io.stdout), stderr: safeSink(io.stderr) };
}

function safeSink(sink: TextSink): TextSink {
  return { write: (text) => sink.write(terminalText(text)) };
}

export function terminalText(text: string): string {
  if (!text.includes(MARK)) return shownText(text);
  const [first = '', ...styled] = text.split(MARK);
  return shownText(first) + styled.map(styledPart).join('');
}

function styledPart(part: string): string {
  const style = STYLE.exec(part)?.[0] ?? '';
  return `${style === '' ? '' : `\u001b[${style}`}${shownText(part.slice(style.length))}`;
}

/** A value as YAML in which what is escaped on the way out reads back as what it was. */
export function yamlText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_key, node) {
      if (isScalar(node) && typeof node.value === 'string' && hasUnsafeText(node.value)) {
        node.type = Scalar.QUOTE_DOUBLE;
      }
    },
  });
  return document.toString();
}
