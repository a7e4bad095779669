/** AdmissionReview (admission.k8s.io/v1) as an API server sends it → what is asked. */
import { isDeepStrictEqual } from 'node:util';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseJson } from '../../text/json_value.ts';

export interface Review {
  /** Goes back as it came. */
  readonly uid: string;
  readonly kind: string;
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  /** Null: the API server makes one up, beginning with `generateName`. */
  readonly name: string | null;
  /** Null: nothing of it is to be checked (`isUnchanged` and the like are told by `skips`). */
  readonly object: unknown;
  /** The bound that it is nested deeper than; null: it is not. */
  readonly tooDeep: number | null;
  /** Why nothing is to be checked; null: it is. */
  readonly skips: Skip | null;
}

/**
 * How deep an API server takes JSON. The bound on policies is one on the object: when it were one on the whole review,
 * a deep object that is there already could never lose its finalizers, nor be replaced by a good one.
 */
const REVIEW_DEPTH_MAX = 10_100;

/** `delete`: there is nothing; `part`: of a status; `unchanged`: its rules are those that are in force already. */
export type Skip = 'delete' | 'part' | 'unchanged' | 'going';

export type ReviewResult =
  | { readonly kind: 'review'; readonly review: Review }
  /** It is no AdmissionReview; what is wrong with it. */
  | { readonly kind: 'error'; readonly message: string };

const API_VERSION = 'admission.k8s.io/v1';
const UID_MAX = 256;

export function readReview(text: string, limits: DocumentLimits): ReviewResult {
  const parsed = parseJson(text, { ...limits, documentDepthMax: REVIEW_DEPTH_MAX });
  if (parsed.kind === 'error') return error(`the body is no JSON within bounds: ${parsed.message}`);
  const { value } = parsed;
  if (!isRecord(value)) return error('the body is no object');
  if (value['kind'] !== 'AdmissionReview' || value['apiVersion'] !== API_VERSION) {
    return error(`the body is no AdmissionReview of ${API_VERSION}`);
  }
  const request = value['request'];
  if (!isRecord(request)) return error('request is missing');
  const uid = textOf(request['uid']);
  if (uid === null || uid === '' || uid.length > UID_MAX) return error('request.uid is missing');
  const kind = isRecord(request['kind']) ? textOf(request['kind']['kind']) : null;
  if (kind === null) return error('request.kind is missing');
  return { kind: 'review', review: reviewOf(request, { uid, kind, limits }) };
}

function reviewOf(
  request: Readonly<Record<string, unknown>>,
  of: { readonly uid: string; readonly kind: string; readonly limits: DocumentLimits },
): Review {
  const { uid, kind, limits } = of;
  const { object, oldObject } = request;
  const metadata = isRecord(object) && isRecord(object['metadata']) ? object['metadata'] : {};
  const name = textOf(request['name']) || textOf(metadata['name']) || null;
  return {
    uid,
    kind,
    namespace: textOf(request['namespace']) || null,
    name,
    object,
    tooDeep: isDeeper(object, limits.documentDepthMax) ? limits.documentDepthMax : null,
    skips: skipOf(request, { object, oldObject, metadata }, limits),
  };
}

/**
 * An object that was there before us, or before a newer version that refuses it, must still lose its finalizers and get
 * its labels: only what its author changes is judged.
 */
function skipOf(
  request: Readonly<Record<string, unknown>>,
  parts: { readonly object: unknown; readonly oldObject: unknown; readonly metadata: unknown },
  { documentDepthMax }: DocumentLimits,
): Skip | null {
  if (request['operation'] === 'DELETE') return 'delete';
  if ((textOf(request['subResource']) ?? '') !== '') return 'part';
  const { object, oldObject, metadata } = parts;
  if (isRecord(metadata) && typeof metadata['deletionTimestamp'] === 'string') return 'going';
  if (request['operation'] !== 'UPDATE' || !isRecord(object) || !isRecord(oldObject)) return null;
  // To compare recurses.
  if ([object, oldObject].some((one) => isDeeper(one, documentDepthMax))) return null;
  return isDeepStrictEqual(rulesOf(object), rulesOf(oldObject)) ? 'unchanged' : null;
}

/** Level by level: it does not recurse into what it is to keep others from recursing into. */
function isDeeper(value: unknown, depthMax: number): boolean {
  let level: readonly unknown[] = [value].filter(isNest);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > depthMax) return true;
    level = level.flatMap((one) => Object.values(one as object).filter(isNest));
  }
  return false;
}

function isNest(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** All that a policy says: what is neither of the API server nor a status. */
function rulesOf(object: Readonly<Record<string, unknown>>): unknown {
  const { metadata, status: _, ...rest } = object;
  return [rest, isRecord(metadata) ? (metadata['annotations'] ?? null) : null];
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function error(message: string): ReviewResult {
  return { kind: 'error', message };
}
