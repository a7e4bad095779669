/** The only maker of permits: proof that something was judged. */
import type { Permit } from '../model/decision.ts';

/** Carried by every allow decision. */
export const ALLOW_PERMIT = Object.freeze({ because: 'allowed' }) as unknown as Permit;

/** For a denial that `--dry-run` lets through: judged, logged, not enforced. */
export const DRY_RUN_PERMIT = Object.freeze({ because: 'dry-run' }) as unknown as Permit;
