/** What the flags of `relay` ask for. */
import { resolve } from 'node:path';
import type { NodeTlsFiles } from '../../hubble/relay/node_client.ts';
import type { RelayPeer } from '../../hubble/relay/node_link.ts';
import { isNodeAddress, parseNode } from '../../hubble/relay/node_text.ts';
import type { RelaySettings } from '../../hubble/relay/relay_service.ts';
import { isLoopback, parseSocketAddress } from '../../model/address.ts';
import type { HubbleTlsFiles } from '../../model/hubble_settings.ts';
import type { Args } from '../args.ts';
import { durationMs } from '../duration.ts';
import type { Io } from '../io.ts';

export type RelaySettingsResult =
  | { readonly kind: 'settings'; readonly settings: RelaySettings }
  | { readonly kind: 'error'; readonly message: string };

const DEFAULT_LISTEN = '127.0.0.1:4245';
const SORT_COUNT_MAX = 100_000;
const UNIX = 'unix://';

class WrongUsage extends Error {}

export function relaySettings(args: Args, io: Io): RelaySettingsResult {
  try {
    return { kind: 'settings', settings: settingsOf(args, io) };
  } catch (error) {
    if (error instanceof WrongUsage) return { kind: 'error', message: error.message };
    throw error;
  }
}

function settingsOf(args: Args, io: Io): RelaySettings {
  const cluster = args.value('cluster-name') ?? 'default';
  const file = args.value('nodes-file');
  const settings: RelaySettings = {
    listen: listenOf(args, io),
    nodes: nodesOf(args, cluster),
    nodesFile: file === null ? null : resolve(io.cwd, file),
    peerServices: args.values('peer-service').map(peerService),
    peerNames: args.values('peer-dns').map(peerName),
    cluster,
    tls: nodeTls(args, io),
    isPlainEverywhere: args.has('disable-client-tls'),
    retryMs: duration(args, 'retry-timeout', 30_000),
    sortCountMax: sortCount(args),
    drainMs: duration(args, 'sort-buffer-drain-timeout', 1000),
  };
  const { nodes, nodesFile, peerServices, peerNames } = settings;
  if (nodes.length + peerServices.length + peerNames.length === 0 && nodesFile === null) {
    throw new WrongUsage('which nodes? Give --node, --nodes-file, --peer-service or --peer-dns');
  }
  return settings;
}

function listenOf(args: Args, io: Io): RelaySettings['listen'] {
  const text = args.value('listen-address') ?? DEFAULT_LISTEN;
  const tls = clientTls(args, io);
  if (text.startsWith(`${UNIX}/`)) {
    if (tls !== null) throw new WrongUsage('--listen-address: a socket has no certificates');
    return { socket: { path: text.slice(UNIX.length), group: null }, tcp: null };
  }
  const address = parseSocketAddress(text);
  if (address === null) {
    throw new WrongUsage(`--listen-address: "${text}" is neither IP:PORT nor unix:///path`);
  }
  if (tls === null && !isLoopback(address) && !args.has('disable-server-tls')) {
    throw new WrongUsage(
      '--listen-address: beyond loopback clients need certificates (--tls-relay-...), or give --disable-server-tls',
    );
  }
  return { socket: null, tcp: { address, tls } };
}

function nodesOf(args: Args, cluster: string): readonly RelayPeer[] {
  return args.values('node').map((text) => {
    const node = parseNode(text, cluster);
    if (node === null) throw new WrongUsage(`--node: "${text}" is no [NAME=]ADDRESS`);
    return node;
  });
}

function peerService(text: string): string {
  if (isNodeAddress(text)) return text;
  throw new WrongUsage(`--peer-service: "${text}" is neither unix:///path nor HOST:PORT`);
}

function peerName(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', port = ''] =
    /^([A-Za-z0-9][-A-Za-z0-9._]{0,252}):([0-9]{1,5})$/.exec(text) ?? [];
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
    throw new WrongUsage(`--peer-dns: "${text}" is no HOST:PORT`);
  }
  return { host, port: Number(port) };
}

function clientTls(args: Args, io: Io): HubbleTlsFiles | null {
  const [cert, key, clientCa] = together(args, io, [
    'tls-relay-server-cert-file',
    'tls-relay-server-key-file',
    'tls-relay-client-ca-files',
  ]);
  if (cert === undefined || key === undefined || clientCa === undefined) return null;
  if (args.has('disable-server-tls')) {
    throw new WrongUsage('--disable-server-tls and certificates for clients exclude each other');
  }
  return { cert, key, clientCa };
}

function nodeTls(args: Args, io: Io): NodeTlsFiles | null {
  const [cert, key] = together(args, io, [
    'tls-hubble-client-cert-file',
    'tls-hubble-client-key-file',
    'tls-hubble-server-ca-files',
  ]);
  if (cert === undefined || key === undefined) return null;
  if (args.has('disable-client-tls')) {
    throw new WrongUsage('--disable-client-tls and certificates for nodes exclude each other');
  }
  const authorities = args
    .values('tls-hubble-server-ca-files')
    .flatMap((text) => text.split(','))
    .map((path) => resolve(io.cwd, path));
  return { authorities, cert, key };
}

/** All of them, or none. */
function together(args: Args, io: Io, names: readonly string[]): string[] {
  const given = names.filter((name) => args.has(name));
  if (given.length === 0) return [];
  const missing = names.find((name) => !args.has(name));
  if (missing !== undefined) throw new WrongUsage(`--${given[0]} needs --${missing}`);
  return names.map((name) => resolve(io.cwd, args.values(name)[0] ?? ''));
}

function duration(args: Args, name: string, byDefault: number): number {
  const text = args.value(name);
  if (text === null) return byDefault;
  const ms = durationMs(text);
  if (ms === null || ms === 0)
    throw new WrongUsage(`--${name}: give a duration such as 5s or 500ms`);
  return ms;
}

function sortCount(args: Args): number {
  const text = args.value('sort-buffer-len-max');
  if (text === null) return 100;
  const count = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > SORT_COUNT_MAX) {
    throw new WrongUsage(`--sort-buffer-len-max: give a count from 1 to ${SORT_COUNT_MAX}`);
  }
  return count;
}
