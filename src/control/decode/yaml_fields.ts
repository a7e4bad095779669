/**
 * One YAML or JSON document as fields with their place in the text. Collects problems instead of throwing; expands
 * aliases up to a bound; refuses keys that stand twice.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import type { Limits } from '../../model/limits.ts';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import {
  parseYamlDocument,
  parseYamlDocuments,
  type YamlDocument,
} from '../../text/yaml_documents.ts';
import { DocumentNodes } from './document_nodes.ts';
import { entryPath, type Field, type FieldReader, itemPath, shownScalar } from './field.ts';
import { splitJson, type TextPlace } from './json_documents.ts';
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';

/** Of one document. */
export type ReaderLimits = DocumentLimits & Pick<Limits, 'yamlAliasCountMax'>;

export function readYaml(
  source: { readonly path: string; readonly text: string },
  limits: ReaderLimits,
): FieldReader {
  return readOne(source.path, { text: source.text }, limits);
}

/** A reader for each document of a text that may hold several; empty documents are left out. */
export function readYamlDocuments(
  source: { readonly path: string; readonly text: string },
  limits: ReaderLimits,
): readonly FieldReader[] {
  const jsonDocuments = splitJson(source.text);
  if (jsonDocuments !== null) {
    return jsonDocuments.map((one) => readOne(source.path, one, limits));
  }
  const lines = new LineCounter();
  return parseYamlDocuments(source.text, { lineCounter: lines, uniqueKeys: false, limits })
    .filter((document) => document.errors.length > 0 || !isNothing(document.contents))
    .map((document) => new YamlReader(source.path, { document, lines }, limits));
}

function readOne(
  path: string,
  { text, start }: { readonly text: string; readonly start?: TextPlace },
  limits: ReaderLimits,
): FieldReader {
  const lines = new LineCounter();
  // `DocumentNodes` finds keys that repeat, in one walk.
  const document = parseYamlDocument(text, { lineCounter: lines, uniqueKeys: false, limits });
  return new YamlReader(
    path,
    { document, lines, ...(start === undefined ? {} : { start }) },
    limits,
  );
}

interface Parsed {
  readonly document: YamlDocument;
  readonly lines: LineCounter;
  /** Where the text stands in its file; absent: at its beginning. */
  readonly start?: TextPlace;
}

/** As the library says it, and `secrets.ts` expects it. */
const NOT_UNIQUE = 'Map keys must be unique';

function isNothing(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.value === null);
}

class YamlReader implements FieldReader {
  readonly problems: Problem[] = [];
  readonly #told = new Set<string>();
  readonly #path: string;
  readonly #lines: LineCounter;
  readonly #start: TextPlace;
  readonly #document: YamlDocument;
  #nodes: DocumentNodes | null = null;
  readonly #aliasCountMax: number;
  /** Maps that are being merged, so that one that merges itself ends. */
  readonly #merging = new Set<YAMLMap>();
  /** Places of the aliases that were expanded, one more than may be at most. */
  readonly #counted = new Set<string>();
  #isOverTold = false;

  constructor(path: string, parsed: Parsed, limits: ReaderLimits) {
    this.#path = path;
    this.#aliasCountMax = limits.yamlAliasCountMax;
    this.#document = parsed.document;
    this.#lines = parsed.lines;
    this.#start = parsed.start ?? { line: 1, column: 1 };
  }

  root(): Field | null {
    const faults = [...this.#document.errors, ...this.#document.warnings];
    for (const fault of faults) this.#add(fault.pos[0], '', fault.message);
    if (faults.length > 0) return null;
    this.#nodes = new DocumentNodes(this.#document.contents);
    const { repeatedKeys } = this.#nodes;
    for (const offset of repeatedKeys) this.#add(offset, '', NOT_UNIQUE);
    return repeatedKeys.length > 0 ? null : this.#field('', this.#document.contents, 0);
  }

  entries(field: Field): readonly (readonly [string, Field])[] {
    const own = yamlField(field);
    if (!isMap(own.node)) {
      this.fail(field, `must be a map (found ${field.shown})`);
      return [];
    }
    return own.node.items.some(({ key }) => isMergeKey(key as Node | null))
      ? this.#mergedEntries(own, own.node)
      : this.#ownEntries(own, own.node.items);
  }

  /**
   * What `<<` brings in stands behind what the map says itself (YAML's merge type). kubectl's reader takes whatever
   * comes last, so a key that stands before the `<<` and is in both is not taken by either rule.
   */
  #mergedEntries(field: YamlField, map: YAMLMap): readonly (readonly [string, Field])[] {
    const byName = new Map<string, Field>();
    if (this.#merging.has(map)) {
      this.fail(field, 'is merged into itself');
      return [];
    }
    this.#merging.add(map);
    const merges = map.items.filter(({ key }) => isMergeKey(key as Node | null));
    const last = merges.at(-1) as Pair;
    for (const { value } of merges) {
      for (const [name, brought] of this.#broughtIn(field, value as Node | null)) {
        if (!byName.has(name)) byName.set(name, brought);
      }
    }
    this.#merging.delete(map);
    const before = map.items.slice(0, map.items.indexOf(last));
    for (const [name, own] of this.#ownEntries(field, before)) {
      if (byName.has(name)) {
        this.fail(
          own,
          `"${name}" is also in what << brings in, and readers of YAML do not agree which counts; write << first`,
        );
      }
      byName.set(name, own);
    }
    for (const [name, own] of this.#ownEntries(field, map.items.slice(before.length))) {
      byName.set(name, own);
    }
    return [...byName];
  }

