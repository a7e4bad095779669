/** Which cluster, and how it is read: of the configuration, and as the policy thread gets it. Plain values. */
import type { PolicyKindName } from './kube_policy_kinds.ts';

export interface KubernetesSettings {
  /** Absolute; null: the usual places, in their order. */
  readonly kubeconfig: string | null;
  /** Null: the current one. */
  readonly context: string | null;
  readonly nodeName: string;
  readonly clusterName: string;
  readonly identities: 'own' | 'cilium';
  /** Empty: the defaults. */
  readonly labels: readonly string[];
  readonly nodeLabels: readonly string[];
  readonly policyKinds: readonly PolicyKindName[];
  /** Null: each secret is read in its own. */
  readonly secretsNamespace: string | null;
  /** What became of policies is written back. */
  readonly report: boolean;
  /** Of the Lease; null: that of the service account, or of the context. */
  readonly reportNamespace: string | null;
}
