/** What of a configuration has changed since the process was started with it. */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.ts';

/** Names of the file's fields whose values differ and take a restart. */
export function changedFields(before: Config, after: Config): readonly string[] {
  const names = {
    admin: 'admin',
    isAdminRemoteAllowed: 'adminAllowRemote',
    workerCount: 'workers',
    accessLog: 'accessLog',
    policyPaths: 'policies',
    endpointsPath: 'endpoints',
    secretsPath: 'secrets',
    kubernetes: 'kubernetes',
    isEmptySetOpen: 'allowEmptyPolicySet',
    invalidPolicy: 'invalidPolicy',
    stateDir: 'stateDir',
    behaviour: 'behaviour',
    redirect: 'redirect',
    cilium: 'cilium',
    ciliumAgent: 'cilium',
    hubble: 'hubble',
    limits: 'limits',
    listeners: 'listeners',
  } as const satisfies Partial<Record<keyof Config, string>>;
  const keys = Object.keys(names) as (keyof typeof names)[];
  const changed = keys.filter((key) => !isDeepStrictEqual(before[key], after[key]));
  return [...new Set(changed.map((key) => names[key]))];
}
