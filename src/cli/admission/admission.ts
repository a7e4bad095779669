/** `sallyport admission`: what `check` says, said by `kubectl apply`. Keeps nothing but its certificates. */
import { isIP } from 'node:net';
import { availableParallelism, homedir } from 'node:os';
import { loadConfig } from '../../config/load.ts';
import { loadAccess } from '../../kube/access/load_access.ts';
import { ApiClient } from '../../kube/api_client.ts';
import type { KubeClient } from '../../kube/client.ts';
import { parseSocketAddress } from '../../model/address.ts';
import { DEFAULT_LIMITS, type Limits } from '../../model/limits.ts';
import type { LogLevel } from '../../model/log_level.ts';
import { createLogger, type Logger } from '../../observe/log/logger.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { sallyportVersion } from '../version.ts';
import { AdmissionServer, type ListenAddress } from './admission_server.ts';
import { CERTIFICATE_TIMES } from './certificate_state.ts';
import { DEFAULT_PORT } from './specs.ts';

interface Settings {
  readonly listen: ListenAddress;
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly secretName: string;
  readonly webhookName: string;
}

interface Surroundings {
  readonly limits: Limits;
  readonly hasNodeLabels: boolean;
  readonly logLevel: LogLevel;
  readonly kubeconfig: string | null;
  readonly context: string | null;
}

const THREAD_COUNT_MAX = 4;
const INTERVAL_MS = 30_000;

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const settings = settingsOf(args);
  if (typeof settings === 'string') return usageError(io, `admission: ${settings}`);
  const surroundings = surroundingsOf(args, io);
  if (typeof surroundings === 'string') return usageError(io, surroundings);
  const client = clientOf(surroundings, io);
  if (typeof client === 'string') return usageError(io, `admission: ${client}`);
  const log = createLogger({ level: surroundings.logLevel });
  const { limits, hasNodeLabels } = surroundings;
  const server = new AdmissionServer({
    ...settings,
    ...nodePlatform(),
    client,
    log,
    settings: { limits, hasNodeLabels },
    threadCount: Math.min(THREAD_COUNT_MAX, availableParallelism()),
    times: CERTIFICATE_TIMES,
    intervalMs: INTERVAL_MS,
  });
  return serve(server, { client, log });
}

async function serve(
  server: AdmissionServer,
  { client, log }: { readonly client: KubeClient; readonly log: Logger },
): Promise<ExitCode> {
  let isAsked = false;
  const end = (): void => {
    if (isAsked) server.stop();
    else void server.drain();
    isAsked = true;
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  try {
    await server.run();
    return EXIT_OK;
  } catch (error) {
    log.error({ problem: error instanceof Error ? error.message : String(error) }, 'not started');
    return EXIT_NEGATIVE;
  } finally {
    process.off('SIGTERM', end);
    process.off('SIGINT', end);
    await client.close();
  }
}

function settingsOf(args: Args): Settings | string {
  const listen = listenOf(args.value('listen'));
  if (listen === null) return '--listen must be ADDRESS:PORT, such as [::]:9443';
  const hosts = args.values('host');
  if (hosts.length === 0) return '--host is required: API servers must know whom they ask';
  const wrong = hosts.find((host) => !isHost(host));
  if (wrong !== undefined) return `--host must be a name or an address (found "${wrong}")`;
  const [, namespace = '', secretName = ''] =
    /^([a-z0-9][-a-z0-9]{0,62})\/([a-z0-9][-a-z0-9.]{0,252})$/.exec(args.value('secret') ?? '') ??
    [];
  if (secretName === '') return '--secret NAMESPACE/NAME is required';
  const webhookName = args.value('webhook') ?? '';
  if (!/^[a-z0-9][-a-z0-9.]{0,252}$/.test(webhookName)) return '--webhook NAME is required';
  return { listen, hosts, namespace, secretName, webhookName };
}

function listenOf(text: string | null): ListenAddress | null {
  if (text === null) return { host: null, port: DEFAULT_PORT };
  const address = parseSocketAddress(text);
  return address === null ? null : { host: address.ip, port: address.port };
}

function isHost(host: string): boolean {
  if (isIP(host) === 4) return true;
  if (isIP(host) === 6) return !host.includes('.') && !host.includes('%');
  return host.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(host);
}

function surroundingsOf(args: Args, io: Io): Surroundings | string {
  if (!args.has('config')) {
    return {
      limits: DEFAULT_LIMITS,
      hasNodeLabels: false,
      logLevel: 'info',
      kubeconfig: null,
      context: null,
    };
  }
  const loaded = loadConfig({ path: args.value('config'), flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') return loaded.problems[0] ?? 'the configuration is wrong';
  const { limits, hasNodeLabels, logLevel, kubernetes } = loaded.config;
  return {
    limits,
    hasNodeLabels,
    logLevel,
    kubeconfig: kubernetes?.kubeconfig ?? null,
    context: kubernetes?.context ?? null,
  };
}

function clientOf({ limits, kubeconfig, context }: Surroundings, io: Io): KubeClient | string {
  const platform = nodePlatform();
  const { clock } = platform;
  const found = loadAccess({
    kubeconfig,
    context,
    env: io.env,
    home: io.env['HOME'] ?? homedir(),
    clock,
    limits,
  });
  if (found.kind === 'error') return found.message;
  const { access } = found;
  for (const warning of access.warnings) io.stderr.write(`sallyport: ${warning}\n`);
  const userAgent = `sallyport-admission/${sallyportVersion()} (${process.platform}/${process.arch})`;
  return new ApiClient(access, { platform, limits, userAgent });
}
