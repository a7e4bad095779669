/**
 * Where a policy meets one of the places in docs/differences.md at which Sallyport is stricter than Cilium, said with
 * what happens here and there. What is refused for a difference says so itself; what hangs on a request or on an
 * endpoint is not met by a file.
 */
import type { Direction } from '../../model/identity.ts';
import type { DirectionRule } from '../../policy/rule.ts';
import type { DocumentContext } from './context.ts';
import type { Field } from './field.ts';

export const DIFFERENCE_TEXTS = {
  defaultDenyWithoutRules: (direction: Direction) =>
    `Cilium ignores this without ${direction} rules beside it; here ${direction} is denied by default, as it says`,
  servicesInDeny:
    'Cilium denies nothing for toServices in egressDeny; here what the services stand for is denied',
  baseline:
    'Cilium still asks baseline rules for an endpoint that a normal policy puts in default deny; here the default deny ends it',
} as const;

/** `enableDefaultDeny.<direction>: true` in a spec that has no rules for it. */
export function tellDefaultDeny(
  context: DocumentContext,
  field: Field,
  asked: { readonly direction: Direction; readonly rules: readonly DirectionRule[] },
): void {
  if (field.value !== true) return;
  if (asked.rules.some(({ direction }) => direction === asked.direction)) return;
  tell(context, field, DIFFERENCE_TEXTS.defaultDenyWithoutRules(asked.direction));
}

export function tell(context: DocumentContext, field: Field, message: string): void {
  context.reader.warn(field, message, 'differs-from-cilium');
}
