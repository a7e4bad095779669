/** Which server `observe` asks, and how. */
import { resolve } from 'node:path';
import type { Args } from '../args.ts';
import { durationMs } from '../duration.ts';
import type { Io } from '../io.ts';
import type { ServerOptions } from './flow_server.ts';

export type ServerResult =
  | { readonly kind: 'server'; readonly server: ServerOptions }
  | { readonly kind: 'error'; readonly message: string };

const DEFAULT_SERVER = 'localhost:4245';
const CONNECT_TIMEOUT_MS = 5000;
const TLS_PREFIX = 'tls://';
const TLS_FLAGS = [
  ...['tls-allow-insecure', 'tls-ca-cert-files', 'tls-client-cert-file', 'tls-client-key-file'],
  'tls-server-name',
];

export function serverOptions(args: Args, io: Io): ServerResult {
  const given = args.value('server') ?? io.env['HUBBLE_SERVER'] ?? DEFAULT_SERVER;
  const hasTls = given.startsWith(TLS_PREFIX) || args.has('tls');
  const address = given.startsWith(TLS_PREFIX) ? given.slice(TLS_PREFIX.length) : given;
  if (!/^unix:\/?\/?\/[^\u0000]+$/.test(address) && !/^[^\s/\u0000]+:[0-9]{1,5}$/.test(address)) {
    return wrong(`--server: "${given}" is neither unix:///path nor HOST:PORT`);
  }
  const useless = TLS_FLAGS.find((name) => args.has(name));
  if (!hasTls && useless !== undefined) return wrong(`--${useless} is for --tls`);
  const timeout = args.value('timeout');
  const timeoutMs = timeout === null ? CONNECT_TIMEOUT_MS : durationMs(timeout);
  if (timeoutMs === null) return wrong('--timeout: give a duration such as 5s or 500ms');
  const at = (path: string | null): string | null => (path === null ? null : resolve(io.cwd, path));
  const certificate = at(args.value('tls-client-cert-file'));
  const key = at(args.value('tls-client-key-file'));
  if ((certificate === null) !== (key === null)) {
    return wrong('--tls-client-cert-file and --tls-client-key-file belong together');
  }
  const authorities = args
    .values('tls-ca-cert-files')
    .flatMap((text) => text.split(','))
    .map((path) => resolve(io.cwd, path));
  const serverName = args.value('tls-server-name');
  const isInsecure = args.has('tls-allow-insecure');
  const tls = hasTls ? { authorities, certificate, key, serverName, isInsecure } : null;
  return { kind: 'server', server: { address, tls, connectTimeoutMs: timeoutMs } };
}

function wrong(message: string): ServerResult {
  return { kind: 'error', message };
}
