/**
 * Which endpoints of a Service a client on one node may be sent to: kube-proxy's rules (pkg/proxy/topology.go of
 * Kubernetes), told as facts.
 *
 *     policy Cluster   ready ones; none anywhere: those that terminate and still serve
 *                      of the ready ones, when each has a hint: those for this node, else those for its zone; when
 *                      none is for either, all of them
 *     policy Local     of this node: ready ones; none: those that terminate and still serve
 */
import type { SliceEndpoint } from '../../model/service_spec.ts';
import type { InventoryNode } from '../../policy/resolve/inventory.ts';

export type Candidate = Pick<
  SliceEndpoint,
  'node' | 'isReady' | 'isServing' | 'isTerminating' | 'zones' | 'nodes'
>;

/** For policy Cluster. `here`: null for a client of whom it is not known where he is. */
export function clusterEndpoints<One extends Candidate>(
  all: readonly One[],
  here: InventoryNode | null,
): readonly One[] {
  const ready = all.filter(({ isReady }) => isReady);
  if (ready.length === 0) return all.filter(isLeaving);
  return here === null ? ready : hintedEndpoints(ready, here);
}

/** For policy Local. */
export function localEndpoints<One extends Candidate>(
  all: readonly One[],
  { name }: InventoryNode,
): readonly One[] {
  const own = all.filter(({ node }) => node === name && name !== '');
  const ready = own.filter(({ isReady }) => isReady);
  return ready.length > 0 ? ready : own.filter(isLeaving);
}

/** For policy Local, of clients on any node. */
export function anyNodesLocalEndpoints<One extends Candidate>(all: readonly One[]): readonly One[] {
  const withReady = new Set(all.flatMap(({ isReady, node }) => (isReady ? [node] : [])));
  return all.filter((one) => one.isReady || (isLeaving(one) && !withReady.has(one.node)));
}

function hintedEndpoints<One extends Candidate>(
  ready: readonly One[],
  { name, zone }: InventoryNode,
): readonly One[] {
  const ofNode = hinted(ready, (one) => one.nodes, name);
  return ofNode ?? hinted(ready, (one) => one.zones, zone) ?? ready;
}

/** Null: one of them has no hint, or none is meant for that place. */
function hinted<One extends Candidate>(
  ready: readonly One[],
  hintsOf: (one: One) => readonly string[],
  place: string,
): readonly One[] | null {
  if (ready.some((one) => hintsOf(one).length === 0)) return null;
  const own = ready.filter((one) => hintsOf(one).includes(place));
  return own.length === 0 ? null : own;
}

function isLeaving({ isServing, isTerminating }: Candidate): boolean {
  return isServing && isTerminating;
}
