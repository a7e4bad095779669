/** A context of kubeconfigs as an access: its cluster, its user and its namespace. */
import { isIP } from 'node:net';
import { isAbsolute, join } from 'node:path';
import type { Clock } from '../../platform/platform.ts';
import type { KubeAccess, Trust } from './access.ts';
import { type Credentials, credentialsOf } from './credentials.ts';
import { type Environment, environmentProxy, parseProxy } from './environment_proxy.ts';
import { EXEC_API_VERSIONS, ExecCredentials, type PluginCluster } from './exec_plugin.ts';
import { type KubeconfigField, KubeconfigProblem } from './kubeconfig_field.ts';
import type { Entry, Kubeconfig, KubeconfigLimits } from './kubeconfig_files.ts';
import { FileText, fixedText, type RereadText } from './reread_text.ts';

export interface ContextOptions {
  /** Null: the current one. */
  readonly context: string | null;
  readonly env: Environment;
  readonly clock: Clock;
  readonly limits: KubeconfigLimits & { readonly kubeCredentialTimeoutMs: number };
}

/** Throws `KubeconfigProblem`. */
export function accessOfContext(config: Kubeconfig, options: ContextOptions): KubeAccess {
  const files = config.paths.join(', ');
  const name = options.context ?? config.currentContext;
  if (name === '') {
    throw new KubeconfigProblem(
      `${files}: there is no current-context, and no context was named${choice(config.contexts)}`,
    );
  }
  const context = entryOf(config.contexts, name, `${files}: context`).field.at('context');
  const cluster = referred(config.clusters, context.at('cluster'));
  const user = context.at('user').text() === '' ? null : referred(config.users, context.at('user'));
  const server = serverOf(cluster);
  const namespace = context.at('namespace').text();
  const clusterField = cluster.field.at('cluster');
  return {
    server: shownServer(server),
    namespace: namespace === '' ? 'default' : namespace,
    from: `${files}, context ${name}`,
    warnings: warningsOf(clusterField, server),
    trust: trustOf(cluster, options.clock),
    proxy: proxyOf(clusterField, server, options.env),
    credentials: user === null ? credentialsOf(NOBODY) : userCredentials(user, cluster, options),
    impersonation: user === null ? {} : impersonationOf(user.field.at('user')),
  };
}

const NOBODY = { token: null, basic: null, certificate: null, plugin: null };

function entryOf(entries: ReadonlyMap<string, Entry>, name: string, what: string): Entry {
  const entry = entries.get(name);
  if (entry !== undefined) return entry;
  throw new KubeconfigProblem(`${what} "${name}" does not exist${choice(entries)}`);
}

const CHOICE_MAX = 10;

function choice(entries: ReadonlyMap<string, unknown>): string {
  const names = [...entries.keys()].slice(0, CHOICE_MAX);
  return names.length === 0 ? '' : ` (there is ${names.join(', ')})`;
}

function referred(entries: ReadonlyMap<string, Entry>, field: KubeconfigField): Entry {
  const name = field.text();
  if (name === '') throw field.problem('is missing');
  return entryOf(entries, name, field.place);
}

/** Who is in between can read the token and write policy. */
function warningsOf(cluster: KubeconfigField, server: URL): readonly string[] {
  if (server.protocol === 'http:') {
    return [`${cluster.at('server').place}: the API server is asked without TLS`];
  }
  const isSkipped = cluster.at('insecure-skip-tls-verify').flag();
  return isSkipped
    ? [`${cluster.place}: the API server’s certificate is not verified (insecure-skip-tls-verify)`]
    : [];
}

/** The URL has no slash at its end. */
function shownServer(server: URL): string {
  return `${server.origin}${server.pathname}`.replace(/\/+$/, '');
}

function serverOf({ field }: Entry): URL {
  const server = field.at('cluster').at('server');
  const text = server.text();
  if (text === '') throw server.problem('is missing');
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw server.problem('must be a URL of https or http');
  }
  return url;
}

function trustOf({ field, folder }: Entry, clock: Clock): Trust {
  const cluster = field.at('cluster');
  const authorities = textIn(cluster, 'certificate-authority', folder, clock);
  const isVerified = !cluster.at('insecure-skip-tls-verify').flag();
  // As kubectl: one who gives an authority means it.
  if (!isVerified && authorities !== null) {
    throw cluster
      .at('insecure-skip-tls-verify')
      .problem('cannot be true beside a certificate authority');
  }
  const serverName = cluster.at('tls-server-name').text();
  return { isVerified, serverName: serverName === '' ? null : serverName, authorities };
}

/** `NAME-data`, else the file `NAME`; null: neither. */
function textIn(
  field: KubeconfigField,
  name: string,
  folder: string,
  clock: Clock,
): RereadText | null {
  const data = field.at(`${name}-data`).data();
  if (data !== null) return fixedText(data);
  const path = field.at(name).text();
  return path === '' ? null : new FileText(pathIn(folder, path), clock);
}

function pathIn(folder: string, path: string): string {
  return isAbsolute(path) ? path : join(folder, path);
}

