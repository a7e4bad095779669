/** Patterns that may match anywhere in a text, as Go's regexp and RE2 have it: for filters that users of a tool give. */
import RE2 from 're2';
import type { Limits } from '../model/limits.ts';
import { createRe2Engine } from './re2_engine.ts';
import { re2Source } from './re2_source.ts';

export type SearchResult =
  | { readonly kind: 'ok'; readonly isIn: (text: string) => boolean }
  | { readonly kind: 'error'; readonly message: string };

export type CompileSearch = (pattern: string) => SearchResult;

/** With the bounds that patterns of policies have. */
export function searchCompiler(limits: Limits): CompileSearch {
  const engine = createRe2Engine(limits);
  return (pattern) => {
    const checked = engine.compile(pattern);
    if (checked.kind === 'error') return checked;
    const regex = new RE2(re2Source(pattern) ?? '', 'u');
    return { kind: 'ok', isIn: (text) => regex.test(text) };
  };
}
