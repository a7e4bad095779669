/** Each place of docs/differences.md that a file alone can meet is told where a file meets it, and nowhere else. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cnp, decodeText, egress, http, tiers } from './decoding.ts';

const dns = (protocol: string) =>
  egress(
    `{ toPorts: [{ ports: [{ port: "53"${protocol} }], rules: { dns: [{ matchPattern: "*" }] } }] }`,
  );
const defaultDeny = (value: string) =>
  cnp(`{ endpointSelector: {}, enableDefaultDeny: { ${value} }, ingress: [{}] }`);
const tier = (name: string) =>
  tiers(`{ tier: ${name}, priority: 1, subject: { namespaces: {} }, ingress: [] }`);

describe('a difference is told', () => {
  it.each([
    [
      'defaultDeny without rules',
      defaultDeny('egress: true'),
      'spec.enableDefaultDeny.egress',
      '`enableDefaultDeny: { egress: true }`',
    ],
    [
      'services that are denied',
      cnp(
        '{ endpointSelector: {}, egressDeny: [{ toServices: [{ k8sService: { serviceName: a } }] }] }',
      ),
      'spec.egressDeny[0].toServices',
      '`toServices` in `egressDeny`',
    ],
    ['a baseline', tier('Baseline'), 'spec.tier', 'Baseline rules'],
  ])('%s', (_, text, field, row) => {
    expect(toldOf(text)).toEqual([field]);
    // And the page has it.
    expect(readFileSync('docs/differences.md', 'utf8')).toContain(row);
  });
});

describe('nothing is told of', () => {
  it.each([
    ['default deny with rules', defaultDeny('ingress: true')],
    ['default deny that is off', defaultDeny('egress: false, ingress: false')],
    ['services that are allowed', egress('{ toServices: [{ k8sService: { serviceName: a } }] }')],
    ['DNS over UDP', dns(', protocol: UDP')],
    ['DNS over TCP, which is judged as well', dns(', protocol: TCP')],
    ['DNS over any protocol', dns('')],
    [
      'header actions, whose difference hangs on the request',
      http('{ headerMatches: [{ name: X, value: v, mismatch: REPLACE }] }'),
    ],
    ['an admin tier', tier('Admin')],
  ])('%s', (_, text) => {
    expect(toldOf(text)).toEqual([]);
  });
});

function toldOf(text: string): readonly string[] {
  const { problems, warnings } = decodeText(text);
  expect(problems).toEqual([]);
  return warnings.filter(({ id }) => id === 'differs-from-cilium').map(({ field }) => field);
}
