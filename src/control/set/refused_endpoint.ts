/** An endpoint that is denied, told as what a source refuses is. */
import type { Problem } from '../decode/problem.ts';
import type { RefusedDocument } from './policy_input.ts';

/** Beside the kinds of an API. */
export const ENDPOINT_KIND = 'Endpoint';

/** `problem`: a text is what is wrong with the endpoint itself. */
export function refusedEndpoint(endpoint: string, problem: Problem | string): RefusedDocument {
  const slash = endpoint.indexOf('/');
  const namespace = slash === -1 ? null : endpoint.slice(0, slash);
  const name = endpoint.slice(slash + 1);
  const object = { kind: 'object', apiKind: ENDPOINT_KIND, namespace, name, uid: null } as const;
  const place = { ...object, field: '' };
  const problems = [typeof problem === 'string' ? { place, field: '', message: problem } : problem];
  return { place, problems, inForce: 'deny' };
}
