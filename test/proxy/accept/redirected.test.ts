/**
 * Redirected connections: who they are is what the kernel wrote down at the SYN, and where both sides are
 * endpoints of the node both of their policies are asked, in one pass.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { applyMutations, type Decision } from '../../../src/model/decision.ts';
import { type Identity, RESERVED_IDENTITIES } from '../../../src/model/identity.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { DEFAULT_ALLOW_RULE } from '../../../src/policy/ast.ts';
import { denyAllSnapshot } from '../../../src/policy/compile/compile.ts';
import { DENY_REMOTE } from '../../../src/policy/decide/network_verdict.ts';
import { BothHalves, headAfter } from '../../../src/proxy/judge/both_halves.ts';
import { resolveMeta } from '../../../src/proxy/resolve/resolve.ts';
import {
  identityMark,
  MARK_PROXY_EGRESS,
  type RedirectRecord,
} from '../../../src/redirect/layout.ts';
import { address, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import { answerHeads } from '../../support/raw_origin.ts';
import {
  API,
  BOTH,
  httpRules,
  OTHER,
  policies,
  RECORDED_LISTENER,
  REDIRECTED_ENDPOINTS,
  recordOf,
  sideOf,
  WEB,
} from '../../support/redirected.ts';

afterEach(closeRigs);

function redirected(policy: string, known: RedirectRecord | null): Promise<Rig> {
  return startRig({
    endpoints: REDIRECTED_ENDPOINTS,
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
    const rig = await redirected(policies(httpRules('/a'), ''), recordOf());
    expect(await ask(rig, '/a')).toBe('200');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      direction: 'ingress',
      remoteIdentity: WEB,
      identitySource: 'redirect-record',
    });
  });

  it('is refused when its client’s address is another endpoint’s to us', async () => {
    const rig = await redirected(
      policies(httpRules('/a'), '', 'other'),
      recordOf({ source: sideOf(OTHER) }),
    );
    expect(await ask(rig, '/a')).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
  });

  it('is refused when its address has other labels to us than to the kernel', async () => {
    for (const changed of [
      { source: { ...sideOf(WEB), check: 1n } },
      { destination: { ...sideOf(API), check: 1n } },
    ]) {
      const rig = await redirected(policies(httpRules('/a'), ''), recordOf(changed));
      expect(await ask(rig, '/a')).toBe('reset');
      expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
    }
  });

  it('is who its labels say: each process numbers them by its own history', async () => {
    const renumbered = recordOf({
      source: { ...sideOf(WEB), identity: 4711 as Identity },
      destination: { ...sideOf(API), identity: 4712 as Identity },
      isEgressJudged: true,
    });
    const rig = await redirected(policies(httpRules('/a', '/b'), httpRules('/a')), renumbered);
    expect(await ask(rig, '/a')).toBe('200');
    expect(await ask(rig, '/b')).toBe('403');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      direction: 'egress',
      remoteIdentity: API,
      second: { direction: 'ingress', remoteIdentity: WEB },
    });
  });

  it('is refused when the judged endpoint has another identity than at its SYN', async () => {
    const rig = await redirected(
      policies(httpRules('/a'), ''),
      recordOf({ destination: sideOf(OTHER) }),
    );
    expect(await ask(rig, '/a')).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['denied identity-changed 0 -']);
  });

  it('is closed when its endpoint’s address goes to another one', async () => {
    let endpoints = REDIRECTED_ENDPOINTS;
    const rig = await redirected(policies(httpRules('/a'), httpRules('/a')), BOTH);
    const client = await rig.client();
    client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    await client.until('ok');
    endpoints = REDIRECTED_ENDPOINTS.replace('ip: 127.0.0.1', 'ip: 127.0.0.9');
    rig.updateAll({ endpoints, policy: policies(httpRules('/a'), httpRules('/a')) });
    await client.over();
    expect(rig.recorder.records.at(-1)).toMatchObject({
      verdict: 'denied',
      decision: { reason: 'identity-changed' },
    });
  });
});

describe('whose address the upstream sees', () => {
  const [local, world, remoteNode] = [(1 << 24) + 5, 2, 6] as const;

  it.each([
    ['an endpoint', API, 'always', true],
    ['an endpoint', API, 'endpoints', true],
    ['a CIDR', local, 'always', true],
    ['a CIDR', local, 'endpoints', false],
    ['the world', world, 'endpoints', false],
    ['another node', remoteNode, 'endpoints', false],
    ['the node itself', RESERVED_IDENTITIES.host, 'always', false],
    ['the node itself', RESERVED_IDENTITIES.host, 'endpoints', false],
  ] as const)(
    '%s (%d, clientAddress: %s): the client’s is %s',
    (_who, identity, clientAddress, isShown) => {
      const record = recordOf({
        isEgressJudged: true,
        isIngressJudged: false,
        destination: { identity: identity as Identity, check: 0n, endpoint: 0 },
      });
      const source = address('10.0.0.8:40000');
      const meta = resolveMeta(
        1,
        { source, destination: address('10.0.0.7:8080'), record },
        {
          options: { ...RECORDED_LISTENER, clientAddress },
          snapshot: denyAllSnapshot({
            ipcache: { lookup: () => null },
            labels: { labelsOf: () => [] },
          }),
          cilium: null,
        },
      );
      expect(meta.sender?.address ?? null).toEqual(isShown ? source : null);
      // Who it is, is shown in any case.
      expect(meta.sender?.mark).toBe(identityMark(MARK_PROXY_EGRESS, WEB));
    },
  );
});

describe('both sides on one node', () => {
  it('both have to allow a request, and the record says whose word it was', async () => {
    const rig = await redirected(policies(httpRules('/b', '/c'), httpRules('/a', '/b')), BOTH);
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
    const onlyEgress = await redirected(policies('', httpRules('/a')), BOTH);
    expect(await ask(onlyEgress, '/a')).toBe('200');
    expect(await ask(onlyEgress, '/b')).toBe('403');
    const onlyIngress = await redirected(policies(httpRules('/a'), ''), BOTH);
    expect(await ask(onlyIngress, '/a')).toBe('200');
    expect(await ask(onlyIngress, '/b')).toBe('403');
  });

  it('either side’s refusal of the connection resets it', async () => {
    const rig = await redirected(policies(httpRules('/a'), httpRules('/a'), 'other'), BOTH);
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
    const rig = await redirected(policies(httpRules('/a'), httpRules('/a')), BOTH);
    const client = await rig.client();
    const send = (): void => client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    send();
    await client.until('ok');
    rig.updateAll({
      endpoints: REDIRECTED_ENDPOINTS,
      policy: policies(httpRules('/a'), httpRules('/b')),
    });
    send();
    await client.until('Access denied');
    rig.updateAll({
      endpoints: REDIRECTED_ENDPOINTS,
      policy: policies(httpRules('/b'), httpRules('/a')),
    });
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
        ? { ...common, judgedFields: [], verdict: 'allow', reason: null }
        : { ...common, verdict: 'deny', reason: 'no-http-rule-matched' };
    });

  it('the second sees no field of the hop from a rule: none is sent, either', () => {
    const mutations = ['te', 'x-a', 'upgrade'].map((name) => ({
      kind: 'add' as const,
      name,
      value: '1',
    }));
    const common = { layer: 'http' as const, reason: null, rule: null };
    const logged = { judgedFields: [], missing: [], rejected: [] };
    const allow: Decision = { ...common, ...logged, verdict: 'allow', mutations };
    const head = plainHead({
      method: 'GET',
      authority: 'a',
      path: '/',
      fields: ['te', 'trailers'],
    });
    expect(headAfter(head, allow.mutations).fields()).toEqual(['te', 'trailers', 'x-a', '1']);
  });

  it('the same two make the same one, others another', () => {
    const allow = (rule: string): Decision => ({
      verdict: 'allow',
      layer: 'http',
      reason: null,
      rule: { policy: 'p', rule, index: 0 },
      mutations: [],
      judgedFields: [],
      missing: [],
      rejected: [],
    });
    const [one, two] = [allow('one'), allow('two')];
    const both = new BothHalves();
    const made = both.of(one, two);
    expect(made).toMatchObject({
      half: 'ingress',
      rule: { rule: 'two' },
      otherRule: { rule: 'one' },
    });
    expect(both.of(one, two)).toBe(made);
    expect(both.of(two, one)).not.toBe(made);
    const unwritten = allow(DEFAULT_ALLOW_RULE);
    expect(both.of(one, unwritten)).toMatchObject({ half: 'egress', otherRule: null });
    expect(both.of(unwritten, two)).toMatchObject({ half: 'ingress', otherRule: null });
    expect(both.of(DENY_REMOTE, null)).toEqual({ ...DENY_REMOTE, half: 'egress' });
    expect(both.of(one, two)).toEqual(made);
  });

  it('one half alone allows nothing', () => {
    const allow: fc.Arbitrary<Decision> = decision.filter(({ verdict }) => verdict === 'allow');
    fc.assert(
      fc.property(allow, (one) => {
        expect(new BothHalves().of(one, null)).toMatchObject({ verdict: 'deny' });
      }),
    );
  });

  it('allow only if both do, and change what first the one and then the other would', () => {
    fc.assert(
      fc.property(decision, decision, fc.array(header), (first, second, names) => {
        const fields = names.flatMap((name) => [name, 'x']);
        const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields });
        const seen = headAfter(head, first.mutations).fields();
        const both = new BothHalves().of(first, first.verdict === 'deny' ? null : second);
        const isAllowed = first.verdict === 'allow' && second.verdict === 'allow';
        expect(both.verdict).toBe(isAllowed ? 'allow' : 'deny');
        if (first.verdict === 'deny') return;
        const after = applyMutations(fields, first.mutations);
        expect(seen).toEqual(after);
        expect(applyMutations(fields, both.mutations)).toEqual(
          applyMutations(after, second.mutations),
        );
      }),
    );
  });
});