function proxyOf(cluster: KubeconfigField, server: URL, env: Environment): URL | null {
  const field = cluster.at('proxy-url');
  if (field.text() !== '') {
    const proxy = parseProxy(field.text());
    if (proxy === null) throw field.problem('must be a URL of http, https or socks5');
    // undici asks such a server for its address as a name, which TLS does not allow.
    const isNamed = isIP(server.hostname.replace(/[[\]]/g, '')) === 0;
    if (proxy.protocol === 'socks5:' && !isNamed && cluster.at('tls-server-name').text() === '') {
      throw field.problem('of socks5 needs tls-server-name for a server that is an address');
    }
    return proxy;
  }
  const result = environmentProxy(server, env);
  if (result.kind === 'error') throw new KubeconfigProblem(result.message);
  return result.proxy;
}

function userCredentials(entry: Entry, cluster: Entry, options: ContextOptions): Credentials {
  const { folder } = entry;
  const user = entry.field.at('user');
  const token = user.at('token').text();
  const tokenFile = user.at('tokenFile').text();
  const username = user.at('username').text();
  const password = user.at('password').text();
  const hasToken = token !== '' || tokenFile !== '';
  const hasBasic = username !== '' || password !== '';
  if (hasToken && hasBasic)
    throw user.problem('has a token and a username, of which one may be given');
  const provider = user.at('auth-provider');
  if (!provider.isAbsent) {
    throw provider.problem('is no longer supported by Kubernetes; use an exec plugin');
  }
  const certificate = textIn(user, 'client-certificate', folder, options.clock);
  const key = textIn(user, 'client-key', folder, options.clock);
  if ((certificate === null) !== (key === null)) {
    throw user.problem('has only one of client-certificate and client-key');
  }
  // As kubectl: the file is the newer word.
  const tokenText =
    tokenFile !== ''
      ? new FileText(pathIn(folder, tokenFile), options.clock)
      : token === ''
        ? null
        : fixedText(token);
  const exec = user.at('exec');
  return credentialsOf({
    token: tokenText,
    basic: hasBasic ? { username, password } : null,
    certificate: certificate === null || key === null ? null : { certificate, key },
    plugin: exec.isAbsent ? null : pluginOf(entry, exec, cluster, options),
  });
}

function pluginOf(
  { folder }: Entry,
  exec: KubeconfigField,
  cluster: Entry,
  options: ContextOptions,
): Credentials {
  const command = exec.at('command').text();
  if (command === '') throw exec.at('command').problem('is missing');
  const apiVersion = exec.at('apiVersion').text();
  if (!EXEC_API_VERSIONS.includes(apiVersion)) {
    throw exec.at('apiVersion').problem(`must be ${EXEC_API_VERSIONS.join(' or ')}`);
  }
  checkInteraction(exec.at('interactiveMode'));
  const env = exec
    .at('env')
    .list()
    .map((pair): [string, string] => {
      const name = pair.at('name').text();
      if (name === '') throw pair.at('name').problem('is missing');
      return [name, pair.at('value').text()];
    });
  const plugin = {
    owner: exec.place.replace(/\.exec$/, ''),
    apiVersion,
    command: command.includes('/') ? pathIn(folder, command) : command,
    args: exec.at('args').texts(),
    env: new Map(env),
    installHint: exec.at('installHint').text(),
    cluster: exec.at('provideClusterInfo').flag() ? clusterInfo(cluster, options.clock) : null,
  };
  const { clock, limits } = options;
  const timeoutMs = limits.kubeCredentialTimeoutMs;
  return new ExecCredentials(plugin, { env: options.env, clock, limits, timeoutMs });
}

function checkInteraction(field: KubeconfigField): void {
  const mode = field.text();
  if (mode === 'Always') {
    throw field.problem('is Always: the plugin needs a terminal, and there may be none here');
  }
  if (!['', 'Never', 'IfAvailable'].includes(mode)) {
    throw field.problem('must be Never, IfAvailable or Always');
  }
}

function clusterInfo(entry: Entry, clock: Clock): PluginCluster {
  const cluster = entry.field.at('cluster');
  const fields: Record<string, unknown> = {};
  for (const [name, { value }] of cluster.entries()) {
    if (CLUSTER_INFO_FIELDS.includes(name)) fields[name] = value;
  }
  for (const extension of cluster.at('extensions').list()) {
    if (extension.at('name').text() === 'client.authentication.k8s.io/exec') {
      fields['config'] = extension.at('extension').value;
    }
  }
  return {
    fields,
    authorities: textIn(cluster, 'certificate-authority', entry.folder, clock),
  };
}

const CLUSTER_INFO_FIELDS = [
  'server',
  'tls-server-name',
  'insecure-skip-tls-verify',
  'proxy-url',
  'disable-compression',
];

function impersonationOf(user: KubeconfigField): Readonly<Record<string, readonly string[]>> {
  const as = user.at('as').text();
  const uid = user.at('as-uid').text();
  const groups = user.at('as-groups').texts();
  const extra = user.at('as-user-extra').entries();
  if (as === '') {
    if (uid === '' && groups.length === 0 && extra.length === 0) return {};
    throw user.at('as').problem('is missing beside as-uid, as-groups or as-user-extra');
  }
  const fields: Record<string, readonly string[]> = { 'impersonate-user': [as] };
  if (uid !== '') fields['impersonate-uid'] = [uid];
  if (groups.length > 0) fields['impersonate-group'] = groups;
  for (const [name, values] of extra) {
    fields[`impersonate-extra-${encodeURIComponent(name.toLowerCase())}`] = values.texts();
  }
  return fields;
}
