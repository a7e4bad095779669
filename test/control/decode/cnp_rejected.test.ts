/** Every rejection of CiliumNetworkPolicy: where it is told, and with which words. */
import { describe, expect, it } from 'vitest';
import { REJECTED_CASES } from './cnp_rejected_cases.ts';
import { checkProblems, cnp, decodeText } from './decode_check.ts';

describe.each(Object.entries(REJECTED_CASES))('%s', (_, rows) => {
  it.each(rows)('%s', (_, marked, ...problems) => checkProblems(marked, problems));
});

describe('peers', () => {
  const pairs = [
    ['fromEndpoints: [{}]', 'fromCIDR: ▸[10.0.0.0/8]', 'fromCIDR'],
    ['fromEndpoints: [{}]', 'fromCIDRSet: ▸[{ cidr: 10.0.0.0/8 }]', 'fromCIDRSet'],
    ['fromEndpoints: [{}]', 'fromEntities: ▸[world]', 'fromEntities'],
    ['fromEndpoints: [{}]', 'fromNodes: ▸[{}]', 'fromNodes'],
  ] as const;
  it.each(pairs)('%s beside %s', (first, second, name) => {
    checkProblems(cnp(`ingress: [{ ${first}, ${second} }]`), [
      `spec.ingress[0].${name}: combining fromEndpoints and ${name} is not supported yet`,
    ]);
  });
});

describe('L7 rules', () => {
  it('an empty list of HTTP rules and of DNS rules are no rules, so any protocol will do', () => {
    const { problems } = decodeText(
      cnp('ingress: [{ toPorts: [{ ports: [{ port: "80" }], rules: { http: [], dns: [] } }] }]'),
    );
    expect(problems).toEqual([]);
  });
});
