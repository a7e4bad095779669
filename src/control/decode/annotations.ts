/** Annotations under `sallyport.dev/`: what a policy says to us beside its rules. */

import { nearestName } from '../../model/nearest.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import { FINDING_IDS, isFindingId } from '../../policy/lint/finding_kinds.ts';
import type { Field } from './field.ts';
import type { ObjectReader } from './object_reader.ts';

export const ANNOTATION_PREFIX = 'sallyport.dev/';

/** By what stands behind the prefix. */
export const ANNOTATIONS = {
  'dry-run': 'judge and log as if the policy were in force, and enforce nothing of it',
  'ignore-findings': 'ids of findings of `sallyport check` that are not to be told of this policy',
} as const satisfies Record<string, string>;

export interface Annotations {
  readonly isDryRun: boolean;
  readonly ignoredFindings: ReadonlySet<FindingId>;
}

export function readAnnotations(reader: ObjectReader, field: Field | undefined): Annotations {
  if (field === undefined || field.isEmpty) return { isDryRun: false, ignoredFindings: new Set() };
  for (const [name, value] of reader.map(field)) checkName(reader, name, value);
  const own = (name: keyof typeof ANNOTATIONS): Field | undefined =>
    reader.map(field).get(`${ANNOTATION_PREFIX}${name}`);
  const dryRun = own('dry-run');
  const ignored = own('ignore-findings');
  return {
    isDryRun: dryRun !== undefined && reader.oneOf(dryRun, ['true', 'false']) === 'true',
    ignoredFindings: ignored === undefined ? new Set() : readIds(reader, ignored),
  };
}

/** One that is misspelt would be without effect: what was to be a dry run would be in force. */
function checkName(reader: ObjectReader, name: string, field: Field): void {
  const [prefix = '', rest = ''] = name.toLowerCase().split('/', 2);
  const isOurs = `${prefix}/` === ANNOTATION_PREFIX;
  const known = Object.keys(ANNOTATIONS);
  if (!isOurs || known.some((one) => name === `${ANNOTATION_PREFIX}${one}`)) return;
  const nearest = nearestName(rest, known);
  const hint = nearest === null ? '' : `; did you mean ${ANNOTATION_PREFIX}${nearest}?`;
  const allowed = known.map((one) => `${ANNOTATION_PREFIX}${one}`).join(', ');
  reader.fail(field, `unknown annotation "${name}"${hint} (allowed: ${allowed})`);
}

/** An id that is not known is no error: it may be one of another version. */
function readIds(reader: ObjectReader, field: Field): ReadonlySet<FindingId> {
  const ids = new Set<FindingId>();
  for (const word of (reader.text(field) ?? '').split(/[\s,]+/)) {
    if (isFindingId(word)) ids.add(word);
    else if (word !== '') reader.warn(field, unknownIdText(word), 'unknown-finding');
  }
  return ids;
}

export function unknownIdText(id: string): string {
  const nearest = nearestName(id, FINDING_IDS);
  return `no finding has the id "${id}"${nearest === null ? '' : `; did you mean ${nearest}?`}`;
}
