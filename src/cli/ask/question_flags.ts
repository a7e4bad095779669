/**
 * The request flags of `explain` → one question, in the same form as a line of `verdict`, so that
 * both are parsed by the same code.
 */
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';

export type FlagQuestion =
  | { readonly kind: 'value'; readonly value: Record<string, unknown> }
  | { readonly kind: 'error'; readonly message: string };

/** Flags that take their text as it is, and the question's key for each. */
const TEXT_KEYS = [
  ['endpoint', 'endpoint'],
  ['endpoint-ip', 'endpointIp'],
  ['remote', 'remote'],
  ['remote-ip', 'remoteIp'],
  ['to', 'to'],
  ['service', 'service'],
  ['direction', 'direction'],
  ['protocol', 'protocol'],
  ['icmp', 'icmpType'],
  ['sni', 'sni'],
] as const;

const NUMBER_KEYS = [
  ['identity', 'identity'],
  ['proxy-id', 'proxyId'],
  ['port', 'port'],
] as const;

/** What no flag and no `--request` says, is asked with these. */
const DEFAULT_PORT = 80;
const DEFAULT_DNS_PORT = 53;

export function questionValue(args: Args): FlagQuestion {
  const value: Record<string, unknown> = {};
  const request = args.value('request');
  if (request !== null) {
    const json = parseJson(request, DEFAULT_LIMITS);
    if (json.kind === 'error') {
      return { kind: 'error', message: `--request is not JSON: ${json.message}` };
    }
    const parsed = json.value;
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
      return { kind: 'error', message: '--request must be an object' };
    }
    Object.assign(value, parsed);
  }
  for (const [flag, key] of TEXT_KEYS) {
    const text = args.value(flag);
    if (text !== null) value[key] = text;
  }
  for (const [flag, key] of NUMBER_KEYS) {
    const text = args.value(flag);
    if (text === null) continue;
    if (!/^[0-9]{1,10}$/.test(text))
      return { kind: 'error', message: `--${flag} must be a number (found "${text}")` };
    value[key] = Number(text);
  }
  if (args.has('label')) value['labels'] = args.values('label');
  const message = addAsk(args, value);
  if (message !== null) return { kind: 'error', message };
  addTraffic(value);
  return { kind: 'value', value };
}

/** The protocol and port that go with what is asked, where nothing says otherwise. */
function addTraffic(value: Record<string, unknown>): void {
  // They say the port themselves; that of a URL says it again.
  if ('to' in value || 'service' in value) {
    if ('dns' in value) value['protocol'] ??= 'UDP';
    return;
  }
  if ('icmpType' in value) {
    value['protocol'] ??= 'ICMP';
  } else if ('dns' in value) {
    value['protocol'] ??= 'UDP';
    value['port'] ??= DEFAULT_DNS_PORT;
  } else if (value['protocol'] !== 'ICMP' && value['protocol'] !== 'ICMPv6') {
    value['port'] ??= DEFAULT_PORT;
  }
}

/** Adds `http` or `dns`; null when that went well. */
function addAsk(args: Args, value: Record<string, unknown>): string | null {
  const dns = args.value('dns');
  if (dns !== null) {
    value['dns'] = { name: dns };
    return null;
  }
  const isHttp = ['method', 'path', 'host', 'url', 'header'].some((flag) => args.has(flag));
  if (!isHttp) return null;
  const target = targetOf(args);
  if (typeof target === 'string') return target;
  const headers: [string, string][] = [];
  for (const line of args.values('header')) {
    const colon = line.indexOf(':');
    if (colon <= 0) return `--header "${line}" is not "Name: value"`;
    headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  if (target.port !== null && !('to' in value || 'service' in value)) {
    value['port'] ??= target.port;
  }
  value['http'] = {
    method: args.value('method') ?? 'GET',
    path: args.value('path') ?? target.path,
    authority: args.value('host') ?? target.authority,
    headers,
  };
  return null;
}

interface Target {
  readonly authority: string;
  readonly path: string;
  readonly port: number | null;
}

/** Taken apart by hand: the URL class would normalise what is to be judged. */
function targetOf(args: Args): Target | string {
  const url = args.value('url');
  if (url === null) return { authority: '', path: '/', port: null };
  const match = /^(?:(https?):\/\/)?([^/?#]+)([/?][^#]*)?/i.exec(url);
  const isOther = /^[a-z][-+.a-z0-9]*:\/\//i.test(url) && match?.[1] === undefined;
  if (match === null || isOther) return `--url "${url}" is no URL`;
  const [, scheme, authority = '', rest = '/'] = match;
  const port = /:([0-9]{1,5})$/.exec(authority)?.[1];
  return {
    authority,
    path: rest.startsWith('?') ? `/${rest}` : rest,
    port:
      port === undefined ? (scheme?.toLowerCase() === 'https' ? 443 : DEFAULT_PORT) : Number(port),
  };
}
