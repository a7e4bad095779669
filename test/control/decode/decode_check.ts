/**
 * What tests of the decoders share: texts with the place of the fault marked by "▸", and the check
 * that exactly the expected problems come, at those places.
 */

import { expect } from 'vitest';
import { decodePolicyFile } from '../../../src/control/decode/policy_file.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import type { DirectionRule, PolicySpec } from '../../../src/policy/rule.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { lineAndColumn } from '../../support/file_place.ts';
import { type Decoded, flattened } from './flattened.ts';

const MARK = '▸';
const REGEX_ENGINE = createRe2Engine(DEFAULT_LIMITS);

export function decodeText(text: string, limits: Partial<Limits> = {}): Decoded {
  return flattened(
    decodePolicyFile(
      { path: 'p.yaml', text },
      { limits: { ...DEFAULT_LIMITS, ...limits }, regexEngine: REGEX_ENGINE, hasNodeLabels: true },
    ),
  );
}

/** A namespaced policy, subject all of namespace "shop", with these lines in its spec. */
export function cnp(lines: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: shop }
spec:
  endpointSelector: {}
${indented(lines)}`;
}

/** The same, clusterwide. */
export function ccnp(lines: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: p }
spec:
  endpointSelector: {}
${indented(lines)}`;
}

/** A namespaced policy whose whole spec is these lines. */
export function cnpWith(lines: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: shop }
spec:
${indented(lines)}`;
}

export function ccnpWith(lines: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: p }
spec:
${indented(lines)}`;
}

/** Lines as they are, each two columns further right. */
export function indented(lines: string): string {
  return lines
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}

/**
 * Exactly as many problems as `expected`, in order; each is "FIELD: PART OF THE MESSAGE" (the path
 * in full, then any part). Problems stand where the marks do, and nowhere else.
 */
export function checkProblems(marked: string, expected: readonly string[]): void {
  const { text, places } = unmarked(marked);
  const { problems } = decodeText(text);
  const told = problems.map(
    (problem) => `${lineAndColumn(problem.place)}: ${problem.field}: ${problem.message}`,
  );
  expect(told.length, `problems:\n${told.join('\n')}\nof\n${text}`).toBe(expected.length);
  for (const [index, want] of expected.entries()) {
    const field = want.slice(0, want.indexOf(': '));
    const part = want.slice(want.indexOf(': ') + 2);
    expect(told[index]).toContain(part);
    expect(problems[index]?.field).toBe(field);
  }
  const found = problems.map(({ place }) => lineAndColumn(place));
  expect(found.toSorted()).toEqual(places.toSorted());
}

/** The specs of a text that must decode without a problem. */
export function accepted(text: string): readonly PolicySpec[] {
  const decoded = decodeText(text);
  expect(decoded.problems).toEqual([]);
  return decoded.specs;
}

/** The one rule of a policy that has one. */
export function onlyRule(text: string): DirectionRule {
  const rules = accepted(text).flatMap((spec) => spec.rules);
  const [rule] = rules;
  if (rule === undefined || rules.length > 1) throw new Error(`${rules.length} rules in ${text}`);
  return rule;
}

export function warningsOf(text: string): readonly string[] {
  const decoded = decodeText(text);
  expect(decoded.problems).toEqual([]);
  return decoded.warnings.map(
    ({ place, field, message }) => `${lineAndColumn(place)}: ${field}: ${message}`,
  );
}

function unmarked(marked: string): { readonly text: string; readonly places: readonly string[] } {
  const places: string[] = [];
  const lines = marked.split('\n').map((line, index) => {
    let rest = line;
    for (let at = rest.indexOf(MARK); at !== -1; at = rest.indexOf(MARK)) {
      places.push(`${index + 1}:${at + 1}`);
      rest = rest.slice(0, at) + rest.slice(at + MARK.length);
    }
    return rest;
  });
  return { text: lines.join('\n'), places };
}
