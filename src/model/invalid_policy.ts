/**
 * What becomes of what a policy selects, when the policy was refused alone and never had a good form: nothing, as under
 * Cilium, where a bad object is as good as none; or default deny.
 */
export const INVALID_POLICY = ['absent', 'deny'] as const;

export type InvalidPolicy = (typeof INVALID_POLICY)[number];
