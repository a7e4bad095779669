/**
 * UDP sockets that are connected to a backend that has gone. No packet tells them, and connected as they are, no hook is
 * asked again. So they are closed: their program hears ECONNABORTED where it waits, EDESTADDRREQ where it sends, and
 * connects again. Cilium does the same. Only those are closed of which the hooks remember that they were translated.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type KeptSocket, keptSockets } from './kept_sockets.ts';
import { insideNamespace, NAMESPACE_FOLDERS, otherNamespaces } from './namespaces.ts';
import { ServedPlaces } from './served_places.ts';
import type { ServicesInForce } from './service_tables.ts';
import { SocketDiagnosis } from './socket_diagnosis.ts';

export interface LostSockets {
  readonly closed: number;
  /** Why some are left, one line each. */
  readonly problems: readonly string[];
}

export interface LostSocketsOptions {
  /** Of bpf/sockets.bpf.c. */
  readonly objectPath: string;
  /** Of the map `connected`. */
  readonly connectedFd: number;
}

/** Others have their turn between two network namespaces. */
export async function closeLostSockets(
  { objectPath, connectedFd }: LostSocketsOptions,
  inForce: ServicesInForce,
): Promise<LostSockets> {
  const places = new ServedPlaces(inForce);
  let kept: readonly KeptSocket[];
  try {
    kept = keptSockets(objectPath, connectedFd);
  } catch (error) {
    return { closed: 0, problems: [`${LEFT}: ${textOf(error)}`] };
  }
  const lost = new Set(
    kept.flatMap(({ cookie, connection }) => (places.isServed(connection) ? [] : [cookie])),
  );
  if (lost.size === 0) return { closed: 0, problems: [] };
  const problems = new Set<string>();
  const count = lost.size;
  const others = await otherNamespaces(NAMESPACE_FOLDERS);
  for (const path of [null, ...others]) {
    if (lost.size === 0) break;
    await nextTurn();
    try {
      closeIn(path, lost);
    } catch (error) {
      problems.add(textOf(error));
    }
  }
  // One that has no peer any more is connected to nobody, and found nowhere: that is no problem.
  if (lost.size > 0 && others.length === 0) problems.add(UNSEEN);
  return { closed: count - lost.size, problems: [...problems].map((why) => `${LEFT}: ${why}`) };
}

/** `path`: null, our own. Those that are closed are `lost` no more. */
function closeIn(path: string | null, lost: Set<bigint>): void {
  const open = (): SocketDiagnosis => new SocketDiagnosis();
  const diagnosis = path === null ? open() : insideNamespace(path, open);
  try {
    for (const socket of diagnosis.connectedUdp()) {
      if (!lost.has(socket.cookie)) continue;
      diagnosis.close(socket);
      lost.delete(socket.cookie);
    }
  } finally {
    diagnosis.end();
  }
}

const LEFT = 'UDP sockets may stay connected to a backend that has gone';
const UNSEEN = 'no network namespace of a pod is seen here (/run/netns)';

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
