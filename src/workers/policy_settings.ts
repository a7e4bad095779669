/** What of the configuration the policy thread is given. */
import { type Config, namedListeners } from '../config/config.ts';
import type { PolicySettings } from './policy_messages.ts';

/** Whose the state folder is, is not known from it. */
export function policySettingsOf(config: Config): Omit<PolicySettings, 'isStateOurs'> {
  return {
    policyPaths: config.policyPaths,
    endpointsPath: config.endpointsPath,
    secretsPath: config.secretsPath,
    hasNodeLabels: config.hasNodeLabels,
    isEmptySetOpen: config.isEmptySetOpen,
    isHostJudged: config.redirect.isHostJudged,
    areServicesTranslated: config.redirect.services === 'socket',
    isPathNormalised: config.behaviour.isPathNormalised,
    invalidPolicy: config.invalidPolicy,
    kubernetes: config.kubernetes,
    listeners: namedListeners(config),
    neverLearned: config.neverLearned,
    isDryRun: config.behaviour.isDryRun,
    stateDir: config.stateDir,
    limits: config.limits,
  };
}
