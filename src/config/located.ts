/**
 * The configuration as it was written, each value with where it stands, so that every complaint can
 * name file, line and column, or the flag or variable that it came from. Knows no field.
 */
import { type Alias, isAlias, isMap, isScalar, isSeq, LineCounter, type Node } from 'yaml';
import { DEFAULT_LIMITS } from '../model/limits.ts';
import { parseYamlDocument } from '../text/yaml_documents.ts';

export interface Located {
  readonly value: LocatedValue;
  readonly origin: Origin;
}

export type LocatedValue =
  | string
  | number
  | boolean
  | null
  | readonly Located[]
  | Map<string, LocatedField>;

export interface LocatedField {
  readonly keyOrigin: Origin;
  readonly value: Located;
}

export type Origin =
  | { readonly kind: 'file'; readonly path: string; readonly line: number; readonly column: number }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'flag'; readonly name: string }
  | { readonly kind: 'default' };

/** What is wrong and where, in one line. */
export interface ConfigProblem {
  readonly origin: Origin;
  /** "listeners[0].address"; "" for the whole. */
  readonly field: string;
  readonly message: string;
}

/** "file:line:column: field: message", or the name of a flag or a variable in the file's place. */
export function formatProblem(problem: ConfigProblem): string {
  const field = problem.field === '' ? '' : `${problem.field}: `;
  return `${originText(problem.origin)}: ${field}${problem.message}`;
}

export type LocatedResult =
  | { readonly kind: 'located'; readonly root: Located }
  | { readonly kind: 'error'; readonly problems: readonly ConfigProblem[] };

/** Parses one YAML (or JSON) document whose root is a mapping; an empty one is an empty mapping. */
export function parseLocated(text: string, path: string): LocatedResult {
  const lines = new LineCounter();
  const originAt = (offset: number): Origin => {
    const { line, col } = lines.linePos(offset);
    return { kind: 'file', path, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const document = parseYamlDocument(text, { lineCounter: lines, limits: DEFAULT_LIMITS });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return {
      kind: 'error',
      problems: faults.map((fault) => ({
        origin: originAt(fault.pos[0]),
        field: '',
        message: fault.message,
      })),
    };
  }
  try {
    const reader = new TreeReader((alias) => alias.resolve(document), originAt);
    const root = document.contents as Node | null;
    const start = originAt(0);
    const located = root === null ? { value: new Map(), origin: start } : reader.read(root);
    return { kind: 'located', root: located };
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    return {
      kind: 'error',
      problems: [{ origin: originAt(error.offset), field: '', message: error.message }],
    };
  }
}

class TreeError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

class TreeReader {
  readonly #resolve: (alias: Alias) => Node | undefined;
  readonly #originAt: (offset: number) => Origin;
  #aliasCount = 0;
  #depth = 0;

  constructor(resolve: (alias: Alias) => Node | undefined, originAt: (offset: number) => Origin) {
    this.#resolve = resolve;
    this.#originAt = originAt;
  }

  /** Aliases can nest deeper than anything that is written. */
  read(node: Node): Located {
    const { documentDepthMax } = DEFAULT_LIMITS;
    if (this.#depth > documentDepthMax) {
      const message = `aliases nest lists and maps deeper than ${documentDepthMax}`;
      throw new TreeError(message, node.range?.[0] ?? 0);
    }
    this.#depth += 1;
    const located = this.#readNode(node);
    this.#depth -= 1;
    return located;
  }

  #readNode(node: Node): Located {
    const offset = node.range?.[0] ?? 0;
    const origin = this.#originAt(offset);
    if (isAlias(node)) return this.#readAlias(node, offset);
    if (isSeq(node)) {
      return { value: node.items.map((item) => this.read(item as Node)), origin };
    }
    if (isMap(node)) {
      const fields = new Map<string, LocatedField>();
      for (const pair of node.items) {
        const key = pair.key as Node;
        if (!isScalar(key)) throw new TreeError('a field name must be a text', offset);
        const value =
          pair.value === null
            ? { value: null, origin: this.#originAt(key.range?.[0] ?? offset) }
            : this.read(pair.value as Node);
        const keyOrigin = this.#originAt(key.range?.[0] ?? offset);
        fields.set(String(key.value), { keyOrigin, value });
      }
      return { value: fields, origin };
    }
    return { value: scalarValue(node, offset), origin };
  }

  /** Bounded: a few lines of aliases of aliases can stand for gigabytes, or for themselves. */
  #readAlias(alias: Alias, offset: number): Located {
    this.#aliasCount++;
    if (this.#aliasCount > DEFAULT_LIMITS.yamlAliasCountMax) {
      throw new TreeError('too many aliases', offset);
    }
    const target = this.#resolve(alias);
    if (target === undefined) throw new TreeError(`unknown anchor "${alias.source}"`, offset);
    return this.read(target);
  }
}

function scalarValue(node: Node, offset: number): string | number | boolean | null {
  const value: unknown = isScalar(node) ? node.value : undefined;
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return value;
  throw new TreeError('neither a text, a number, a boolean, a list nor a mapping', offset);
}

function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'file':
      return `${origin.path}:${origin.line}:${origin.column}`;
    case 'default':
      return 'default';
    default:
      return origin.name;
  }
}
