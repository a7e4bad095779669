/** Numbers of the wire form: what two readers of YAML would read as two numbers is refused. */
import { describe, expect, it } from 'vitest';
import { checkProblems, decodeText } from './decode_check.ts';

function policy(rule: string, port = '80'): string {
  return `{ endpoint_ips: [10.0.0.1], endpoint_id: 1, ingress_per_port_policies: [{ port: ${port}, rules: [${rule}] }] }`;
}

describe('refused', () => {
  it.each(['010', '0x50', '0o10', '1e2', '80.0', '"080"', '"0x50"', '-0', '"+80"', '80_0'])(
    'port %s',
    (text) => {
      checkProblems(policy('{}', `▸${text}`), [
        'ingress_per_port_policies[0].port: must be a whole number from 0 to 65535',
      ]);
    },
  );

  it.each(['010', '"010"', '1e2', '0x10', '4294967296', '-1', '"4294967296"', 'world'])(
    'identity %s',
    (text) => {
      checkProblems(policy(`{ remote_policies: [▸${text}] }`), [
        'ingress_per_port_policies[0].rules[0].remote_policies[0]: is no identity',
      ]);
    },
  );

  it.each(['010', '1e1', '"7 "', '4294967296'])('precedence %s', (text) => {
    checkProblems(policy(`{ precedence: ▸${text} }`), [
      'ingress_per_port_policies[0].rules[0].precedence: must be a whole number',
    ]);
  });

  it('an enum by a number that is written otherwise', () => {
    checkProblems(
      '{ endpoint_ips: [10.0.0.1], endpoint_id: 1, ingress_per_port_policies: [{ port: 80, protocol: ▸0x0 }] }',
      ['ingress_per_port_policies[0].protocol: must be one of TCP, UDP'],
    );
  });
});

describe('accepted', () => {
  it.each([
    ['80', 80],
    ['"80"', 80],
    ['0', 0],
    ['"0"', 0],
    ['65535', 65_535],
  ])('port %s', (text, port) => {
    const decoded = decodeText(policy('{}', text));
    expect(decoded.problems).toEqual([]);
    expect(decoded.wirePolicies[0]?.ingress[0]?.port).toBe(port);
  });
});
