/** Kinds of objects of a cluster that are policy, or that policies refer to. */
export const DEFAULT_POLICY_KINDS = [
  'CiliumNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'CiliumCIDRGroup',
  'NetworkPolicy',
  'ClusterNetworkPolicy',
] as const;

/** The last two are read by who asks for them: their place is ClusterNetworkPolicy's. */
export const POLICY_KINDS = [
  ...DEFAULT_POLICY_KINDS,
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
] as const;

export type PolicyKindName = (typeof POLICY_KINDS)[number];
