/**
 * A destination that is the address of a Service, as it is where the node translates behind us, and where a listener has
 * one as its fixed destination. Policy is asked about whoever may be behind it, as Cilium is, which translates first.
 * What is dialled stays what it is.
 *
 * The backends count on whichever node they are; where the bytes may go to the address itself, that counts, too
 * (`isJudgedAsDialled`). At ingress the destination is the endpoint whose policy is asked, and no address of a Service is one.
 */
import type { Behind, ConnectionMeta, Dialled } from '../../model/connection_meta.ts';
import { effectiveIdentity, IDENTITY_WORLD } from '../../model/identity.ts';
import type { JudgedFrontend } from '../../model/service_frontend.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { isJudgedAsDialled, isNode } from '../../policy/identity/service_table.ts';
import type { IdentityLookup } from '../../policy/lookups.ts';
import type { IdentityOption } from '../plane/options.ts';
import { type Known, remoteIdentity } from './resolve.ts';

/** `meta` with what its destination stands for in `known.snapshot`; the same object when that has not changed. */
export function withDialled(
  meta: ConnectionMeta,
  option: IdentityOption,
  known: Known,
): ConnectionMeta {
  const frontend = meta.direction === 'egress' ? frontendOf(meta, known.snapshot) : null;
  if (frontend === null) {
    return meta.dialled === null ? meta : Object.freeze({ ...meta, dialled: null });
  }
  const dialled = { frontend, behind: behindOf(frontend, meta, { option, known }) };
  if (isSame(meta.dialled, dialled)) return meta;
  return Object.freeze({ ...meta, dialled });
}

function frontendOf(
  { transport, destination, remoteIdentity: identity }: ConnectionMeta,
  { services, labels }: PolicySnapshot,
): JudgedFrontend | null {
  if (services.size === 0) return null;
  const { ip, family, port } = destination;
  const found = services.at(transport, ip, port);
  if (found !== null) return found;
  const atNode = services.atNode(transport, family, port);
  return atNode !== null && isNode({ identity, labels: labels.labelsOf(identity) }) ? atNode : null;
}

interface Asking {
  readonly option: IdentityOption;
  readonly known: Known;
}

function behindOf(
  frontend: JudgedFrontend,
  meta: ConnectionMeta,
  asking: Asking,
): readonly Behind[] {
  const backends = backendsBehind(frontend, meta, asking);
  const { remoteIdentity: identity, port } = meta;
  const labels = asking.known.snapshot.labels.labelsOf(identity);
  // Without a backend it is refused, whoever has the address.
  if (backends.length === 0 || !isJudgedAsDialled(frontend, { identity, labels })) return backends;
  return distinct([...backends, { identity, port }]);
}

function backendsBehind(
  frontend: JudgedFrontend,
  meta: ConnectionMeta,
  { option, known }: Asking,
): readonly Behind[] {
  const { ipcache } = known.snapshot;
  // The kernel recorded who has the address that was dialled, and nobody else.
  const isByTable = meta.recorded !== null || isEndpointsOnly(option);
  if (!isByTable) {
    return distinct(
      frontend.backends.map((destination) => ({
        identity: remoteIdentity(option, { ...meta, destination }, known).identity,
        port: destination.port,
      })),
    );
  }
  const last = BEHIND.get(frontend);
  if (last !== undefined && last.ipcache === ipcache) return last.behind;
  const behind = distinct(
    frontend.backends.map(({ ip, port }) => ({
      identity: effectiveIdentity(ipcache.lookup(ip) ?? IDENTITY_WORLD),
      port,
    })),
  );
  BEHIND.set(frontend, { ipcache, behind });
  return behind;
}

/** Of a frontend all connections share it, as long as who is who stays what it is. */
const BEHIND = new WeakMap<
  JudgedFrontend,
  { readonly ipcache: IdentityLookup; readonly behind: readonly Behind[] }
>();

function isEndpointsOnly(option: IdentityOption): boolean {
  return option.kind === 'sources' && option.sources.every((source) => source === 'endpoints');
}

/** Each identity and port once. */
function distinct(all: readonly Behind[]): readonly Behind[] {
  const found = new Map(all.map((one) => [`${one.identity} ${one.port}`, one]));
  return found.size === all.length ? all : [...found.values()];
}

function isSame(a: Dialled | null, b: Dialled): boolean {
  return (
    a !== null &&
    a.frontend === b.frontend &&
    a.behind.length === b.behind.length &&
    a.behind.every(
      ({ identity, port }, at) =>
        identity === b.behind[at]?.identity && port === b.behind[at]?.port,
    )
  );
}
