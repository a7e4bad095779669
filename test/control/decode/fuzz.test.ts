/**
 * Texts that are nearly policies: whatever is cut, doubled, replaced or swapped, decoding gives
 * policies or problems with a place in the text. It never throws, and never gives neither.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import { filePlace } from '../../support/file_place.ts';
import { runs } from '../../support/property_runs.ts';
import { cnp, decodeText, tiers, wireRule } from './decoding.ts';

const SAMPLES: readonly string[] = [
  cnp(`
  endpointSelector: { matchLabels: { app: api } }
  enableDefaultDeny: { ingress: true }
  log: { value: a }
  ingress:
    - fromEndpoints: [{ matchExpressions: [{ key: app, operator: In, values: [a, b] }] }]
      authentication: { mode: disabled }
      toPorts:
        - ports: [{ port: "80", endPort: 90, protocol: TCP }]
          rules:
            http:
              - { path: "/a[0-9]+", method: GET, host: a.test, headers: ["X-A: b"] }
              - headerMatches: [{ name: X-B, value: c, mismatch: REPLACE, secret: { name: s } }]
    - fromCIDRSet: [{ cidr: 10.0.0.0/8, except: [10.1.0.0/16] }, { cidrGroupRef: g }]
    - icmps: [{ fields: [{ family: IPv6, type: EchoRequest }] }]
  egress:
    - toFQDNs: [{ matchPattern: "*.a.test" }]
      toPorts: [{ ports: [{ port: dns }], rules: { dns: [{ matchName: a.test }] } }]
    - toServices: [{ k8sService: { serviceName: a, namespace: b } }]
      toPorts: [{ ports: [{ port: "443", protocol: TCP }], serverNames: ["*.a.test"] }]
  egressDeny: [{ toEntities: [world], toPorts: [{ ports: [{ port: "0" }] }] }]`),
  tiers(
    '{ tier: Admin, priority: 1, subject: { namespaces: {} }, egress: [{ action: Accept, to: [{ networks: [10.0.0.0/8] }, { domainNames: [a.test] }], protocols: [{ tcp: { destinationPort: { number: 80 } } }] }] }',
  ),
  wireRule(
    '{ precedence: 5, pass_precedence: 3, remote_policies: [43], server_names: ["*.a"], http_rules: { http_rules: [{ headers: [{ name: ":path", string_match: { safe_regex: { regex: "/a.*" } } }, { name: b, range_match: { start: 1, end: "5" } }], header_matches: [{ name: c, value: d, match_action: 1, mismatch_action: ADD_ON_MISMATCH }] }] } }',
  ),
  'kind: List\nitems: [&a { kind: CiliumCIDRGroup, apiVersion: cilium.io/v2, metadata: { name: g }, spec: { externalCIDRs: [10.0.0.0/8] } }, *a]',
];

const SPLICES: readonly string[] = [
  '*a',
  '&a ',
  '!!binary ',
  '!x ',
  '{{',
  '[[',
  '? ',
  '<<: ',
  '---\n',
  '...\n',
  '\t',
  '"',
  "'",
  '|',
  '\u0000',
  '\ud800',
  '\ufeff',
  '1e999',
  '.nan',
  '-0',
  '0x1f',
  'null',
  'true',
  '~',
  '[]',
  '{}',
  '__proto__: ',
  'constructor: ',
  '%YAML 1.1\n---\n',
];

describe('decoding', () => {
  it('survives edits of the text', () => {
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.integer({ min: 0, max: 12 }),
      put: fc.oneof(
        fc.constantFrom(...SPLICES),
        fc.string({ maxLength: 4, unit: 'binary' }),
        fc.constant(''),
      ),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...SAMPLES),
        fc.array(edit, { maxLength: 6 }),
        (sample, edits) => {
          let text = sample;
          for (const { at, cut, put } of edits) {
            const start = Math.floor(at * text.length);
            text = text.slice(0, start) + put + text.slice(start + cut);
          }
          check(text);
        },
      ),
      runs(400),
    );
  });

  it('survives other values in the place of any value', () => {
    const objects = SAMPLES.slice(0, 3).map((sample) => sample.split(/(?<=[:[,{] ?)(?=[^\s:[,{])/));
    const value = fc.oneof(
      fc.constantFrom(...SPLICES),
      fc.json({ maxDepth: 2 }),
      fc.integer().map(String),
    );
    fc.assert(
      fc.property(fc.constantFrom(...objects), fc.nat(), value, (parts, at, put) => {
        const index = at % parts.length;
        const old = parts[index] ?? '';
        const rest = old.slice(/^[^,\]}\n:]*/.exec(old)?.[0].length ?? 0);
        check([...parts.slice(0, index), put + rest, ...parts.slice(index + 1)].join(''));
      }),
      runs(400),
    );
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => check(text)),
      runs(400),
    );
  });
});

function check(text: string): void {
  const decoded = decodeText(text);
  const lines = text.split('\n').length;
  for (const problem of [...decoded.problems, ...decoded.warnings]) {
    const { line, column } = filePlace(problem.place);
    expect(line).toBeGreaterThanOrEqual(1);
    expect(line).toBeLessThanOrEqual(lines);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(problem.message).not.toBe('');
    expect(formatProblem(problem)).toMatch(/^policy\.yaml:[0-9]+:[0-9]+: /);
  }
  // A document is decoded, has a problem, or holds nothing.
  if (decoded.problems.length === 0 && decoded.names.length === 0) {
    expect(decoded.specs).toEqual([]);
    expect(decoded.wirePolicies).toEqual([]);
  }
}
