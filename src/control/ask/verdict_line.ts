import type { LoggedHeader } from '../../model/decision.ts';

/** An answer of `sallyport verdict`, ready for JSON. */
export type VerdictLine =
  | {
      readonly verdict: 'allow';
      readonly layer: string;
      readonly policy: string | null;
      readonly rule: string | null;
      readonly headers?: readonly (readonly [string, string])[];
      /** It was judged by the backends of this Service. */
      readonly service?: string;
      readonly missing: readonly LoggedHeader[];
      readonly rejected: readonly LoggedHeader[];
    }
  | {
      readonly verdict: 'deny';
      readonly layer: string;
      readonly reason: string;
      readonly policy?: string;
      readonly rule?: string;
      /** As above. */
      readonly service?: string;
      readonly missing: readonly LoggedHeader[];
      readonly rejected: readonly LoggedHeader[];
    };