  /** A map, or a list of maps of which the first counts. */
  #broughtIn(field: YamlField, value: Node | null): readonly (readonly [string, Field])[] {
    const brought = this.#field(field.path, value, field.offset);
    if (isMap(brought.node)) return this.entries(brought);
    if (!isSeq(brought.node)) {
      this.fail(brought, `<< takes a map or a list of maps (found ${brought.shown})`);
      return [];
    }
    return brought.node.items.flatMap((item) =>
      this.entries(this.#field(field.path, item as Node | null, field.offset)),
    );
  }

  #ownEntries(field: YamlField, pairs: readonly Pair[]): readonly (readonly [string, Field])[] {
    return pairs.flatMap((pair) => {
      const key = pair.key as Node | null;
      if (isMergeKey(key)) return [];
      if (!isScalar(key) || typeof key.value !== 'string') {
        const found = this.#field(field.path, key, field.offset);
        this.fail(found, `a key must be a text (found ${found.plain ?? found.shown})`);
        return [];
      }
      const path = entryPath(field.path, key.value);
      const value = pair.value as Node | null;
      const offset = key.range?.[0] ?? field.offset;
      return [[key.value, this.#field(path, value, offset, isPlain(key))] as const];
    });
  }

  items(field: Field): readonly Field[] {
    const { node, offset } = yamlField(field);
    if (!isSeq(node)) {
      this.fail(field, `must be a list (found ${field.shown})`);
      return [];
    }
    return node.items.map((item, index) =>
      this.#field(itemPath(field.path, index), item as Node | null, offset),
    );
  }

  fail(field: Field, message: string): void {
    this.#add(yamlField(field).offset, field.path, message);
  }

  place(field: Field): Place {
    return this.#placeOf(yamlField(field).offset);
  }

  #placeOf(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    const [ownLine, ownColumn] = [Math.max(1, line), Math.max(1, col)];
    const { line: firstLine, column: firstColumn } = this.#start;
    const column = ownLine === 1 ? ownColumn + firstColumn - 1 : ownColumn;
    return { kind: 'file', path: this.#path, line: ownLine + firstLine - 1, column };
  }

  #field(path: string, written: Node | null, parentOffset: number, isKeyPlain = false): YamlField {
    const offset = written?.range?.[0] ?? parentOffset;
    const node = isAlias(written) ? this.#resolved(written, path, offset) : written;
    return new YamlField(path, { node, offset, isKeyPlain });
  }

  #resolved(written: Node, path: string, offset: number): Node | null {
    // A field may be read more than once; its alias counts once.
    const place = `${offset} ${path}`;
    const isNew = !this.#counted.has(place);
    if (isNew && this.#counted.size <= this.#aliasCountMax) this.#counted.add(place);
    if (isNew && this.#counted.size > this.#aliasCountMax) {
      if (!this.#isOverTold) {
        this.#isOverTold = true;
        this.#add(offset, path, `more aliases than yamlAliasCountMax (${this.#aliasCountMax})`);
      }
      return null;
    }
    const node = isAlias(written) ? this.#nodes?.anchored(written) : written;
    if (node !== undefined) return node;
    // Nothing would count as absent, and a condition that is absent allows more.
    this.#add(offset, path, `the alias *${isAlias(written) ? written.source : ''} has no anchor`);
    return null;
  }

  #add(offset: number, field: string, message: string): void {
    // A field may be read more than once; what is wrong with it is told once.
    const key = `${offset} ${field} ${message}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.problems.push({ place: this.#placeOf(offset), field, message });
  }
}

interface Written {
  /** An alias is resolved. */
  readonly node: Node | null;
  readonly offset: number;
  readonly isKeyPlain: boolean;
}

class YamlField implements Field {
  readonly path: string;
  readonly node: Node | null;
  readonly offset: number;
  readonly isKeyPlain: boolean;
  readonly value: unknown;

  constructor(path: string, { node, offset, isKeyPlain }: Written) {
    this.path = path;
    this.node = node;
    this.offset = offset;
    this.isKeyPlain = isKeyPlain;
    if (isScalar(node)) this.value = node.value;
    else this.value = node === null ? null : undefined;
  }

  get isMap(): boolean {
    return isMap(this.node);
  }

  get isList(): boolean {
    return isSeq(this.node);
  }

  get isEmpty(): boolean {
    return this.value === null;
  }

  get shown(): string {
    if (this.isMap) return 'a map';
    return this.isList ? 'a list' : shownScalar(this.value);
  }

  get plain(): string | null {
    const { node } = this;
    return isScalar(node) && isPlain(node) ? (node.source ?? null) : null;
  }
}

/** Without quotes, and without `!!str`, with which every reader takes it for a text, too. */
function isPlain({ type, tag }: Scalar): boolean {
  return type === 'PLAIN' && tag !== STRING_TAG;
}

const STRING_TAG = 'tag:yaml.org,2002:str';

/** Fields are read by the reader that made them. */
function yamlField(field: Field): YamlField {
  if (field instanceof YamlField) return field;
  throw new TypeError(`${field.path} is a field of another reader`);
}

/** Plain `<<`; in quotes it is a key like any other. */
function isMergeKey(key: Node | null): boolean {
  return isScalar(key) && key.type === 'PLAIN' && key.source === '<<';
}
