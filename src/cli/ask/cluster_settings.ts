/** How the proxies of a cluster read it, and judge what they have read: what an answer depends on besides the cluster. */
import { type Config, namedListeners } from '../../config/config.ts';
import type { IdentitySource } from '../../control/source/kube/cluster_kinds.ts';
import type { InvalidPolicy } from '../../model/invalid_policy.ts';
import { DEFAULT_POLICY_KINDS, type PolicyKindName } from '../../model/kube_policy_kinds.ts';
import { DEFAULT_LIMITS, type Limits } from '../../model/limits.ts';
import type { Args } from '../args.ts';

export interface ClusterSettings {
  readonly clusterName: string;
  readonly identities: IdentitySource;
  readonly labels: readonly string[];
  readonly nodeLabels: readonly string[];
  readonly policyKinds: readonly PolicyKindName[];
  readonly secretsNamespace: string | null;
  readonly hasNodeLabels: boolean;
  readonly isHostJudged: boolean;
  readonly areServicesTranslated: boolean;
  readonly isPathNormalised: boolean;
  readonly isEmptySetOpen: boolean;
  readonly invalidPolicy: InvalidPolicy;
  readonly limits: Limits;
  /** Name → proxy id. */
  readonly listeners: readonly (readonly [string, number])[];
}

/** Null: it takes nothing from a cluster. */
export function settingsOf(config: Config): ClusterSettings | null {
  const { kubernetes, hasNodeLabels, isEmptySetOpen, invalidPolicy, limits, redirect } = config;
  if (kubernetes === null) return null;
  const { clusterName, identities, labels, nodeLabels, policyKinds, secretsNamespace } = kubernetes;
  return {
    ...{ clusterName, identities, labels, nodeLabels, policyKinds, secretsNamespace },
    ...{ hasNodeLabels, isEmptySetOpen, invalidPolicy, limits },
    isHostJudged: redirect.isHostJudged,
    areServicesTranslated: redirect.services === 'socket',
    isPathNormalised: config.behaviour.isPathNormalised,
    listeners: namedListeners(config),
  };
}

/** Of a configuration that says no more than `kubernetes: {}`. */
export const DEFAULT_SETTINGS: ClusterSettings = {
  clusterName: 'default',
  identities: 'own',
  labels: [],
  nodeLabels: [],
  policyKinds: DEFAULT_POLICY_KINDS,
  secretsNamespace: null,
  hasNodeLabels: false,
  isHostJudged: false,
  areServicesTranslated: false,
  isPathNormalised: true,
  // The API says that there is no policy, where a folder could have failed to mount.
  isEmptySetOpen: true,
  invalidPolicy: 'absent',
  limits: DEFAULT_LIMITS,
  listeners: [],
};

/** With what flags ask for besides. */
export function settingsWith(settings: ClusterSettings, args: Args): ClusterSettings {
  return {
    ...settings,
    hasNodeLabels: settings.hasNodeLabels || args.has('enable-node-selector-labels'),
    isHostJudged: settings.isHostJudged || args.has('judge-host'),
  };
}
