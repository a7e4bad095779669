/** The secrets file: name -> value, for header matches. Values never appear in a message; they
 * are kept one char a byte, as requests are judged. */

import { tooMuchTexts } from '../../text/document_bounds.ts';
import { byteText, hasControls } from './header_values.ts';
import type { Problem } from './problem.ts';
import { type ReaderLimits, readYaml } from './yaml_fields.ts';

/**
 * All that is ever told of a secrets file. What the YAML reader says quotes what it found, and a file
 * that holds nothing but a token, or a value without quotes, is found to be the secret.
 */
const NOT_TEXT = 'the value of a secret must be a string (quote it)';
const HAS_CONTROLS =
  'the value of a secret has control characters, such as a line end at its end: no header could be equal to it';
const NOT_UNIQUE = 'Map keys must be unique';
const UNREADABLE = 'not a map of names to quoted texts (what was found is not shown)';
const TOLD: ReadonlySet<string> = new Set([NOT_TEXT, HAS_CONTROLS, NOT_UNIQUE]);

export type SecretsResult =
  | { readonly kind: 'ok'; readonly secrets: ReadonlyMap<string, string> }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

/** An empty file has no secrets. */
export function decodeSecrets(
  source: { readonly path: string; readonly text: string },
  limits: ReaderLimits,
): SecretsResult {
  const reader = readYaml(source, limits);
  const root = reader.root();
  const secrets = new Map<string, string>();
  if (root !== null && !root.isEmpty) {
    for (const [name, field] of reader.entries(root)) {
      if (typeof field.value !== 'string') {
        reader.fail(field, NOT_TEXT);
      } else if (hasControls(field.value)) {
        reader.fail(field, HAS_CONTROLS);
      } else {
        secrets.set(name, byteText(field.value));
      }
    }
  }
  if (reader.problems.length > 0)
    return { kind: 'rejected', problems: withoutWhatWasFound(reader.problems, limits) };
  return { kind: 'ok', secrets };
}

function withoutWhatWasFound(
  problems: readonly Problem[],
  limits: ReaderLimits,
): readonly Problem[] {
  const told = new Set([...TOLD, ...tooMuchTexts(limits)]);
  return problems.map((problem) =>
    told.has(problem.message) ? problem : { ...problem, message: UNREADABLE },
  );
}
