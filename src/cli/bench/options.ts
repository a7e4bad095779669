/** The flags of `sallyport bench`, checked. */
import { lookup } from 'node:dns/promises';
import { formatSocketAddress, parseIp, type SocketAddress } from '../../model/address.ts';
import { parsePort } from '../../model/identity.ts';
import type { Args } from '../args.ts';
import {
  CONNECTION_COUNT_MAX,
  ROUND_COUNT_MAX,
  ROUND_SECONDS_MAX,
  ROUND_SECONDS_MIN,
} from './bounds.ts';

export interface BenchOptions {
  /** "-" is standard input. */
  readonly requestsPath: string;
  /** Null: the embedded origin. */
  readonly upstream: Upstream | null;
  readonly connectionCount: number;
  /** Of each round and side. */
  readonly seconds: number;
  readonly roundCount: number;
  readonly hasAccessLog: boolean;
  readonly format: 'table' | 'json' | 'yaml';
}

export interface Upstream {
  /** As the user gave it. */
  readonly url: string;
  /** "127.0.0.1:8080": where its name pointed when the run began. */
  readonly address: string;
}

export type BenchOptionsResult =
  | { readonly kind: 'options'; readonly options: BenchOptions }
  | { readonly kind: 'error'; readonly message: string };

const DEFAULT_CONNECTION_COUNT = 8;
const DEFAULT_SECONDS = 5;
const DEFAULT_ROUND_COUNT = 3;
const HTTP_PORT = 80;

export async function benchOptions(args: Args): Promise<BenchOptionsResult> {
  try {
    return { kind: 'options', options: await optionsOf(args) };
  } catch (error) {
    if (error instanceof OptionError) return { kind: 'error', message: error.message };
    throw error;
  }
}

class OptionError extends Error {}

async function optionsOf(args: Args): Promise<BenchOptions> {
  const requestsPath = args.value('requests');
  if (requestsPath === null) throw new OptionError('no requests: name a file with --requests FILE');
  return {
    requestsPath,
    connectionCount: wholeNumber(args, 'connections', {
      default: DEFAULT_CONNECTION_COUNT,
      max: CONNECTION_COUNT_MAX,
    }),
    seconds: secondsOf(args.value('seconds')),
    roundCount: wholeNumber(args, 'rounds', { default: DEFAULT_ROUND_COUNT, max: ROUND_COUNT_MAX }),
    hasAccessLog: !args.has('no-access-log'),
    format: (args.value('output') ?? 'table') as BenchOptions['format'],
    upstream: await upstreamOf(args.value('upstream')),
  };
}

function wholeNumber(
  args: Args,
  flag: string,
  range: { readonly default: number; readonly max: number },
): number {
  const text = args.value(flag);
  if (text === null) return range.default;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= range.max) return value;
  throw new OptionError(
    `--${flag} must be a whole number from 1 to ${range.max} (found "${text}")`,
  );
}

function secondsOf(text: string | null): number {
  if (text === null) return DEFAULT_SECONDS;
  const value = /^[0-9]{1,4}(\.[0-9]{1,3})?$/.test(text) ? Number(text) : 0;
  if (value >= ROUND_SECONDS_MIN && value <= ROUND_SECONDS_MAX) return value;
  throw new OptionError(
    `--seconds must be a number from ${ROUND_SECONDS_MIN} to ${ROUND_SECONDS_MAX} (found "${text}")`,
  );
}

async function upstreamOf(text: string | null): Promise<Upstream | null> {
  if (text === null) return null;
  const match = /^http:\/\/(\[[^\]]+\]|[^/:?#@[\]]+)(?::([0-9]{1,5}))?\/?$/i.exec(text);
  if (match === null) {
    throw new OptionError(
      `--upstream must be http://HOST:PORT, without a path: those of the requests are asked (found "${text}")`,
    );
  }
  const [, host = '', portText] = match;
  const port = parsePort(portText === undefined ? HTTP_PORT : Number(portText));
  if (port === null || port === 0) {
    throw new OptionError(`--upstream: "${portText}" is no port`);
  }
  const { ip } = await addressOf(host, port);
  return { url: text, address: formatSocketAddress(ip, port) };
}

async function addressOf(host: string, port: SocketAddress['port']): Promise<SocketAddress> {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const literal = parseIp(bare);
  if (literal !== null) return { ip: literal.text, family: literal.family, port };
  try {
    const found = parseIp((await lookup(bare)).address);
    if (found !== null) return { ip: found.text, family: found.family, port };
  } catch {
    // Told below, as is an answer that is no address.
  }
  throw new OptionError(`--upstream: nobody knows the host "${bare}"`);
}
