import type { Problem } from '../../decode/problem.ts';
import type { SourceBundle } from './source_bundle.ts';

/**
 * A file that is written in place is empty for a moment. Taken at its word it would be a set without
 * that file's policies, and an endpoint that no policy selects is open: so an empty file is never a
 * change. Whoever wants none of it deletes the file or leaves a comment in it.
 */
export function unfinishedFiles({
  policies,
  endpoints,
  secrets,
}: SourceBundle): readonly Problem[] {
  return [...policies, endpoints, secrets]
    .filter((source) => source !== null)
    .filter(({ text }) => text.trim() === '')
    .map(({ path }) => ({
      place: { kind: 'file', path, line: 0, column: 0 },
      field: '',
      message: 'is empty, as a file that is being written is; nothing is changed',
    }));
}
