/** `redirect.host: policy`: engine, explain and kernel tables let the host in by rules that select it, and by no others. */
import { describe, expect, it } from 'vitest';
import { judgeOptions } from '../../src/cli/ask/judge_options.ts';
import { judgeBundle } from '../../src/control/ask/judge_bundle.ts';
import { parseQuestion } from '../../src/control/ask/question.ts';
import type { Identity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { BundleStore } from '../support/bundle_store.ts';
import { modelOf, TCP } from '../support/kernel_model.ts';

const HOST = 1;
const API = '10.0.0.5';

const bundleOf = (ingress: unknown, more: object = {}) => ({
  policies: [
    {
      path: 'p.json',
      text: JSON.stringify({
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: { name: 'api', namespace: 'shop' },
        spec: { endpointSelector: {}, ...(ingress === null ? {} : { ingress }), ...more },
      }),
    },
  ],
  endpoints: {
    path: 'e.json',
    text: JSON.stringify({
      endpoints: [{ name: 'shop/api', ip: API, labels: { app: 'api' }, interface: 'lxc0' }],
    }),
  },
  secrets: null,
});

const toHttp = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] };
const CASES = [
  ['a rule that selects nobody', [{}], { always: 'allow', policy: 'deny' }],
  [
    'a rule for others',
    [{ fromEntities: ['world'], ...toHttp }],
    { always: 'allow', policy: 'deny' },
  ],
  [
    'a rule for the host',
    [{ fromEntities: ['host'], ...toHttp }],
    { always: 'allow', policy: 'allow' },
  ],
  ['a rule for the cluster', [{ fromEntities: ['cluster'] }], { always: 'allow', policy: 'allow' }],
  ['a rule for everybody', [{ ...toHttp }], { always: 'allow', policy: 'allow' }],
] as const;

describe.each(CASES)('with %s', (_about, ingress, wanted) => {
  it.each(['always', 'policy'] as const)('and host: %s', (host) => {
    const isHostJudged = host === 'policy';
    const bundle = bundleOf(ingress);
    const created = judgeBundle(bundle, { ...judgeOptions(), isHostJudged });
    if (created.kind === 'rejected') throw new Error(JSON.stringify(created.problems));
    const parsed = parseQuestion({ endpoint: 'shop/api', identity: HOST, port: 80 });
    if (parsed.kind === 'error') throw new Error(parsed.message);
    expect(created.judge.answer(parsed.question)).toMatchObject({
      line: { verdict: wanted[host] },
    });
    expect(created.judge.explain(parsed.question)).toMatchObject({
      line: { verdict: wanted[host] },
    });
    const regexEngine = createRe2Engine(DEFAULT_LIMITS);
    const store = new BundleStore({ limits: DEFAULT_LIMITS, regexEngine, isHostJudged });
    expect(store.updateBundle(bundle).kind).toBe('accepted');
    const model = modelOf(store.current());
    const policy = model.policyOf(model.side(API).endpoint, 'ingress');
    const remote = HOST as Identity;
    expect(model.verdict(policy, { protocol: TCP, port: 80, remote })).toBe(wanted[host]);
  });
});
