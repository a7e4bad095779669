/**
 * hot path
 *
 * The policy as one connection sees it: keeps the view of the snapshot in force, and makes a new one
 * when the snapshot is another. So each decision is by the policy of its moment.
 */
import type { ConnectionMeta } from '../model/connection_meta.ts';
import type { Decision } from '../model/decision.ts';
import type { RequestHead } from '../model/request_head.ts';
import { decideConnection, decideRequest } from '../policy/decide.ts';
import type { PolicySnapshot, RemoteView } from '../policy/snapshot.ts';
import type { IdentityOption } from './options.ts';
import { withCurrentIdentity } from './resolve.ts';

export interface SubjectContext {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly identity: IdentityOption;
}

export class PolicySubject {
  readonly #identity: IdentityOption;
  #meta: ConnectionMeta;
  readonly #currentSnapshot: () => PolicySnapshot;
  #snapshot: PolicySnapshot;
  #view: RemoteView;
  #shadowView: RemoteView | null;
  /** Of a TLS connection; "" for others. */
  serverName = '';

  constructor(meta: ConnectionMeta, context: SubjectContext) {
    this.#currentSnapshot = context.currentSnapshot;
    this.#identity = context.identity;
    this.#snapshot = context.currentSnapshot();
    this.#meta = withCurrentIdentity(meta, this.#identity, this.#snapshot);
    this.#view = viewIn(this.#snapshot, this.#meta);
    this.#shadowView = shadowIn(this.#snapshot, this.#meta);
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
    return this.#view.hasL7Rules;
  }

  judgeConnection(): Decision {
    this.#refresh();
    return decideConnection(this.#view, this.serverName);
  }

  judgeRequest(head: RequestHead): Decision {
    this.#refresh();
    return decideRequest(this.#view, this.serverName, head);
  }

  /** What the policy with its dry-run parts says; null when there are none. */
  shadowRequest(head: RequestHead): Decision | null {
    return this.#shadowView === null
      ? null
      : decideRequest(this.#shadowView, this.serverName, head);
  }

  shadowConnection(): Decision | null {
    return this.#shadowView === null ? null : decideConnection(this.#shadowView, this.serverName);
  }

  #refresh(): void {
    const snapshot = this.#currentSnapshot();
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    // A policy that names a new CIDR gives its addresses a new identity: rules for it must be met
    // by connections that are already open.
    this.#meta = withCurrentIdentity(this.#meta, this.#identity, snapshot);
    this.#view = viewIn(snapshot, this.#meta);
    this.#shadowView = shadowIn(snapshot, this.#meta);
  }
}

function viewIn(snapshot: PolicySnapshot, meta: ConnectionMeta): RemoteView {
  return snapshot
    .endpoint(meta.endpointIp)
    .port(meta.direction, 'TCP', meta.port)
    .view(meta.proxyId, meta.remoteIdentity);
}

function shadowIn(snapshot: PolicySnapshot, meta: ConnectionMeta): RemoteView | null {
  return snapshot.shadow === null ? null : viewIn(snapshot.shadow, meta);
}
