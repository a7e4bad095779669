import type { SourceBundle } from './source_bundle.ts';

/**
 * A file that is written in place is empty for a moment. Taken at its word it would be a set without
 * that file's policies, and an endpoint that no policy selects is open: so an empty file is never a
 * change. Whoever wants none of it deletes the file or leaves a comment in it. One line each.
 */
export function unfinishedFiles({ policies, endpoints, secrets }: SourceBundle): readonly string[] {
  return [...policies, endpoints, secrets]
    .filter((source) => source !== null)
    .filter(({ text }) => text.trim() === '')
    .map(({ path }) => `${path}: is empty, as a file that is being written is; nothing is changed`);
}
