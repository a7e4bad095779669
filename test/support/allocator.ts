/** An allocator of so many identities at once. */
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { IdentityAllocator } from '../../src/policy/resolve/identity_allocator.ts';

/** `nowMs` absent: no grace ends. */
export function allocatorOf(identityCountMax = 10_000, nowMs?: () => number): IdentityAllocator {
  const limits = { ...DEFAULT_LIMITS, identityCountMax };
  return new IdentityAllocator(limits, nowMs === undefined ? {} : { nowMs });
}
