/**
 * Finds the API server, in this order: the kubeconfig that was named, the service account of our pod, KUBECONFIG,
 * ~/.kube/config. A context that was named is looked for in kubeconfigs only.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Limits } from '../../model/limits.ts';
import type { Clock } from '../../platform/platform.ts';
import type { KubeAccess } from './access.ts';
import { accessOfContext } from './context_access.ts';
import { credentialsOf } from './credentials.ts';
import { type Environment, environmentProxy } from './environment_proxy.ts';
import { KubeconfigProblem } from './kubeconfig_field.ts';
import { readKubeconfigs } from './kubeconfig_files.ts';
import { FileText } from './reread_text.ts';

export interface AccessOptions {
  /** Null: not named. */
  readonly kubeconfig: string | null;
  /** Null: the current one. */
  readonly context: string | null;
  readonly env: Environment;
  /** Home folder; null: there is none. */
  readonly home: string | null;
  readonly clock: Clock;
  readonly limits: Limits;
  /** Where kubelet puts it; of a test. */
  readonly serviceAccountFolder?: string;
}

export type AccessResult =
  | { readonly kind: 'access'; readonly access: KubeAccess }
  /** One line, with file, context and field. */
  | { readonly kind: 'error'; readonly message: string };

export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

export function loadAccess(options: AccessOptions): AccessResult {
  try {
    return { kind: 'access', access: found(options) };
  } catch (error) {
    if (error instanceof KubeconfigProblem) return { kind: 'error', message: error.message };
    throw error;
  }
}

function found(options: AccessOptions): KubeAccess {
  const { kubeconfig, context, env, home, limits } = options;
  if (kubeconfig !== null) {
    return accessOfContext(readKubeconfigs([kubeconfig], true, limits), options);
  }
  const inCluster = context === null ? serviceAccountAccess(options) : null;
  if (inCluster !== null) return inCluster;
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  const paths = named.length > 0 ? named : home === null ? [] : [join(home, '.kube', 'config')];
  const config = readKubeconfigs(paths, false, limits);
  if (config.paths.length === 0) throw new KubeconfigProblem(nothingFound(paths, options));
  return accessOfContext(config, options);
}

function nothingFound(paths: readonly string[], options: AccessOptions): string {
  const looked = paths.length === 0 ? 'there is no home folder' : `no file ${paths.join(', ')}`;
  const { env } = options;
  const pod = isInPod(env)
    ? `this is a pod, but ${folderOf(options)}/token is not there (automountServiceAccountToken)`
    : 'this is no pod (KUBERNETES_SERVICE_HOST is not set)';
  return `no API server is configured: ${looked}; ${pod}`;
}

function isInPod(env: Environment): boolean {
  return (
    (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && (env['KUBERNETES_SERVICE_PORT'] ?? '') !== ''
  );
}

function folderOf({ serviceAccountFolder }: AccessOptions): string {
  return serviceAccountFolder ?? SERVICE_ACCOUNT_FOLDER;
}

/** Null: this is no pod, or one that was given no token. */
function serviceAccountAccess(options: AccessOptions): KubeAccess | null {
  const { env, clock } = options;
  const folder = folderOf(options);
  const tokenPath = join(folder, 'token');
  if (!isInPod(env) || !existsSync(tokenPath)) return null;
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const shownHost = isIPv6(host) ? `[${host}]` : host;
  const url = URL.parse(`https://${shownHost}:${env['KUBERNETES_SERVICE_PORT']}`);
  if (url === null) {
    throw new KubeconfigProblem(
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no host and port',
    );
  }
  const proxy = environmentProxy(url, env);
  if (proxy.kind === 'error') throw new KubeconfigProblem(proxy.message);
  return {
    server: url.origin,
    namespace: namespaceIn(folder),
    from: `the service account of this pod (${folder})`,
    warnings: [],
    trust: {
      isVerified: true,
      serverName: null,
      // Of a cluster that changes its authority, it has the old and the new one for a while.
      authorities: new FileText(join(folder, 'ca.crt'), clock),
    },
    proxy: proxy.proxy,
    credentials: credentialsOf({
      token: new FileText(tokenPath, clock),
      basic: null,
      certificate: null,
      plugin: null,
    }),
    impersonation: {},
  };
}

function namespaceIn(folder: string): string {
  try {
    const text = readFileSync(join(folder, 'namespace'), 'utf8').trim();
    return text === '' ? 'default' : text;
  } catch {
    return 'default';
  }
}
