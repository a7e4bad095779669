/** The veths of this network namespace whose other end is in another one (`ip -j -d link`). */
import { type RunCommand, saidBy } from '../host/command.ts';
import { kindOf, parseJsonList } from '../host/links.ts';
import type { Veth } from './witness.ts';

export type VethsResult =
  | { readonly kind: 'veths'; readonly veths: readonly Veth[] }
  | { readonly kind: 'error'; readonly message: string };

export async function readVeths(run: RunCommand): Promise<VethsResult> {
  const result = await run('ip', ['-j', '-d', 'link', 'show']);
  if (result.code !== 0) return { kind: 'error', message: `ip link: ${saidBy(result)}` };
  const entries = parseJsonList(result.stdout);
  if (entries === null) return { kind: 'error', message: 'ip link: its output is no JSON list' };
  const veths = entries.flatMap(({ ifname, ifindex, linkinfo, link_netnsid: netnsId }) => {
    if (typeof ifname !== 'string' || typeof ifindex !== 'number') return [];
    if (typeof netnsId !== 'number' || kindOf(linkinfo) !== 'veth') return [];
    return { name: ifname, ifindex, netnsId };
  });
  return { kind: 'veths', veths };
}

/** Of both looks: what was said between them of a name, an index or a namespace is said of the same thing. */
export function lasting(before: readonly Veth[], after: readonly Veth[]): readonly Veth[] {
  const keys = new Set(before.map(vethKey));
  return after.filter((veth) => keys.has(vethKey(veth)));
}

/** An index alone may be another's by now. */
export function vethKey({ ifindex, name, netnsId }: Veth): string {
  return `${ifindex} ${netnsId} ${name}`;
}
