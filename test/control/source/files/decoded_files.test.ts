/** Files that stay as they are need not be decoded again: nothing else may show of it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { UpdateResult } from '../../../../src/control/set/policy_checker.ts';
import type { SourceBundle } from '../../../../src/control/source/files/source_bundle.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { printSnapshot } from '../../../../src/policy/decide/print.ts';
import type { RegexEngine } from '../../../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../../../src/regex/re2_engine.ts';
import { BundleStore } from '../../../support/bundle_store.ts';
import { runs } from '../../../support/property_runs.ts';

const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: default/web, ip: 10.0.0.2, labels: { app: web } }
`;
const TEXTS = [
  policy('a', '/a'),
  policy('a', '/b'),
  policy('b', '/b'),
  policy('c', '/c').replace('ingress', 'ingres'),
  policy('d', '('),
  '# nothing yet',
];
const sets = fc.array(
  fc.dictionary(fc.constantFrom('one.yaml', 'two.yaml', 'three.yaml'), fc.nat(TEXTS.length - 1)),
  { minLength: 2, maxLength: 8 },
);

const RUNS = runs(30);

describe('decoded files', () => {
  it('give what decoding each anew gives, set after set', () => {
    const seen = { accepted: 0, rejected: 0 };
    fc.assert(
      fc.property(sets, (list) => {
        const store = storeWith(createRe2Engine(DEFAULT_LIMITS));
        let inForce = '';
        for (const numbers of list) {
          const bundle = bundleOf(numbers);
          const fresh = storeWith(createRe2Engine(DEFAULT_LIMITS));
          const expected = fresh.updateBundle(bundle);
          const result = store.updateBundle(bundle);
          expect(factsOf(result)).toEqual(factsOf(expected));
          if (result.kind === 'accepted') inForce = printSnapshot(fresh.current());
          if (inForce !== '') expect(printSnapshot(store.current())).toBe(inForce);
          seen[result.kind]++;
        }
      }),
      RUNS,
    );
    expect(Math.min(seen.accepted, seen.rejected)).toBeGreaterThan(RUNS.numRuns / 3);
  });

  it('are decoded when they changed, and only then', () => {
    const compiled: string[] = [];
    const engine = createRe2Engine(DEFAULT_LIMITS);
    const store = storeWith({
      compile: (pattern) => {
        compiled.push(pattern);
        return engine.compile(pattern);
      },
      compileSet: engine.compileSet.bind(engine),
    });
    store.updateBundle(bundleOf({ 'one.yaml': 0, 'two.yaml': 2 }));
    expect(compiled.splice(0)).toEqual(['/a', '/b']);
    store.updateBundle(bundleOf({ 'one.yaml': 1, 'two.yaml': 2 }));
    expect(compiled.splice(0)).toEqual(['/b']);
    store.updateBundle(bundleOf({ 'two.yaml': 2 }));
    expect(compiled.splice(0)).toEqual([]);
    store.updateBundle(bundleOf({ 'one.yaml': 1, 'two.yaml': 2 }));
    expect(compiled.splice(0)).toEqual(['/b']);
  });
});

function storeWith(regexEngine: RegexEngine): BundleStore {
  return new BundleStore({ regexEngine, limits: DEFAULT_LIMITS });
}

function bundleOf(numbers: Readonly<Record<string, number>>): SourceBundle {
  return {
    policies: Object.entries(numbers).map(([path, number]) => ({
      path,
      text: TEXTS[number] as string,
    })),
    endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
    secrets: null,
  };
}

/** Numbers of sets are each store's own. */
function factsOf(result: UpdateResult): unknown {
  return result.kind === 'rejected' ? result.problems : result.warnings;
}

function policy(name: string, path: string): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name} }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "80", protocol: TCP }]
          rules: { http: [{ path: "${path}" }] }
`;
}
