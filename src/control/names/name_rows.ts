/** What is kept of names, as people list it: a row for each endpoint that asked, name and time (cilium-dbg fqdn cache list). */
import type { NameFilter, NameRow } from '../../model/name_row.ts';
import { compareText } from '../../policy/labels.ts';
import { FqdnSet } from '../../policy/match/fqdn_set.ts';
import type { NamedAddress } from './name_cache.ts';

export interface RowTimes {
  readonly nowMs: number;
  /** Milliseconds since the epoch, at the same moment. */
  readonly wallMs: number;
  readonly graceMs: number;
}

export function nameRows(
  entries: Iterable<NamedAddress>,
  filter: NameFilter,
  times: RowTimes,
): readonly NameRow[] {
  const names = patternOf(filter.matchPattern);
  const rows = new Map<string, Omit<NameRow, 'ips'> & { readonly ips: string[] }>();
  for (const entry of entries) {
    if (names !== null && names.selecting(entry.name).length === 0) continue;
    const facts = factsOf(entry, times);
    if (filter.source !== null && facts.source !== filter.source) continue;
    for (const endpoint of entry.holders) {
      if (filter.endpoint !== null && endpoint !== filter.endpoint) continue;
      const key = [endpoint, facts.source, facts.fqdn, facts.expirationTime].join(' ');
      const row = rows.get(key);
      if (row === undefined) rows.set(key, { endpoint, ...facts, ips: [entry.address.text] });
      else row.ips.push(entry.address.text);
    }
  }
  for (const { ips } of rows.values()) ips.sort(compareText);
  return [...rows].sort(([a], [b]) => compareText(a, b)).map(([, row]) => row);
}

function patternOf(pattern: string | null): FqdnSet<string> | null {
  if (pattern === null) return null;
  const set = new FqdnSet<string>();
  set.add(pattern, true, pattern);
  return set;
}

function factsOf(
  { name, expiresAtMs, aliveAtMs }: NamedAddress,
  { nowMs, wallMs, graceMs }: RowTimes,
): Omit<NameRow, 'endpoint' | 'ips'> {
  const isOver = nowMs >= expiresAtMs;
  const forgottenAtMs = Math.max(expiresAtMs, aliveAtMs) + graceMs;
  return {
    source: isOver && aliveAtMs > 0 ? 'connection' : 'lookup',
    fqdn: name,
    ttl: isOver ? 0 : Math.ceil((expiresAtMs - nowMs) / 1000),
    expirationTime: new Date(Math.round(wallMs + forgottenAtMs - nowMs)).toISOString(),
  };
}
