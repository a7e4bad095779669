/** What decoding one document needs to know, and what it gives. */
import type { Limits } from '../../model/limits.ts';
import type { RuleOrigin } from '../../policy/ast.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import type { Field } from './field.ts';
import type { ObjectReader } from './object_reader.ts';
import type { Place } from './place.ts';

export interface DecodeOptions {
  readonly limits: Limits;
  /** Patterns are compiled once here, so that a bad one is told with its place. */
  readonly regexEngine?: RegexEngine;
  /** Says of policies that are taken where the API server refuses them; absent: it does not. */
  readonly isApiServerChecked?: boolean;
  /** Of objects of namespaced kinds that name none, as kubectl has it; absent: "default". */
  readonly defaultNamespace?: string;
  /** fromNodes and toNodes are allowed; absent: they are not. */
  readonly hasNodeLabels?: boolean;
}

/** Where rules stand, by `positionKey` of their origin. */
export type Positions = Map<string, Place>;

export function positionKey(origin: RuleOrigin): string {
  return `${origin.policy}\n${origin.rule}`;
}

export interface DocumentContext {
  readonly reader: ObjectReader;
  readonly options: DecodeOptions;
  /** Where the object stands in its document: "" or such as "items[0]". */
  readonly rootPath: string;
  /** "namespace/name" or "name". */
  readonly policy: string;
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  readonly positions: Positions;
}

/** The origin of the rule at `field`, its place noted. Paths are within the object, without "spec.". */
export function originOf(context: DocumentContext, field: Field): RuleOrigin {
  const { rootPath } = context;
  const own = rootPath === '' ? field.path : field.path.slice(rootPath.length + 1);
  const rule = own.replace(/^spec\.|^spec$/, '');
  const origin = { policy: context.policy, rule };
  context.positions.set(positionKey(origin), context.reader.place(field));
  return origin;
}
