/**
 * hot path
 *
 * Who holds the connections of a worker: by the identity of the client, and within it by its address. What a bound
 * leaves is shared between identities first, so that many addresses are not many shares, and between the addresses
 * of an identity then.
 *
 *     Holders ── identity 43 ─┬─ 10.0.0.8 ── spare: half-open, denied only │ idle │ busy
 *                             └─ 10.0.0.9 ── ...
 *             ── identity 2 ──── ...
 */
import { parseIp, type SocketAddress } from '../../model/address.ts';
import { type Identity, LOCAL_IDENTITY_FLAG, RESERVED_IDENTITIES } from '../../model/identity.ts';
import type { ShareState } from '../../model/record.ts';
import { Linked, LinkedList, Ranked, Ranking } from './ranking.ts';

/** What a share can be asked and told; the connection itself. */
export interface Evictable {
  /** Of any byte, in either direction. */
  lastMoveMs(): number;
  /** Bytes that are kept for a peer or until more of them come, about. */
  heldBytes(): number;
  /** Closed now, to make room. */
  evict(): void;
}

/** One connection's place among those of its holder. */
export class Share extends Linked {
  readonly connection: Evictable;
  holder: AddressHolder | null = null;
  /** Something was allowed on it. */
  isProven = false;
  /** Since when it is not busy. */
  restingSinceMs: number;
  #openCount = 0;

  constructor(connection: Evictable, nowMs: number) {
    super();
    this.connection = connection;
    this.restingSinceMs = nowMs;
  }

  /** Requests, streams and tunnels in hand. */
  get openCount(): number {
    return this.#openCount;
  }

  get state(): ShareState {
    if (this.#openCount > 0) return 'busy';
    return this.isProven ? 'idle' : 'spare';
  }

  /** The holder is asked to do without more, or the whole worker is. */
  get isRefused(): boolean {
    const { holder } = this;
    return holder !== null && (holder.isRefused || holder.identity.holders.isOverloaded);
  }

  /** A request, stream or tunnel has begun. */
  requestOpened(): void {
    this.#openCount += 1;
    const { holder } = this;
    if (holder === null) return;
    this.#count(holder, 1);
    if (this.#openCount === 1) holder.busy.push(this);
  }

  requestClosed(isAllowed: boolean, nowMs: number): void {
    this.#openCount -= 1;
    if (isAllowed) this.isProven = true;
    const { holder } = this;
    if (holder === null) return;
    this.#count(holder, -1);
    if (this.#openCount === 0) this.#rest(holder, nowMs);
  }

  /** Its last bytes are out, and nothing is asked any more: as cheap to lose as one that never did anything. */
  closing(nowMs: number): void {
    this.isProven = false;
    if (this.holder !== null && this.#openCount === 0) this.#rest(this.holder, nowMs);
  }

  #count(holder: AddressHolder, change: number): void {
    holder.identity.holders.requestCount += change;
  }

  #rest(holder: AddressHolder, nowMs: number): void {
    this.restingSinceMs = nowMs;
    (this.isProven ? holder.idle : holder.spare).push(this);
  }

  /** To another holder; null: to none. */
  moveTo(holder: AddressHolder | null): void {
    const before = this.holder;
    if (before !== null) {
      this.list?.remove(this);
      this.#count(before, -this.#openCount);
      before.left();
    }
    this.holder = holder;
    if (holder === null) return;
    holder.joined();
    this.#count(holder, this.#openCount);
    holder[this.state].push(this);
  }
}

export class AddressHolder extends Ranked {
  readonly identity: IdentityHolder;
  readonly address: string;
  readonly spare = new LinkedList();
  readonly idle = new LinkedList();
  readonly busy = new LinkedList();
  isRefused = false;
  /** Scratch value of a search for the largest holder by something other than connections. */
  measure = 0;

  constructor(identity: IdentityHolder, address: string) {
    super();
    this.identity = identity;
    this.address = address;
  }

  joined(): void {
    this.identity.addresses.set(this.address, this);
    this.identity.ranking.added(this);
    this.identity.joined();
  }

  left(): void {
    this.identity.ranking.removed(this);
    if (this.count === 0) this.identity.addresses.delete(this.address);
    this.identity.left();
  }
}

export class IdentityHolder extends Ranked {
  readonly holders: Holders;
  readonly identity: Identity;
  readonly addresses = new Map<string, AddressHolder>();
  readonly ranking = new Ranking<AddressHolder>();
  measure = 0;

  constructor(holders: Holders, identity: Identity) {
    super();
    this.holders = holders;
    this.identity = identity;
  }

  joined(): void {
    this.holders.identities.set(this.identity, this);
    this.holders.ranking.added(this);
    this.holders.count += 1;
  }

  left(): void {
    this.holders.ranking.removed(this);
    if (this.count === 0) this.holders.identities.delete(this.identity);
    this.holders.count -= 1;
  }
}

export class Holders {
  readonly identities = new Map<Identity, IdentityHolder>();
  readonly ranking = new Ranking<IdentityHolder>();
  /** Connections that were admitted. */
  count = 0;
  /** Requests, streams and tunnels in hand. */
  requestCount = 0;
  /** Nobody is given anything. */
  isOverloaded = false;

  /** The one of a client; made anew when it has no connection. Counted once a share has moved to it. */
  of(identity: Identity, client: SocketAddress): AddressHolder {
    const byIdentity = this.identities.get(identity) ?? new IdentityHolder(this, identity);
    const address = holderAddress(identity, client);
    return byIdentity.addresses.get(address) ?? new AddressHolder(byIdentity, address);
  }

  /** Every address that holds something. */
  *addresses(): Iterable<AddressHolder> {
    for (const { addresses } of this.identities.values()) yield* addresses.values();
  }
}

/** One host outside of the cluster has a whole /64 of IPv6 addresses, and would have as many shares. */
function holderAddress(identity: Identity, { ip, family }: SocketAddress): string {
  if (family === 4 || !isOutside(identity)) return ip;
  const bytes = parseIp(ip)?.bytes.subarray(0, 8) ?? new Uint8Array();
  return `${Buffer.from(bytes).toString('hex')}/64`;
}

/** World, in its forms for IPv4 and IPv6 too, and identities of CIDRs. */
function isOutside(identity: Identity): boolean {
  const { world } = RESERVED_IDENTITIES;
  return (
    identity === world ||
    identity === RESERVED_IDENTITIES['world-ipv4'] ||
    identity === RESERVED_IDENTITIES['world-ipv6'] ||
    identity >= LOCAL_IDENTITY_FLAG
  );
}
