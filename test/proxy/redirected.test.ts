/**
 * Redirected connections: who they are is what the kernel wrote down at the SYN, and where both sides are
 * endpoints of the node both of their policies are asked, in one pass.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { applyMutations, type Decision } from '../../src/model/decision.ts';
import type { Identity } from '../../src/model/identity.ts';
import { plainHead } from '../../src/model/request_head.ts';
import { ALLOW_PERMIT } from '../../src/policy/permit.ts';
import { bothAllow } from '../../src/proxy/both_halves.ts';
import {
  identityCheck,
  type RecordedSide,
  type RedirectRecord,
} from '../../src/redirect/layout.ts';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import { answerHeads } from '../support/raw_origin.ts';

afterEach(closeRigs);

const API = 1001 as Identity;
const WEB = 43 as Identity;

/** The client of these tests is 127.0.0.1, as they have no other address. */
const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.7, labels: { app: api }, identity: ${API} }
  - { name: default/web, ip: 127.0.0.1, labels: { app: web }, identity: ${WEB} }
  - { name: default/other, ip: 10.0.0.9, labels: { app: other }, identity: 44 }
`;

const LABELS: Readonly<Record<number, readonly string[]>> = {
  [API]: labels('api'),
  [WEB]: labels('web'),
  44: labels('other'),
};

function labels(app: string): readonly string[] {
  return [
    `k8s:app=${app}`,
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default',
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.kubernetes.pod.namespace=default',
  ];
}

function side(identity: number, endpoint = 1): RecordedSide {
  return {
    identity: identity as Identity,
    check: identityCheck(LABELS[identity] ?? []),
    endpoint,
  };
}

function record(changes: Partial<RedirectRecord> = {}): RedirectRecord {
  return {
    timeNs: 1n,
    source: side(WEB),
    destination: side(API),
    generation: 1,
    isEgressJudged: false,
    isIngressJudged: true,
    ifindex: 7,
    ...changes,
  };
}

const BOTH = record({ isEgressJudged: true });

/** Ingress of the API from `from`, and egress of the web pod to it. */
function policies(ingress: string, egress: string, from = 'web'): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: ${from} } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }]${ingress} }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: web } }
  egress:
    - toEndpoints: [{ matchLabels: { app: api } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }]${egress} }]
`;
}

function http(...paths: readonly string[]): string {
  return `, rules: { http: [${paths.map((path) => `{ path: ${path} }`).join(', ')}] }`;
}

function redirected(policy: string, known: RedirectRecord | null): Promise<Rig> {
  return startRig({
    endpoints: ENDPOINTS,
    policy,
    script: answerHeads,
    records: { lookup: () => known },
    listener: {
      direction: 'by-record',
      identity: { kind: 'sources', sources: ['redirect-record'] },
    },
  });
}

