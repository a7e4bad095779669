/**
 * hot path
 *
 * The policy as one connection sees it: keeps the view of the snapshot in force, and makes a new one
 * when the snapshot is another. So each decision is by the policy of its moment.
 */
import type { ConnectionMeta, Half } from '../../model/connection_meta.ts';
import type { Decision, DenyDecision, DenyReason } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { View } from '../../policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import {
  DENY_IDENTITY_CHANGED,
  DENY_NOT_JUDGEABLE,
  decideConnection,
  decideDns,
  decideRequest,
} from '../../policy/decide/decide.ts';
import type { CiliumIdentities } from '../../redirect/cilium_maps.ts';
import type { IdentityOption } from '../plane/options.ts';
import { confirmed } from '../resolve/recorded.ts';
import { withCurrentIdentity } from '../resolve/resolve.ts';
import { BothHalves, headAfter } from './both_halves.ts';

export interface SubjectContext {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly identity: IdentityOption;
  readonly cilium: CiliumIdentities | null;
}

/** What one snapshot says of a connection: a view for each half that is asked. */
interface Views {
  readonly first: View;
  readonly second: View | null;
  readonly both: BothHalves;
}

export class PolicySubject {
  readonly #identity: IdentityOption;
  readonly #cilium: CiliumIdentities | null;
  #meta: ConnectionMeta;
  readonly #currentSnapshot: () => PolicySnapshot;
  #snapshot: PolicySnapshot;
  /** Null: the sides are not who they were when the connection began; nothing is allowed ever again. */
  #views: Views | null = null;
  #shadowViews: Views | null = null;
  /** Of a TLS connection; "" for others. */
  serverName = '';

  constructor(meta: ConnectionMeta, context: SubjectContext) {
    this.#currentSnapshot = context.currentSnapshot;
    this.#identity = context.identity;
    this.#cilium = context.cilium;
    this.#snapshot = context.currentSnapshot();
    this.#meta = meta;
    this.#look();
  }

  /** With the identity that the last decision was made for. */
  get meta(): ConnectionMeta {
    return this.#meta;
  }

  /** By which the last decision was made. */
  get snapshot(): PolicySnapshot {
    return this.#snapshot;
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

  /** Of what cannot be looked into: HTTP rules cannot be judged inside of TLS, so where there are any nothing passes. */
  judgeOpaque(): Decision {
    const decision = this.judgeConnection();
    return decision.verdict === 'allow' && this.hasL7Rules ? DENY_NOT_JUDGEABLE : decision;
  }

  judgeRequest(head: RequestHead): Decision {
    this.#refresh();
    return this.#requestBy(this.#views, head);
  }

  /** `name`: what a DNS question asks for. */
  judgeQuestion(name: string): Decision {
    this.#refresh();
    return this.#questionBy(this.#views, name);
  }

  shadowQuestion(name: string): Decision | null {
    return this.#shadowViews === null ? null : this.#questionBy(this.#shadowViews, name);
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
    const { first, second, both } = views;
    const decision = decideConnection(first, this.serverName);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    return both.of(decision, decideConnection(second, this.serverName));
  }

  #requestBy(views: Views | null, head: RequestHead): Decision {
    if (views === null) return DENY_IDENTITY_CHANGED;
    const { first, second, both } = views;
    const decision = decideRequest(first, this.serverName, head);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    const seen = headAfter(head, decision.mutations);
    return both.of(decision, decideRequest(second, this.serverName, seen));
  }

  #questionBy(views: Views | null, name: string): Decision {
    if (views === null) return DENY_IDENTITY_CHANGED;
    const { first, second, both } = views;
    const decision = decideDns(first, name);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    return both.of(decision, decideDns(second, name));
  }

  #refresh(): void {
    const snapshot = this.#currentSnapshot();
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    // Who had an address and has it again is still not who has it in between.
    if (this.#views !== null) this.#look();
  }

  /**
   * A policy that names a new CIDR gives its addresses a new identity: rules for it must be met by
   * connections that are already open.
   */
  #look(): void {
    const snapshot = this.#snapshot;
    const known = { snapshot, cilium: this.#cilium };
    const meta = confirmed(withCurrentIdentity(this.#meta, this.#identity, known), snapshot);
    this.#meta = meta ?? this.#meta;
    this.#views = meta === null ? null : viewsIn(snapshot, meta);
    this.#shadowViews = meta === null ? null : shadowIn(snapshot, meta);
  }
}

/** No server name that is still to come would make an allow of it. */
export function isForAnyName({ reason }: DenyDecision): boolean {
  return FOR_ANY_NAME.has(reason);
}

const FOR_ANY_NAME: ReadonlySet<DenyReason> = new Set([
  'no-policy',
  'no-port-rule',
  'remote-not-allowed',
  'identity-changed',
  'internal-error',
]);

function viewsIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views {
  return {
    first: viewIn(snapshot, meta, meta),
    second: meta.second === null ? null : viewIn(snapshot, meta, meta.second),
    both: new BothHalves(),
  };
}

function viewIn(snapshot: PolicySnapshot, meta: ConnectionMeta, half: Half): View {
  return snapshot
    .endpoint(half.endpointIp)
    .port(half.direction, meta.transport, meta.port)
    .view(meta.proxyId, half.remoteIdentity);
}

function shadowIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views | null {
  return snapshot.shadow === null ? null : viewsIn(snapshot.shadow, meta);
}
