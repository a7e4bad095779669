/**
 * hot path
 *
 * The policy as one connection sees it: keeps the view of the snapshot in force, and makes a new one
 * when the snapshot is another. So each decision is by the policy of its moment.
 */
import type { Behind, ConnectionMeta, Half } from '../../model/connection_meta.ts';
import type { Decision, DenyDecision, DenyReason } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import { BEHIND_ASKED_MAX } from '../../model/service_frontend.ts';
import type { View } from '../../policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import {
  DENY_IDENTITY_CHANGED,
  DENY_MANY_BACKENDS,
  DENY_NOT_JUDGEABLE,
  DENY_WITHOUT_BACKEND,
  decideConnection,
  decideDns,
  decideRequest,
} from '../../policy/decide/decide.ts';
import type { CiliumIdentities } from '../../redirect/cilium_maps.ts';
import type { IdentityOption } from '../plane/options.ts';
import { withDialled } from '../resolve/dialled.ts';
import { confirmed } from '../resolve/recorded.ts';
import { withCurrentIdentity } from '../resolve/resolve.ts';
import { AllBehind, distinctViews, isPlainView } from './all_behind.ts';
import { BothHalves, headAfter } from './both_halves.ts';

export interface SubjectContext {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly identity: IdentityOption;
  readonly cilium: CiliumIdentities | null;
}

/** What one snapshot says of a connection: a view for each half that is asked. */
interface Views {
  /** Of the first half; at a Service, about one of those behind it. */
  readonly first: View;
  /** About the others that may be behind the Service; null: there are none. */
  readonly others: AllBehind | null;
  readonly second: View | null;
  readonly both: BothHalves;
}

export class PolicySubject {
  readonly #identity: IdentityOption;
  readonly #cilium: CiliumIdentities | null;
  #meta: ConnectionMeta;
  readonly #currentSnapshot: () => PolicySnapshot;
  #snapshot: PolicySnapshot;
  /** Null: nothing is allowed. */
  #views: Views | null = null;
  /** The sides are not who they were when the connection began; nothing is allowed ever again. */
  #isOver = false;
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
    return (
      views === null ||
      views.first.hasL7Rules ||
      views.others?.hasL7Rules === true ||
      views.second?.hasL7Rules === true
    );
  }

  /** True where the rules are about DNS questions and about nothing else: then these are what is spoken. */
  get isForQuestions(): boolean {
    this.#refresh();
    if (this.#views === null) return false;
    const { first, second } = this.#views;
    const halves = second === null ? [first] : [first, second];
    return (
      halves.some(({ applicable }) => applicable.hasDns) &&
      !halves.some(({ applicable }) => applicable.hasOtherL7)
    );
  }

  /**
   * True where only who talks to whom is judged: no rule that can apply looks at a server name or at what is said. To a
   * kernel that knows the remote this is an allow, and such a connection never comes here.
   */
  get isPlain(): boolean {
    this.#refresh();
    const shadow = this.#shadowViews;
    return arePlain(this.#views) && (shadow === null || arePlain(shadow));
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

  /** Of bytes that nobody looks at, as nothing would be made of them. */
  judgePlain(): Decision {
    const decision = this.judgeConnection();
    return decision.verdict === 'allow' && !this.isPlain ? DENY_NOT_JUDGEABLE : decision;
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
    if (views === null) return this.#nothing;
    const { first, others, second, both } = views;
    let decision = decideConnection(first, this.serverName);
    if (others !== null) decision = others.connection(decision, this.serverName);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    return both.of(decision, decideConnection(second, this.serverName));
  }

  #requestBy(views: Views | null, head: RequestHead): Decision {
    if (views === null) return this.#nothing;
    const { first, others, second, both } = views;
    let decision = decideRequest(first, this.serverName, head);
    if (others !== null) decision = others.request(decision, this.serverName, head);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    const seen = headAfter(head, decision.mutations);
    return both.of(decision, decideRequest(second, this.serverName, seen));
  }

  #questionBy(views: Views | null, name: string): Decision {
    if (views === null) return this.#nothing;
    const { first, others, second, both } = views;
    let decision = decideDns(first, name);
    if (others !== null) decision = others.question(decision, name);
    if (second === null) return decision;
    if (decision.verdict === 'deny') return both.of(decision, null);
    return both.of(decision, decideDns(second, name));
  }

  get #nothing(): DenyDecision {
    if (this.#isOver) return DENY_IDENTITY_CHANGED;
    return this.#meta.dialled?.behind.length === 0 ? DENY_WITHOUT_BACKEND : DENY_MANY_BACKENDS;
  }

  #refresh(): void {
    const snapshot = this.#currentSnapshot();
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    // Who had an address and has it again is still not who has it in between.
    if (!this.#isOver) this.#look();
  }

  /**
   * A policy that names a new CIDR gives its addresses a new identity: rules for it must be met by
   * connections that are already open.
   */
  #look(): void {
    const snapshot = this.#snapshot;
    const known = { snapshot, cilium: this.#cilium };
    const meta = confirmed(withCurrentIdentity(this.#meta, this.#identity, known), snapshot);
    this.#isOver = meta === null;
    this.#meta = meta === null ? this.#meta : withDialled(meta, this.#identity, known);
    this.#views = meta === null ? null : viewsIn(snapshot, this.#meta);
    this.#shadowViews = meta === null ? null : shadowIn(snapshot, this.#meta);
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
  'service-without-backend',
  'service-backends-many',
  'internal-error',
]);

/** Null: the Service has no backend, or too many different ones. */
function viewsIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views | null {
  const { dialled, second } = meta;
  if (dialled !== null && dialled.behind.length > BEHIND_ASKED_MAX) return null;
  const [first, ...others] =
    dialled === null
      ? [viewIn(snapshot, meta, meta)]
      : distinctViews(dialled.behind.map((one) => viewBehind(snapshot, meta, one)));
  if (first === undefined) return null;
  return {
    first,
    others: others.length === 0 ? null : new AllBehind(others),
    second: second === null ? null : viewIn(snapshot, meta, second),
    both: new BothHalves(),
  };
}

function arePlain(views: Views | null): boolean {
  if (views === null) return false;
  const { first, others, second } = views;
  return (
    isPlainView(first) && others?.isPlain !== false && (second === null || isPlainView(second))
  );
}

function viewIn(snapshot: PolicySnapshot, meta: ConnectionMeta, half: Half): View {
  return snapshot
    .endpoint(half.endpointIp)
    .port(half.direction, meta.transport, meta.port)
    .view(meta.proxyId, half.remoteIdentity);
}

function viewBehind(
  snapshot: PolicySnapshot,
  { endpointIp, direction, transport, proxyId }: ConnectionMeta,
  { identity, port }: Behind,
): View {
  return snapshot.endpoint(endpointIp).port(direction, transport, port).view(proxyId, identity);
}

function shadowIn(snapshot: PolicySnapshot, meta: ConnectionMeta): Views | null {
  return snapshot.shadow === null ? null : viewsIn(snapshot.shadow, meta);
}
