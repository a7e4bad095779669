/**
 * Interfaces by which packets of other machines come: those of default routes, and of routes with a gateway, by which
 * an overlay or the cloud reaches the pods of other nodes. Only root of this namespace makes such routes; what the
 * kernel learned from router advertisements and redirects does not count, as a pod can send them.
 */
import { type RunCommand, saidBy } from './command.ts';
import { type Entry, parseJsonList } from './links.ts';

export type UplinksResult =
  | { readonly kind: 'uplinks'; readonly names: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

export async function readUplinks(run: RunCommand): Promise<UplinksResult> {
  const names = new Set<string>();
  for (const family of [4, 6] as const) {
    const result = await run('ip', ['-j', `-${family}`, 'route', 'show', 'table', 'main']);
    const said = saidBy(result);
    if (result.code !== 0 && /not supported/.test(said)) continue;
    const entries = result.code === 0 ? parseJsonList(result.stdout) : null;
    if (entries === null) return { kind: 'error', message: `ip -${family} route: ${said}` };
    for (const name of uplinksOf(entries)) names.add(name);
  }
  return { kind: 'uplinks', names: [...names].sort() };
}

/** Routes as `ip -j route` prints them. */
export function uplinksOf(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap((entry) => {
    const { type, protocol, dst, nexthops } = entry;
    if (type !== undefined && type !== 'unicast') return [];
    if (protocol === 'ra' || protocol === 'redirect') return [];
    const hops: readonly unknown[] = Array.isArray(nexthops) ? nexthops : [];
    const ways = [entry, ...hops.filter(isEntry)];
    return ways.flatMap((way) => {
      const isAway = dst === 'default' || way['gateway'] !== undefined || way['via'] !== undefined;
      const name = way['dev'];
      return isAway && typeof name === 'string' && name !== 'lo' ? [name] : [];
    });
  });
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null;
}
