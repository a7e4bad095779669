/** `sallyport fqdn cache list`: asks a running proxy which addresses names have, as DNS answers said. */
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import type { NameRow } from '../../model/name_row.ts';
import { shownLine } from '../../model/shown_text.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { yamlText } from '../terminal.ts';
import { textTable } from '../text_table.ts';
import { fetchText, targetOf } from './admin_client.ts';

const FILTERS = ['endpoint', 'matchpattern', 'source'];

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const action = args.arguments.join(' ');
  if (action !== 'cache list') return usageError(io, `fqdn: "${action}" is none of "cache list"`);
  const target = targetOf(args, io);
  if (target.kind === 'error') return usageError(io, `fqdn: ${target.message}`);
  const query = new URLSearchParams(
    FILTERS.flatMap((name) => {
      const value = args.value(name);
      return value === null ? [] : [[name, value]];
    }),
  );
  const fetched = await fetchText(target, `/fqdn/cache?${query}`);
  const cache = fetched.kind === 'error' ? fetched : parsedCache(fetched.text);
  if (cache.kind === 'error') {
    io.stderr.write(`sallyport: fqdn: ${target.shown}: ${shownLine(cache.message)}\n`);
    return EXIT_NEGATIVE;
  }
  const output = args.value('output') ?? 'table';
  if (output === 'json') io.stdout.write(`${JSON.stringify(cache.value, null, 2)}\n`);
  else if (output === 'yaml') io.stdout.write(yamlText(cache.value));
  else io.stdout.write(tableOf(cache.rows));
  return EXIT_OK;
}

type Parsed =
  | { readonly kind: 'cache'; readonly value: object; readonly rows: readonly NameRow[] }
  | { readonly kind: 'error'; readonly message: string };

/** Only what is relied on is checked: it is a proxy of ours that answers. */
function parsedCache(text: string): Parsed {
  const json = parseJson(text, DEFAULT_LIMITS);
  const value = json.kind === 'value' ? json.value : null;
  if (typeof value === 'object' && value !== null && 'lookups' in value) {
    const { lookups } = value;
    if (Array.isArray(lookups)) return { kind: 'cache', value, rows: lookups as NameRow[] };
  }
  return { kind: 'error', message: 'this is not the admin server of a Sallyport' };
}

function tableOf(rows: readonly NameRow[]): string {
  const cells = rows.map(({ endpoint, source, fqdn, ttl, expirationTime, ips }) =>
    [endpoint, source, fqdn, String(ttl), expirationTime, ips.join(',')].map(shownLine),
  );
  return textTable(['ENDPOINT', 'SOURCE', 'FQDN', 'TTL', 'EXPIRATION TIME', 'IPS'], cells);
}
