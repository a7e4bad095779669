/** What a worker compiles beside its traffic can be put down: no step of it is a large part of the whole. */
import { expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { EndpointPolicy } from '../../../src/policy/ast.ts';
import { compileSteps } from '../../../src/policy/compile/compile.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { endpoint, port, rule } from '../../support/wire_policy.ts';

const COUNT = 2000;
/** Rules of port 0 are not copied to each port, so there have to be more before they take as long. */
const PORT_COUNT = 10_000;
const NAMES = namesOf(COUNT);

const SETS: readonly (readonly [string, () => EndpointPolicy])[] = [
  [
    'many ports, each with the rules of port 0',
    () =>
      endpoint([
        ...ports(PORT_COUNT),
        port(
          '0',
          namesOf(PORT_COUNT).map((name) => rule(name)),
        ),
      ]),
  ],
  [
    'many ranges that overlap',
    () => endpoint(NAMES.map((name, i) => port(`${1000 + i}-${1500 + i}`, [rule(name)]))),
  ],
];

it.each(SETS)('%s are laid out in many steps', (_name, policyOf) => {
  let least = 1;
  // What else runs on the machine, and a collection of garbage, only adds.
  for (let attempt = 0; attempt < 5 && least > 0.05; attempt++) {
    least = Math.min(least, longestShare(policyOf()));
  }
  expect(least).toBeLessThan(0.1);
});

/** Of the CPU that all steps take, what the longest one takes. */
function longestShare(policy: EndpointPolicy): number {
  const steps = compileSteps([policy], {
    revision: 1,
    regexEngine: createRe2Engine(DEFAULT_LIMITS),
    limits: DEFAULT_LIMITS,
    secrets: new Map(),
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
  });
  let longest = 0;
  let whole = 0;
  for (let isDone = false; !isDone; ) {
    const before = process.threadCpuUsage();
    const step = steps.next();
    const { user, system } = process.threadCpuUsage(before);
    longest = Math.max(longest, user + system);
    whole += user + system;
    isDone = step.done === true;
    if (step.done === true) expect(step.value.kind).toBe('ok');
  }
  return longest / whole;
}

function namesOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `r${index}`);
}

function ports(count: number): ReturnType<typeof port>[] {
  return Array.from({ length: count }, (_, index) => port(`${1000 + index}`, [rule(`p${index}`)]));
}
