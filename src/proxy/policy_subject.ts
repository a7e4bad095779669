/**
 * hot path
 *
 * The policy as one connection sees it: keeps the view of the snapshot in force, and makes a new one
 * when the snapshot is another. So each decision is by the policy of its moment.
 */
import type { ConnectionMeta, Half, RecordedIdentity } from '../model/connection_meta.ts';
import type { Decision } from '../model/decision.ts';
import { effectiveIdentity, IDENTITY_WORLD } from '../model/identity.ts';
import type { RequestHead } from '../model/request_head.ts';
import { DENY_IDENTITY_CHANGED, decideConnection, decideRequest } from '../policy/decide.ts';
import type { PolicySnapshot, RemoteView } from '../policy/snapshot.ts';
import type { CiliumIdentities } from '../redirect/cilium_maps.ts';
import { identityCheck } from '../redirect/layout.ts';
import { bothAllow } from './both_halves.ts';
import type { IdentityOption } from './options.ts';
import { type Known, withCurrentIdentity } from './resolve.ts';

export interface SubjectContext {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly identity: IdentityOption;
  readonly cilium: CiliumIdentities | null;
}

/** What one snapshot says of a connection: a view for each half that is asked. */
interface Views {
  readonly first: RemoteView;
  readonly second: RemoteView | null;
}

export class PolicySubject {
  readonly #identity: IdentityOption;
  readonly #cilium: CiliumIdentities | null;
  #meta: ConnectionMeta;
  readonly #currentSnapshot: () => PolicySnapshot;
  #snapshot: PolicySnapshot;
  /** Null: the sides are not who they were when the connection began; nothing is allowed any more. */
  #views: Views | null;
  #shadowViews: Views | null;
  /** Of a TLS connection; "" for others. */
  serverName = '';

  constructor(meta: ConnectionMeta, context: SubjectContext) {
    this.#currentSnapshot = context.currentSnapshot;
    this.#identity = context.identity;
    this.#cilium = context.cilium;
    this.#snapshot = context.currentSnapshot();
    this.#meta = withCurrentIdentity(meta, this.#identity, this.#known());
    this.#views = viewsIn(this.#snapshot, this.#meta);
    this.#shadowViews = shadowIn(this.#snapshot, this.#meta);
  }

  /** With the identity that the last decision was made for. */
  get meta(): ConnectionMeta {
    return this.#meta;
  }

  get revision(): number {
    return this.#snapshot.revision;
  }

  /** True when any rule of the port has L7 rules: then only what is parsed can be judged there. */
  get hasL7Rules(): boolean {
    this.#refresh();
    const views = this.#views;
    return views === null || views.first.hasL7Rules || views.second?.hasL7Rules === true;
  }

  judgeConnection(): Decision {
    this.#refresh();
    return this.#connectionBy(this.#views);
  }

  judgeRequest(head: RequestHead): Decision {
    this.#refresh();
    return this.#requestBy(this.#views, head);
  }

  /** What the policy with its dry-run parts says; null when there are none. */
  shadowRequest(head: RequestHead): Decision | null {
    return this.#shadowViews === null ? null : this.#requestBy(this.#shadowViews, head);
  }

  shadowConnection(): Decision | null {
    return this.#shadowViews === null ? null : this.#connectionBy(this.#shadowViews);
  }

  #connectionBy(views: Views | null): Decision {
    if (views === null) return DENY_IDENTITY_CHANGED;
    const { first, second } = views;
    const decision = decideConnection(first, this.serverName);
    if (second === null) return decision;
    return bothAllow(decision, null, () => decideConnection(second, this.serverName));
  }

  #requestBy(views: Views | null, head: RequestHead): Decision {
    if (views === null) return DENY_IDENTITY_CHANGED;
    const { first, second } = views;
    const decision = decideRequest(first, this.serverName, head);
    if (second === null) return decision;
    return bothAllow(decision, head, (after) =>
      decideRequest(second, this.serverName, after ?? head),
    );
  }

  #refresh(): void {
    const snapshot = this.#currentSnapshot();
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    // A policy that names a new CIDR gives its addresses a new identity: rules for it must be met
    // by connections that are already open.
    this.#meta = withCurrentIdentity(this.#meta, this.#identity, this.#known());
    this.#views = viewsIn(snapshot, this.#meta);
    this.#shadowViews = shadowIn(snapshot, this.#meta);
  }

  #known(): Known {
    return { snapshot: this.#snapshot, cilium: this.#cilium };
  }
}

function viewsIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views | null {
  if (!isStillTrue(snapshot, meta)) return null;
  return {
    first: viewIn(snapshot, meta, meta),
    second: meta.second === null ? null : viewIn(snapshot, meta, meta.second),
  };
}

function viewIn(snapshot: PolicySnapshot, meta: ConnectionMeta, half: Half): RemoteView {
  return snapshot
    .endpoint(half.endpointIp)
    .port(half.direction, 'TCP', meta.port)
    .view(meta.proxyId, half.remoteIdentity);
}

function shadowIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views | null {
  return snapshot.shadow === null ? null : viewsIn(snapshot.shadow, meta);
}

/**
 * Recorded identities hold as long as their numbers mean the same labels to us as to the kernel's tables,
 * and the judged endpoints still have their addresses: whoever gets an address next inherits nothing.
 */
function isStillTrue(snapshot: PolicySnapshot, meta: ConnectionMeta): boolean {
  const { recorded, second } = meta;
  if (recorded === null) return true;
  if (!isSameLabels(snapshot, recorded.source)) return false;
  if (!isSameLabels(snapshot, recorded.destination)) return false;
  const isOwnerSame = ({ direction, endpointIp }: Half): boolean => {
    const { identity } = direction === 'egress' ? recorded.source : recorded.destination;
    return snapshot.ipcache.lookup(endpointIp) === effectiveIdentity(identity);
  };
  return isOwnerSame(meta) && (second === null || isOwnerSame(second));
}

function isSameLabels(snapshot: PolicySnapshot, { identity, check }: RecordedIdentity): boolean {
  // An address that no prefix covers is the world, of which the tables have no entry.
  if (identity === IDENTITY_WORLD && check === 0) return true;
  const labels = snapshot.labels.labelsOf(effectiveIdentity(identity));
  return labels.length > 0 && identityCheck(labels) === check;
}
