/** Policies that are refused alone, as events of the log: each when it begins, changes and ends. */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '../observe/log/logger.ts';
import type { RefusedObject, RefusedObjects } from './policy_messages.ts';

export function logRefusals(log: Logger, refused: RefusedObjects, before: RefusedObjects): void {
  for (const one of refused.objects) {
    if (isAmong(before, one)) continue;
    const { object, inForce, problems } = one;
    log.error({ object, in_force: inForce, problems }, 'policy object refused');
  }
  const names = new Set(refused.objects.map(({ object }) => object));
  for (const { object } of before.objects) {
    if (!names.has(object)) log.info({ object }, 'policy object no longer refused');
  }
}

function isAmong({ objects }: RefusedObjects, one: RefusedObject): boolean {
  return objects.some((other) => isDeepStrictEqual(other, one));
}
