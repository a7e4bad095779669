import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import { decisionOn, open, opened } from '../../support/policy_questions.ts';

const DIRECTORY = fileURLToPath(new URL('../../../fixtures/policy', import.meta.url));
const LISTS = ['ingress', 'ingressDeny', 'egress', 'egressDeny', 'toPorts', 'http', 'dns', 'ports'];

interface Fixture {
  readonly policies: readonly Readonly<Record<string, unknown>>[];
  readonly endpoints?: unknown;
  readonly enableNodeSelectorLabels?: boolean;
  readonly cases?: readonly { readonly name: string; readonly request: unknown }[];
}

/** Where the order of rules shows, as it does in Cilium's agent, the fixture's name begins with ordered_. */
const fixtures = readdirSync(DIRECTORY)
  .filter((name) => name.startsWith('cnp_'))
  .map((name) => ({ name, fixture: readFixture(name) }));

describe('neither the order of documents nor of rules changes a verdict', () => {
  it.each(fixtures)('$name', ({ fixture }) => {
    const reversed = {
      ...fixture,
      policies: [...fixture.policies].reverse().map(withReversedRules),
    };
    if (fixture.cases === undefined) {
      expect(open(bundleOf(fixture)).kind).toBe('rejected');
      expect(open(bundleOf(reversed)).kind).toBe('rejected');
      return;
    }
    const [one, other] = [opened(bundleOf(fixture)), opened(bundleOf(reversed))];
    for (const { name, request } of fixture.cases) {
      const expected = decisionOn(one, request);
      const found = decisionOn(other, request);
      expect(`${name}: ${found.verdict} ${found.reason}`).toBe(
        `${name}: ${expected.verdict} ${expected.reason}`,
      );
    }
  });
});

function readFixture(name: string): Fixture {
  return parse(readFileSync(`${DIRECTORY}/${name}`, 'utf8')) as Fixture;
}

function bundleOf(fixture: Fixture): SourceBundle {
  return {
    policies: [
      { path: 'policies', text: fixture.policies.map((one) => stringify(one)).join('\n---\n') },
    ],
    hasNodeLabels: fixture.enableNodeSelectorLabels === true,
    endpoints:
      fixture.endpoints === undefined
        ? null
        : { path: 'endpoints', text: stringify(fixture.endpoints) },
    secrets: null,
  };
}

/** The rules of a ClusterNetworkPolicy are ordered; everything else is a set. */
function withReversedRules(policy: Fixture['policies'][number]): Fixture['policies'][number] {
  return policy['kind'] === 'ClusterNetworkPolicy' ? policy : (reverse(policy) as typeof policy);
}

function reverse(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reverse);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const reversed = reverse(inner);
      return [key, LISTS.includes(key) && Array.isArray(reversed) ? reversed.reverse() : reversed];
    }),
  );
}
