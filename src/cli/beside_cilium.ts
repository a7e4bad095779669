/**
 * On a node where Cilium's agent runs, the agent says what policy is and its programs are on the interfaces: we would
 * enforce the same policies a second time, from other numbers, or take its interfaces.
 */
import type { Config } from '../config/config.ts';
import { type AgentFound, findAgent, NODE_PLACES } from '../redirect/host/cilium_agent.ts';

export interface BesideCilium {
  /** Why we do not start; null: we may. */
  readonly refusal: string | null;
  /** What users should know, a line each. */
  readonly notes: readonly string[];
}

export async function besideCilium({ cilium, ciliumAgent }: Config): Promise<BesideCilium> {
  const { folder, beside } = ciliumAgent;
  const places = { ...NODE_PLACES, stateFolder: folder, bpffs: cilium.root };
  return besideFound(await findAgent(places), beside);
}

export function besideFound(
  { running, leftovers }: AgentFound,
  beside: Config['ciliumAgent']['beside'],
): BesideCilium {
  const runs = `Cilium’s agent runs on this node (${running.join('; ')})`;
  if (running.length > 0 && beside === 'refuse')
    return { refusal: `${runs}: ${ADVICE}`, notes: [] };
  if (running.length > 0) {
    return { refusal: null, notes: [`${runs}; cilium.beside is chain: both enforce policy`] };
  }
  const left = `an agent of Cilium that does not run has left ${leftovers.join(', ')}; a reboot removes it`;
  return { refusal: null, notes: leftovers.length > 0 ? [left] : [] };
}

const ADVICE =
  'there it says what policy is, so `kubernetes` and `sallyport redirect` are not for this node; give listeners the identity sources bpf-conntrack and bpf-ipcache instead, or, to enforce policy beside it on purpose, set cilium.beside: chain (docs/kubernetes.md)';
