/** A flow as JSON: every field is in docs/json.md, and texts of others are only texts. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { flowDocument } from '../../../src/observe/flow/flow_document.ts';
import { runs } from '../../support/property_runs.ts';
import { anyFlows } from './any_flow.ts';

const page = readFileSync(new URL('../../../docs/json.md', import.meta.url), 'utf8');

it('has the fields that docs/json.md lists, and no other', () => {
  const begin = page.indexOf('## Flows');
  const section = page.slice(begin, page.indexOf('\n## ', begin));
  const documented = [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names]) =>
    [...(names ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]),
  );
  const seen = new Set<string>();
  fc.assert(
    fc.property(anyFlows, (flows) => {
      for (const flow of flows) {
        for (const name of Object.keys(flowDocument(flow))) seen.add(name);
      }
    }),
    runs(500),
  );
  // Nothing makes one yet.
  seen.delete('dns');
  expect([...seen].sort()).toEqual(documented.toSorted());
});

it('is JSON for any flow', () => {
  fc.assert(
    fc.property(anyFlows, (flows) => {
      for (const flow of flows) {
        expect(JSON.parse(JSON.stringify(flowDocument(flow)))).toMatchObject({
          verdict: flow.verdict,
        });
      }
    }),
    runs(200),
  );
});