async function ask(rig: Rig, path: string, fields = ''): Promise<string> {
  const client = await rig.client();
  client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\n${fields}connection: close\r\n\r\n`);
  const { text, how } = await client.over();
  return text === '' ? how : (text.split(' ')[1] ?? '');
}

describe('a redirected connection', () => {
  it('without a record is reset, and says why', async () => {
    const rig = await redirected(policies('', ''), null);
    expect(await ask(rig, '/')).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['error no-redirect-record 0 -']);
    expect(rig.origin.received).toBe('');
  });

  it('has the identity of its record', async () => {
    const rig = await redirected(policies(http('/a'), ''), record());
    expect(await ask(rig, '/a')).toBe('200');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      direction: 'ingress',
      remoteIdentity: WEB,
      identitySource: 'redirect-record',
    });
  });

  it('is refused when its client’s address is another endpoint’s to us', async () => {
    const rig = await redirected(policies(http('/a'), '', 'other'), record({ source: side(44) }));
    expect(await ask(rig, '/a')).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
  });

  it('is refused when a number means other labels to the kernel than to us', async () => {
    for (const changed of [
      { source: { ...side(WEB), check: 1 } },
      { destination: { ...side(API), check: 1 } },
      { source: { ...side(WEB), identity: 4711 as Identity } },
    ]) {
      const rig = await redirected(policies(http('/a'), ''), record(changed));
      expect(await ask(rig, '/a')).toBe('reset');
      expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
    }
  });

  it('is refused when the judged endpoint has another identity than at its SYN', async () => {
    const rig = await redirected(policies(http('/a'), ''), record({ destination: side(44) }));
    expect(await ask(rig, '/a')).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
  });

  it('is closed when its endpoint’s address goes to another one', async () => {
    let endpoints = ENDPOINTS;
    const rig = await redirected(policies(http('/a'), http('/a')), BOTH);
    const client = await rig.client();
    client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    await client.until('ok');
    endpoints = ENDPOINTS.replace('ip: 127.0.0.1', 'ip: 127.0.0.9');
    rig.updateAll({ endpoints, policy: policies(http('/a'), http('/a')) });
    await client.over();
    expect(rig.recorder.records.at(-1)).toMatchObject({
      verdict: 'denied',
      decision: { reason: 'identity-changed' },
    });
  });
});

describe('both sides on one node', () => {
  it('both have to allow a request, and the record says whose word it was', async () => {
    const rig = await redirected(policies(http('/b', '/c'), http('/a', '/b')), BOTH);
    expect(await ask(rig, '/b')).toBe('200');
    expect(await ask(rig, '/a')).toBe('403');
    expect(await ask(rig, '/c')).toBe('403');
    expect(rig.recorder.records.map(({ decision }) => [decision?.verdict, decision?.half])).toEqual(
      [
        ['allow', 'ingress'],
        ['deny', 'ingress'],
        ['deny', 'egress'],
      ],
    );
  });

  it('an ingress without HTTP rules does not skip the egress, nor the other way round', async () => {
    const onlyEgress = await redirected(policies('', http('/a')), BOTH);
    expect(await ask(onlyEgress, '/a')).toBe('200');
    expect(await ask(onlyEgress, '/b')).toBe('403');
    const onlyIngress = await redirected(policies(http('/a'), ''), BOTH);
    expect(await ask(onlyIngress, '/a')).toBe('200');
    expect(await ask(onlyIngress, '/b')).toBe('403');
  });

  it('either side’s refusal of the connection resets it', async () => {
    const rig = await redirected(policies(http('/a'), http('/a'), 'other'), BOTH);
    expect(await ask(rig, '/a')).toBe('reset');
    expect(rig.recorder.records[0]?.decision).toMatchObject({
      verdict: 'deny',
      reason: 'remote-not-allowed',
      half: 'ingress',
    });
  });

  it('what the egress rules set is what the ingress rules see, and what is sent', async () => {
    const rig = await redirected(
      policies(
        ', rules: { http: [{ headerMatches: [{ name: x-from, value: web }] }] }',
        ', rules: { http: [{ headerMatches: [{ name: x-from, value: web, mismatch: REPLACE }] }] }',
      ),
      BOTH,
    );
    expect(await ask(rig, '/', 'x-from: nobody\r\n')).toBe('200');
    expect(rig.origin.received).toContain('x-from: web\r\n');
    expect(rig.origin.received).not.toContain('nobody');
  });

  it('a new policy of either side is met by the next request', async () => {
    const rig = await redirected(policies(http('/a'), http('/a')), BOTH);
    const client = await rig.client();
    const send = (): void => client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    send();
    await client.until('ok');
    rig.updateAll({ endpoints: ENDPOINTS, policy: policies(http('/a'), http('/b')) });
    send();
    await client.until('Access denied');
    rig.updateAll({ endpoints: ENDPOINTS, policy: policies(http('/b'), http('/a')) });
    send();
    await client.until('Access denied', 2);
  });
});

describe('two verdicts as one', () => {
  const header = fc.constantFrom('a', 'b', 'c');
  const mutation = fc.record({
    kind: fc.constantFrom('add' as const, 'delete' as const, 'replace' as const),
    name: header,
    value: fc.constantFrom('1', '2'),
  });
  const decision: fc.Arbitrary<Decision> = fc
    .record({ isAllowed: fc.boolean(), mutations: fc.array(mutation, { maxLength: 3 }) })
    .map(({ isAllowed, mutations }) => {
      const common = { layer: 'http' as const, rule: null, mutations, missing: [], rejected: [] };
      return isAllowed
        ? { ...common, verdict: 'allow', reason: null, permit: ALLOW_PERMIT }
        : { ...common, verdict: 'deny', reason: 'no-http-rule-matched', permit: null };
    });

  it('the second sees no field of the hop from a rule: none is sent, either', () => {
    const mutations = ['te', 'x-a', 'upgrade'].map((name) => ({
      kind: 'add' as const,
      name,
      value: '1',
    }));
    const common = { layer: 'http' as const, reason: null, rule: null, permit: ALLOW_PERMIT };
    const logged = { missing: [], rejected: [] };
    const allow: Decision = { ...common, ...logged, verdict: 'allow', mutations };
    const head = plainHead({
      method: 'GET',
      authority: 'a',
      path: '/',
      fields: ['te', 'trailers'],
    });
    bothAllow(allow, head, (after) => {
      expect(after?.fields()).toEqual(['te', 'trailers', 'x-a', '1']);
      return allow;
    });
  });

  it('allow only if both do, and change what first the one and then the other would', () => {
    fc.assert(
      fc.property(decision, decision, fc.array(header), (first, second, names) => {
        const fields = names.flatMap((name) => [name, 'x']);
        const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields });
        let seen: readonly string[] | null = null;
        const both = bothAllow(first, head, (after) => {
          seen = after?.fields() ?? null;
          return second;
        });
        const isAllowed = first.verdict === 'allow' && second.verdict === 'allow';
        expect(both.verdict).toBe(isAllowed ? 'allow' : 'deny');
        expect(both.permit).toBe(isAllowed ? ALLOW_PERMIT : null);
        if (first.verdict === 'deny') {
          expect(seen).toBeNull();
          return;
        }
        const after = applyMutations(fields, first.mutations);
        expect(seen).toEqual(after);
        expect(applyMutations(fields, both.mutations)).toEqual(
          applyMutations(after, second.mutations),
        );
      }),
    );
  });
});
