/** Kinds of objects of a cluster that are policy, or that policies refer to. */
export const POLICY_KINDS = [
  'CiliumNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'CiliumCIDRGroup',
  'NetworkPolicy',
  'ClusterNetworkPolicy',
] as const;

export type PolicyKindName = (typeof POLICY_KINDS)[number];
