/** A refusal is told when it begins, when it changes and when it ends, and not in between. */
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/observe/log/logger.ts';
import type { RefusedObject } from '../../src/workers/policy_messages.ts';
import { logRefusals } from '../../src/workers/refusal_log.ts';

const A = refused('shop/a', 'absent', 'is bad');
const B = refused('bank/b', 'last-good', 'is bad, too');

describe('refused policies in the log', () => {
  it.each([
    { about: 'begins', before: [], now: [A], told: [bad(A)] },
    { about: 'stays', before: [A], now: [structuredClone(A)], told: [] },
    { about: 'ends', before: [A, B], now: [B], told: [over(A)] },
    {
      about: 'changes',
      before: [A],
      now: [refused('shop/a', 'absent', 'is worse')],
      told: [bad(refused('shop/a', 'absent', 'is worse'))],
    },
    { about: 'gives way to another', before: [A], now: [B], told: [bad(B), over(A)] },
  ])('one that $about', ({ before, now, told }) => {
    const lines: unknown[] = [];
    const log = createLogger({ level: 'info', write: (line) => lines.push(JSON.parse(line)) });
    logRefusals(log, listOf(now), listOf(before));
    expect(lines).toEqual(told.map((fields) => expect.objectContaining(fields)));
  });
});

function refused(name: string, inForce: RefusedObject['inForce'], message: string): RefusedObject {
  const object = `CiliumNetworkPolicy ${name}`;
  return { object, inForce, problems: [`${object}: ${message}`] };
}

function listOf(objects: readonly RefusedObject[]) {
  return { objects, count: objects.length };
}

function bad({ object, inForce, problems }: RefusedObject): object {
  return { level: 'error', msg: 'policy object refused', object, in_force: inForce, problems };
}

function over({ object }: RefusedObject): object {
  return { level: 'info', msg: 'policy object no longer refused', object };
}
