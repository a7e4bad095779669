/**
 * Foreign YAML (and JSON, which is YAML) as documents of the `yaml` package, within bounds: the only place that
 * parses it. What exceeds a bound is a document that holds nothing but an error with its place, as any other fault of
 * the text is.
 *
 *     text ──Lexer──► lexemes ──Parser──► tokens ──Composer──► documents
 *                        └─ counted here, with the depth that the parser has reached
 */
import {
  Composer,
  CST,
  type Document,
  Lexer,
  type LineCounter,
  type ParsedNode,
  Parser,
  YAMLParseError,
} from 'yaml';
import type { Limits } from '../model/limits.ts';
import { DocumentBounds, type DocumentLimits, TooMuch } from './document_bounds.ts';

export type YamlDocument = Document.Parsed<ParsedNode>;

export interface YamlOptions {
  readonly limits: DocumentLimits;
  readonly lineCounter?: LineCounter;
  /** False: the caller finds keys that repeat; the library compares each key with all others of its map. */
  readonly uniqueKeys?: boolean;
}

/** For a text that is one document; another one in it is an error. */
export function parseYamlDocument(text: string, options: YamlOptions): YamlDocument {
  let first: YamlDocument | null = null;
  try {
    const tokens = boundedTokens(text, options);
    for (const document of composer(options).compose(tokens, true, text.length)) {
      if (first !== null) {
        const [start, end] = document.range;
        first.errors.push(new YAMLParseError([start, end], 'MULTIPLE_DOCS', MULTIPLE_DOCUMENTS));
        break;
      }
      first = document;
    }
  } catch (error) {
    return refused(error, options);
  }
  return first ?? emptyDocument(options);
}

/** In order. What exceeds a bound is the last one. */
export function parseYamlDocuments(text: string, options: YamlOptions): readonly YamlDocument[] {
  const documents: YamlDocument[] = [];
  try {
    for (const document of composer(options).compose(boundedTokens(text, options))) {
      documents.push(document);
    }
  } catch (error) {
    documents.push(refused(error, options));
  }
  return documents;
}

export type YamlValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'error'; readonly message: string };

/** As plain values, of a document without errors. */
export function yamlValue(
  document: YamlDocument,
  { yamlAliasCountMax }: Pick<Limits, 'yamlAliasCountMax'>,
): YamlValue {
  const error = document.errors[0];
  if (error !== undefined) return { kind: 'error', message: error.message };
  try {
    return { kind: 'value', value: document.toJS({ maxAliasCount: yamlAliasCountMax }) };
  } catch (thrown) {
    // An alias without an anchor, or one that stands for too much.
    if (thrown instanceof ReferenceError) return { kind: 'error', message: thrown.message };
    throw thrown;
  }
}

const MULTIPLE_DOCUMENTS = 'multiple documents are not allowed here (another one begins)';
/** Comes before the text of a scalar, which is a lexeme of its own. */
const SCALAR = CST.SCALAR;

function composer({ lineCounter, uniqueKeys = true }: YamlOptions): Composer<ParsedNode> {
  return new Composer<ParsedNode>({
    prettyErrors: false,
    // Else it prints warnings itself, with words of the text, past the border to terminals.
    logLevel: 'error',
    merge: false,
    uniqueKeys,
    ...(lineCounter === undefined ? {} : { lineCounter }),
  });
}

function* boundedTokens(text: string, options: YamlOptions): Generator<CST.Token, void> {
  const { limits, lineCounter } = options;
  const parser = new Parser(lineCounter?.addNewLine);
  const areBytesCounted = Buffer.byteLength(text) > limits.documentBytesMax;
  let bounds = new DocumentBounds(limits, 0);
  let document: CST.Token | undefined;
  let isScalar = false;
  lineCounter?.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    const at = parser.offset;
    yield* parser.next(lexeme);
    const { stack } = parser;
    if (stack[0] !== document) {
      document = stack[0];
      bounds = new DocumentBounds(limits, at);
    }
    // Signs of the lexer that are no part of the text move nothing.
    if (areBytesCounted && parser.offset > at) bounds.addBytes(Buffer.byteLength(lexeme));
    if (!isScalar) countLexeme(bounds, lexeme, at);
    isScalar = lexeme === SCALAR;
    if (isCollection(stack.at(-1))) bounds.checkDepth(stack.length - 1, at);
  }
  yield* parser.end();
}

function countLexeme(bounds: DocumentBounds, lexeme: string, at: number): void {
  const first = lexeme.charAt(0);
  if (first === ' ' || first === '\n' || first === '\r' || first === '\t' || first === '#') return;
  bounds.addToken(at);
  if (first === '&' || first === '*') bounds.addAnchor(at);
}

function isCollection(token: CST.Token | undefined): boolean {
  const type = token?.type;
  return type === 'block-map' || type === 'block-seq' || type === 'flow-collection';
}

function refused(error: unknown, options: YamlOptions): YamlDocument {
  if (!(error instanceof TooMuch)) throw error;
  const { offset, message } = error;
  const document = emptyDocument(options);
  document.errors.push(new YAMLParseError([offset, offset + 1], 'RESOURCE_EXHAUSTION', message));
  return document;
}

function emptyDocument(options: YamlOptions): YamlDocument {
  const [document] = composer(options).compose([], true, 0);
  if (document === undefined) throw new Error('the composer has made no document');
  return document;
}
