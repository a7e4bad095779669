/**
 * Views ahead of time: those that connections have of the snapshot in force are made in the next one before
 * it is put in force, so that no request waits for an index of thousands of rules. Only the caches of the
 * next snapshot change, so it does not matter what is left out.
 */
import type { Port } from '../../model/identity.ts';
import { PROTOCOLS } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { PortRules } from '../compiled/port_rules.ts';
import type { PortTable } from '../compiled/port_table.ts';
import type { PolicySnapshot } from '../compiled/snapshot.ts';
import { unknownRemote } from '../identity/remotes.ts';

/** At most `countMax` views; those of the dry-run come on top. */
export function* prepareViews(
  next: PolicySnapshot,
  previous: PolicySnapshot,
  countMax: number,
): Steps<void> {
  let count = 0;
  for (const { from, to } of pairs(next, previous)) {
    yield;
    for (const { proxyId, remote } of from.asked()) {
      if (count++ === countMax) return;
      const { identity } = remote;
      const key = { proxyId, remote: next.who?.remotes.of(identity) ?? unknownRemote(identity) };
      for (const port of to) yield* port.prepare(key);
    }
  }
  if (next.shadow !== null) {
    yield* prepareViews(next.shadow, previous.shadow ?? previous, countMax);
  }
}

interface Pair {
  readonly from: PortRules;
  /** What stands in its place, at both ends of its range. */
  readonly to: ReadonlySet<PortRules>;
}

/** Endpoints with the same policy share their tables: each is gone through once for each that it becomes. */
function* pairs(next: PolicySnapshot, previous: PolicySnapshot): Iterable<Pair> {
  const seen = new Map<PortTable, Set<PortTable>>();
  for (const before of previous.endpoints()) {
    const after = next.endpoint(before.endpointIps[0] ?? '');
    if (!after.isKnown) continue;
    for (const direction of ['ingress', 'egress'] as const) {
      for (const protocol of PROTOCOLS) {
        const own = before.tables(direction).get(protocol);
        const table = after.tables(direction).get(protocol);
        if (own === undefined || table === undefined || !isFirst(seen, own, table)) continue;
        for (const from of own.all()) yield { from, to: portsAt(table, from) };
      }
    }
  }
}

function isFirst(seen: Map<PortTable, Set<PortTable>>, own: PortTable, table: PortTable): boolean {
  const known = seen.get(own);
  if (known?.has(table) === true) return false;
  if (known === undefined) seen.set(own, new Set([table]));
  else known.add(table);
  return true;
}

function portsAt(table: PortTable, { first, last }: PortRules): ReadonlySet<PortRules> {
  const found = [table.find(first as Port), table.find(last as Port)];
  return new Set(found.filter((port) => port !== null));
}
