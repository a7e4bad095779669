/**
 * For whom a review is: the namespace of its object; of an object of the whole cluster, the user who writes it. API
 * servers write that before the object, which may be large, so no more than the beginning is read.
 */
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseJson } from '../../text/json_value.ts';
import { isRecord } from './review.ts';

export interface ReviewSender {
  /** Address of the API server, or of whoever took its part. */
  readonly client: string;
  /** "namespace shop", "user jane"; null: the body does not say it where API servers do. */
  readonly tenant: string | null;
}

/** A user may be in thousands of groups. */
const HEAD_MAX = 64 * 1024;
/** Within a text its quotes would stand behind backslashes. */
const OBJECT = ',"object":';

export function tenantOf(body: string, limits: DocumentLimits): string | null {
  const end = body.slice(0, HEAD_MAX).indexOf(OBJECT);
  if (end === -1) return null;
  const parsed = parseJson(`${body.slice(0, end)}}}`, limits);
  const request = parsed.kind === 'value' && isRecord(parsed.value) && parsed.value['request'];
  if (!isRecord(request)) return null;
  const { namespace, userInfo } = request;
  if (typeof namespace === 'string' && namespace !== '') return `namespace ${namespace}`;
  const user = isRecord(userInfo) ? userInfo['username'] : null;
  return typeof user === 'string' && user !== '' ? `user ${user}` : null;
}
