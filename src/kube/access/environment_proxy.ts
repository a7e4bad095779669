/**
 * The proxy that the environment names, as Go's programs read it (golang.org/x/net/http/httpproxy), so that what works
 * for kubectl works here.
 */
import { BlockList, isIP } from 'node:net';

export type Environment = Readonly<Record<string, string | undefined>>;

export type ProxyResult =
  | { readonly kind: 'proxy'; readonly proxy: URL | null }
  | { readonly kind: 'error'; readonly message: string };

/** For `server`. */
export function environmentProxy(server: URL, env: Environment): ProxyResult {
  const name = server.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const text = variable(env, name);
  if (text === '' || isDirect(server, variable(env, 'NO_PROXY'))) {
    return { kind: 'proxy', proxy: null };
  }
  const proxy = parseProxy(text);
  // Not the text itself: it may have a password.
  if (proxy === null) return { kind: 'error', message: `${name} is no URL of a proxy` };
  return { kind: 'proxy', proxy };
}

/** Null: not one that can be used. A text without a scheme is one of HTTP. */
export function parseProxy(text: string): URL | null {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || !PROXY_SCHEMES.includes(url.protocol) || url.hostname === '') return null;
  return url;
}

const PROXY_SCHEMES = ['http:', 'https:', 'socks5:'];

function variable(env: Environment, name: string): string {
  const upper = env[name] ?? '';
  return (upper === '' ? (env[name.toLowerCase()] ?? '') : upper).trim();
}

/** Whether `server` is reached without a proxy: on this machine, or named in NO_PROXY. */
function isDirect(server: URL, noProxy: string): boolean {
  const host = server.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  if (host === 'localhost' || isLoopback(host)) return true;
  const port = server.port === '' ? (server.protocol === 'https:' ? '443' : '80') : server.port;
  return noProxy.split(',').some((entry) => isNamed(entry.trim().toLowerCase(), host, port));
}

function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isNamed(entry: string, host: string, port: string): boolean {
  if (entry === '') return false;
  if (entry === '*') return true;
  if (entry.includes('/')) return isInPrefix(entry, host);
  const { name, port: entryPort } = splitPort(entry);
  if (entryPort !== null && entryPort !== port) return false;
  if (isIP(name) !== 0 || isIP(host) !== 0) return name === host;
  // ".shop.example" and "*.shop.example" are names below it, "shop.example" is that one, too.
  if (name.startsWith('*.')) return host.endsWith(name.slice(1));
  if (name.startsWith('.')) return host.endsWith(name);
  return host === name || host.endsWith(`.${name}`);
}

function isInPrefix(entry: string, host: string): boolean {
  const [address = '', length = ''] = entry.split('/');
  const family = isIP(address);
  const bits = Number(length);
  const bitsMax = family === 6 ? 128 : 32;
  if (family === 0 || isIP(host) !== family) return false;
  if (!/^\d{1,3}$/.test(length) || bits > bitsMax) return false;
  const type = family === 6 ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(address, bits, type);
  return list.check(host, type);
}

/** "host:443", "[::1]:443", "::1". */
function splitPort(entry: string): { readonly name: string; readonly port: string | null } {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry);
  if (bracketed !== null) return { name: bracketed[1] ?? '', port: bracketed[2] ?? null };
  if (isIP(entry) === 6) return { name: entry, port: null };
  const found = /^(.*):(\d+)$/.exec(entry);
  return found === null
    ? { name: entry, port: null }
    : { name: found[1] ?? '', port: found[2] ?? null };
}
