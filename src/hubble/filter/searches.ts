import type { CompileSearch } from '../../regex/search.ts';
import { BadFilterError } from './bad_filter.ts';

/** Whether any of the patterns is found in a text. */
export function searches(
  patterns: readonly string[],
  compile: CompileSearch,
): (text: string) => boolean {
  const compiled = patterns.map((pattern) => {
    const result = compile(pattern);
    if (result.kind === 'error') throw new BadFilterError(`${pattern}: ${result.message}`);
    return result.isIn;
  });
  return (text) => compiled.some((isIn) => isIn(text));
}
