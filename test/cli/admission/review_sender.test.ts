/** For whom a review is, from the beginning of its body: what stands in the object changes nothing. */
import { describe, expect, it } from 'vitest';
import { tenantOf } from '../../../src/cli/admission/review_sender.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';

const FORGED = { namespace: 'forged', userInfo: { username: 'forged' } };

/** In the order in which API servers write it. */
function bodyOf(head: object, object: unknown = { metadata: FORGED, ...FORGED }): string {
  const request = {
    uid: 'u',
    kind: { kind: 'CiliumNetworkPolicy' },
    ...head,
    object,
    options: FORGED,
  };
  return JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request });
}

const JANE = { userInfo: { username: 'jane', groups: ['a'], extra: { object: ['x'] } } };

describe('the tenant of a review', () => {
  it.each([
    ['the namespace', bodyOf({ name: 'p', namespace: 'shop', ...JANE }), 'namespace shop'],
    ['the user, without a namespace', bodyOf({ name: 'p', ...JANE }), 'user jane'],
    ['the user, with an empty one', bodyOf({ namespace: '', ...JANE }), 'user jane'],
    ['of a delete', bodyOf({ namespace: 'shop', operation: 'DELETE' }, null), 'namespace shop'],
    [
      'with texts that look like JSON',
      bodyOf({ name: ',"object":{', namespace: 'shop"}', ...JANE }),
      'namespace shop"}',
    ],
    ['nobody, where there is neither', bodyOf({ name: 'p' }), null],
    ['nobody, where they are no texts', bodyOf({ namespace: ['a'], userInfo: 'x' }), null],
    ['nobody, of what is no review', 'x', null],
    ['nobody, of what is no JSON', '{"request":[,"object":', null],
    ['nobody, when the object comes late', bodyOf({ filler: 'x'.repeat(70_000) }), null],
    ['nobody, when it is nested deep', `{"request":{"a":${'['.repeat(9999)},"object":{`, null],
  ])('is %s', (_about, body, tenant) => {
    expect(tenantOf(body, DEFAULT_LIMITS)).toBe(tenant);
  });
});
