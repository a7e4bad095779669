/** Reviews as API servers send them, and as they never should: what goes back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundedWarnings } from '../../../src/cli/admission/answer.ts';
import { replyTo } from '../../../src/cli/admission/reply.ts';
import { judgeOptions } from '../../../src/cli/ask/judge_options.ts';
import { runs } from '../../support/property_runs.ts';

const OPTIONS = { ...judgeOptions(), hasNodeLabels: false };
const POLICY = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'p', namespace: 'shop' },
  spec: { endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] },
};
const BAD = { ...POLICY, spec: { endpointSelector: {}, ingress: [{ fromEndpoint: [{}] }] } };

/** A review of a policy of admins. */
function tier(kind: string, fields: object): object {
  const object = {
    apiVersion: 'policy.networking.k8s.io/v1alpha1',
    kind,
    metadata: { name: 'default' },
    spec: {
      subject: { namespaces: {} },
      ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
      ...fields,
    },
  };
  return { kind: { kind }, namespace: '', name: 'default', object };
}

function review(request: object): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u1',
      kind: { group: 'cilium.io', version: 'v2', kind: 'CiliumNetworkPolicy' },
      operation: 'CREATE',
      namespace: 'shop',
      name: 'p',
      object: POLICY,
      ...request,
    },
  });
}

function answered(request: object): { allowed: boolean; status?: { message: string } } {
  const { status, body } = replyTo(review(request), OPTIONS);
  expect(status).toBe(200);
  const { apiVersion, kind, response } = JSON.parse(body);
  expect({ apiVersion, kind, uid: response.uid }).toEqual({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    uid: 'u1',
  });
  return response;
}

describe('a review', () => {
  it.each([
    ['a good policy', {}, true],
    ['one with an unknown field', { object: BAD }, false],
    ['an AdminNetworkPolicy', tier('AdminNetworkPolicy', { priority: 7 }), true],
    ['one with an unknown field', tier('AdminNetworkPolicy', { priority: 7, ingres: [] }), false],
    ['a BaselineAdminNetworkPolicy', tier('BaselineAdminNetworkPolicy', {}), true],
    ['one with a priority', tier('BaselineAdminNetworkPolicy', { priority: 7 }), false],
    ['one of no kind of policy', { kind: { kind: 'Pod' }, object: { kind: 'Pod' } }, true],
    ['an object that says to be of another kind', { object: { ...POLICY, kind: 'Pod' } }, false],
    ['no object at all', { object: null }, false],
    ['a delete', { operation: 'DELETE', object: null, oldObject: BAD }, true],
    ['a status', { operation: 'UPDATE', subResource: 'status', object: BAD }, true],
    ['a change of nothing', { operation: 'UPDATE', object: BAD, oldObject: BAD }, true],
    ['a change to something wrong', { operation: 'UPDATE', object: BAD, oldObject: POLICY }, false],
    [
      'labels of one that is wrong',
      {
        operation: 'UPDATE',
        object: { ...BAD, metadata: { ...BAD.metadata, labels: { a: 'b' }, generation: 3 } },
        oldObject: BAD,
      },
      true,
    ],
    [
      'a misspelt annotation beside old rules',
      {
        operation: 'UPDATE',
        object: {
          ...POLICY,
          metadata: { ...POLICY.metadata, annotations: { 'sallyport.dev/dryrun': 'true' } },
        },
        oldObject: POLICY,
      },
      false,
    ],
    [
      'one that is going',
      {
        operation: 'UPDATE',
        object: {
          ...BAD,
          metadata: { ...BAD.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
        },
        oldObject: POLICY,
      },
      true,
    ],
    ['a name that is not made up yet', { name: '', object: { ...POLICY, metadata: {} } }, true],
    ['a policy in dry run of the request', { dryRun: true, object: BAD }, false],
  ] as const)('%s', (_, request, isAllowed) => {
    expect(answered(request).allowed).toBe(isAllowed);
  });

  it('refuses in the words of check', () => {
    expect(answered({ object: BAD }).status).toEqual({
      code: 422,
      reason: 'Invalid',
      message: expect.stringMatching(
        /^spec\.ingress\[0\]\.fromEndpoint: unknown field "fromEndpoint"; did you mean fromEndpoints\? .* \[invalid\]$/,
      ),
    });
  });

  it('lists several errors below each other, and counts those that it leaves out', () => {
    const ingress = Array.from({ length: 40 }, () => ({ fromEndpoint: [{}] }));
    const { status } = answered({ object: { ...POLICY, spec: { endpointSelector: {}, ingress } } });
    const lines = status?.message.split('\n') ?? [];
    expect(lines).toHaveLength(22);
    expect(lines.at(-1)).toBe('  and 20 more: sallyport check tells them');
  });

  it('shows no text of an object as it stands', () => {
    const spec = { endpointSelector: {}, ingress: [{ '\u001b[2J\nWarning: all is well': 1 }] };
    const { status } = answered({ object: { ...POLICY, spec } });
    expect(status?.message).toContain('\\u001b[2J\\nWarning');
    expect(status?.message).not.toMatch(/[\u0000-\u001f]/);
  });

  it.each([
    '',
    'null',
    '[]',
    '{',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7}}',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"a"}}',
    '['.repeat(100_000),
  ])('that is none gets 400: %#', (body) => {
    expect(replyTo(body, OPTIONS)).toMatchObject({ status: 400, outcome: 'malformed' });
  });

  const nest = JSON.parse(`${'['.repeat(9_900)}1${']'.repeat(9_900)}`);
  const deep = { ...POLICY, spec: { ...POLICY.spec, x: nest } };

  it('of an object that is too deep is refused by name, not left to the failurePolicy', () => {
    for (const request of [
      { object: deep },
      { operation: 'UPDATE', object: deep, oldObject: deep },
    ]) {
      const { allowed, status } = answered(request);
      expect(allowed).toBe(false);
      expect(status?.message).toContain('deeper than documentDepthMax allows');
    }
  });

  it('lets one that is too deep go, and be replaced by a good one', () => {
    const going = {
      ...deep,
      metadata: { ...deep.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
    };
    for (const request of [
      { operation: 'DELETE', object: null, oldObject: deep },
      { operation: 'UPDATE', object: going, oldObject: deep },
      { operation: 'UPDATE', object: POLICY, oldObject: deep },
    ]) {
      expect(answered(request).allowed).toBe(true);
    }
  });

  it('with anything in it gets an answer', () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 4 }), fc.jsonValue(), (request, object) => {
        const { status } = replyTo(review({ object, ...request }), OPTIONS);
        expect([200, 400]).toContain(status);
      }),
      runs(200),
    );
  });
});

describe('warnings', () => {
  const size = (text: string): number => [...text].length;

  it.each([
    ['few', 3, 40, 3],
    ['as many as there is room for', 16, 256, 16],
    ['too many', 40, 256, 16],
    ['one that is too long', 1, 5000, 1],
    ['very many short ones', 1000, 30, 134],
  ])('%s', (_, count, length, told) => {
    const lines = Array.from({ length: count }, () => '€'.repeat(length));
    const bounded = boundedWarnings(lines);
    expect(bounded).toHaveLength(told);
    expect(Math.max(...bounded.map(size))).toBeLessThanOrEqual(256);
    expect(bounded.reduce((sum, line) => sum + size(line), 0)).toBeLessThanOrEqual(4096);
    const more = count - (told - 1);
    if (told < count) {
      expect(bounded.at(-1)).toBe(`and ${more} more warnings: sallyport check tells them`);
    }
  });
});
