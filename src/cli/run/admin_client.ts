/** A running proxy's admin server, as commands ask it. */
import { Agent, request } from 'undici';
import { loadConfig } from '../../config/load.ts';
import { formatSocketAddress, parseSocketAddress } from '../../model/address.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';

const DEFAULT_ADMIN = '127.0.0.1:9901';

export interface Target {
  readonly kind: 'target';
  readonly origin: string;
  readonly socketPath: string | null;
  readonly shown: string;
}

export type TargetResult = Target | { readonly kind: 'error'; readonly message: string };

/** Of the flags `admin` and `config`, the environment, or the default. */
export function targetOf(args: Args, io: Io): TargetResult {
  const flag = args.value('admin');
  if (flag !== null && args.has('config')) return wrong('give --admin or --config, not both');
  if (flag !== null) return parseTarget(flag, '--admin');
  const path = args.value('config');
  const variable = io.env['SALLYPORT_ADMIN'];
  if (path === null && variable !== undefined) return parseTarget(variable, 'SALLYPORT_ADMIN');
  if (path === null && io.env['SALLYPORT_CONFIG'] === undefined) {
    return parseTarget(DEFAULT_ADMIN, 'default');
  }
  const loaded = loadConfig({ path, flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') return wrong(loaded.problems[0] ?? 'the configuration is wrong');
  const { admin } = loaded.config;
  switch (admin.kind) {
    case 'none':
      return wrong(`${loaded.config.path}: it has no admin server (field admin)`);
    case 'unix':
      return parseTarget(`unix:${admin.path}`, 'admin');
    case 'tcp':
      return parseTarget(formatSocketAddress(admin.address.ip, admin.address.port), 'admin');
  }
}

function parseTarget(text: string, from: string): TargetResult {
  if (/^unix:\/[^\u0000]+$/.test(text)) {
    const socketPath = text.slice('unix:'.length);
    return { kind: 'target', origin: 'http://localhost', socketPath, shown: text };
  }
  const address = parseSocketAddress(text.replace(/^localhost:/, '127.0.0.1:'));
  if (address === null) {
    return wrong(`${from}: "${text}" is no address; give 127.0.0.1:9901, [::1]:9901 or unix:/path`);
  }
  if (address.port === 0) {
    return wrong(
      `${from}: with port 0 the system chose a port at the start; the log line "ready" names it`,
    );
  }
  const shown = formatSocketAddress(address.ip, address.port);
  return { kind: 'target', origin: `http://${shown}`, socketPath: null, shown };
}

export type FetchedText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

/** `path`: with its query. */
export async function fetchText(target: Target, path: string): Promise<FetchedText> {
  const { adminTimeoutMs, connectTimeoutMs, policyBytesMax } = DEFAULT_LIMITS;
  const agent = new Agent({
    headersTimeout: adminTimeoutMs,
    bodyTimeout: adminTimeoutMs,
    maxResponseSize: policyBytesMax,
    connect: {
      timeout: connectTimeoutMs,
      ...(target.socketPath === null ? {} : { socketPath: target.socketPath }),
    },
  });
  try {
    const response = await request(`${target.origin}${path}`, { dispatcher: agent });
    const text = await response.body.text();
    if (response.statusCode !== 200) {
      return { kind: 'error', message: `answered ${response.statusCode}: ${text.slice(0, 200)}` };
    }
    return { kind: 'text', text };
  } catch (error) {
    return { kind: 'error', message: connectionError(error) };
  } finally {
    await agent.close();
  }
}

function connectionError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there; is the proxy running, with this admin address?';
    case 'ENOENT':
      return 'there is no such socket; is the proxy running, with this admin address?';
    case 'EACCES':
      return 'permission denied; the socket is for the user who runs the proxy';
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'no answer in time';
    default:
      return `cannot be asked: ${message}`;
  }
}

function wrong(message: string): TargetResult {
  return { kind: 'error', message };
}
