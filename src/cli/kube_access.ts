/** The API server that `--kube` and the flags beside it mean, ready to list what is there. */
import { resolve } from 'node:path';
import { ApiLister } from '../control/source/kube/api_lister.ts';
import { loadAccess } from '../kube/access/load_access.ts';
import { ApiClient } from '../kube/api_client.ts';
import { DEFAULT_LIMITS } from '../model/limits.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import type { Args } from './args.ts';
import type { Io } from './io.ts';
import { sallyportVersion } from './version.ts';

export interface OpenedAccess {
  readonly kind: 'access';
  /** "https://10.0.0.1:6443". */
  readonly server: string;
  /** Of names that have none. */
  readonly namespace: string;
  readonly lister: ApiLister;
  close(): Promise<void>;
}

export interface AccessFailure {
  readonly kind: 'error';
  /** One line. */
  readonly message: string;
}

/** As a configuration says it. */
export interface ConfiguredAccess {
  /** Absolute; null: the usual places, in their order. */
  readonly kubeconfig: string | null;
  /** Null: the current one. */
  readonly context: string | null;
}

/** Flags win over `configured`. A context of a configuration is of its own kubeconfig. */
export function openAccess(
  args: Args,
  io: Io,
  configured: ConfiguredAccess | null = null,
): OpenedAccess | AccessFailure {
  const platform = nodePlatform();
  const named = args.value('kubeconfig');
  const own = named === null ? configured : null;
  const found = loadAccess({
    kubeconfig: named === null ? (own?.kubeconfig ?? null) : resolve(io.cwd, named),
    context: args.value('context') ?? own?.context ?? null,
    env: io.env,
    home: io.env['HOME'] ?? null,
    clock: platform.clock,
    limits: DEFAULT_LIMITS,
  });
  if (found.kind === 'error') {
    const isNowhere = found.message.startsWith('no API server is configured');
    const hint = isNowhere ? '; --kubeconfig names a file' : '';
    return { kind: 'error', message: `${found.message}${hint}` };
  }
  const { access } = found;
  for (const warning of access.warnings) io.stderr.write(`sallyport: ${warning}\n`);
  const client = new ApiClient(access, {
    platform,
    limits: DEFAULT_LIMITS,
    userAgent: `sallyport/${sallyportVersion()} (${process.platform}/${process.arch})`,
  });
  const { signal } = new AbortController();
  return {
    kind: 'access',
    server: access.server,
    namespace: args.value('namespace') ?? access.namespace,
    lister: new ApiLister(client, { platform, limits: DEFAULT_LIMITS, signal }),
    close: () => client.close(),
  };
}
