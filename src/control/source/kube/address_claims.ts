/**
 * Whose an address is. The API lets several objects name one address: a pod that is gone and its successor, a stale
 * CiliumEndpoint, or somebody who wants to be taken for another. One of them has it, whatever came first.
 */
import type { IpAddress, IpText } from '../../../model/address.ts';
import { compareText } from '../../../policy/labels.ts';
import type { PodPrefixes } from './pod_prefixes.ts';

export interface Claim {
  readonly kind: 'workload' | 'node';
  /** Of the endpoint; two claims never share one. */
  readonly key: string;
  readonly rank: ClaimRank;
  /** Seconds since the epoch. */
  readonly createdS: number;
  /** Where it is; null: that is not known, or it is a node. */
  readonly nodeName: string | null;
  readonly claimedIps: readonly IpAddress[];
}

/**
 * Who comes first. A pod elsewhere never takes the address of a node, nor one that goes that of one that stays. A pod of
 * this node comes before all that is elsewhere: each kubelet writes the addresses of its own node and pods, and another
 * one must not take those that ours has given.
 */
export const CLAIM_RANKS = {
  ownNode: 0,
  ownLive: 1,
  node: 2,
  live: 3,
  terminating: 4,
  /** Cilium knows it, and its pod is gone or not seen yet. */
  withoutPod: 5,
  /** Of a node, as its CNI plugin says. */
  tunnel: 6,
} as const;

export type ClaimRank = (typeof CLAIM_RANKS)[keyof typeof CLAIM_RANKS];

export interface ContestedAddress {
  readonly ip: IpText;
  readonly owner: Claim;
  readonly others: readonly Claim[];
}

export class AddressClaims {
  readonly #prefixes: Pick<PodPrefixes, 'has'>;
  readonly #claims = new Map<IpText, Claim | readonly Claim[]>();
  readonly #contested = new Set<IpText>();
  #moved = new Set<Claim>();

  constructor(prefixes: Pick<PodPrefixes, 'has'>) {
    this.#prefixes = prefixes;
  }

  /** Null: there is none, before or after. */
  replace(before: Claim | null, after: Claim | null): void {
    for (const { text } of before?.claimedIps ?? []) this.#remove(text, before as Claim);
    for (const { text } of after?.claimedIps ?? []) this.#add(text, after as Claim);
  }

  ownerOf(ip: IpText): Claim | null {
    const held = this.#claims.get(ip);
    if (held === undefined) return null;
    return isList(held) ? this.#firstOf(ip, held) : held;
  }

  /** Those beside the replaced ones whose addresses may have come or gone since the last question. */
  takeMoved(): ReadonlySet<Claim> {
    const moved = this.#moved;
    if (moved.size > 0) this.#moved = new Set();
    return moved;
  }

  /** Nodes have other prefixes for their pods: of what several claim, another one may be the owner. */
  recontest(): void {
    for (const ip of this.#contested) {
      for (const claim of this.#claims.get(ip) as readonly Claim[]) this.#moved.add(claim);
    }
  }

  /** Sorted by address. */
  contested(): readonly ContestedAddress[] {
    return [...this.#contested].sort(compareText).map((ip) => {
      const claims = this.#claims.get(ip) as readonly Claim[];
      const owner = this.#firstOf(ip, claims);
      const others = claims.filter((one) => one !== owner);
      return { ip, owner, others: others.sort((a, b) => compareText(a.key, b.key)) };
    });
  }

  /** By rank, then where the address is at home, then the newest; the rest makes it the same one whatever came first. */
  #firstOf(ip: IpText, claims: readonly Claim[]): Claim {
    const ranked = claims.map((claim) => ({ claim, isAtHome: this.#isAtHome(ip, claim) }));
    return ranked.reduce((best, one) => (isBefore(one, best) ? one : best)).claim;
  }

  #isAtHome(ip: IpText, { nodeName, claimedIps }: Claim): boolean {
    const address = claimedIps.find(({ text }) => text === ip);
    return nodeName !== null && address !== undefined && this.#prefixes.has(nodeName, address);
  }

  #add(ip: IpText, claim: Claim): void {
    const held = this.#claims.get(ip);
    if (held === undefined) {
      this.#claims.set(ip, claim);
      return;
    }
    const others = isList(held) ? held : [held];
    for (const other of others) this.#moved.add(other);
    this.#claims.set(ip, [...others, claim]);
    this.#contested.add(ip);
  }

  #remove(ip: IpText, claim: Claim): void {
    const held = this.#claims.get(ip);
    if (held === undefined || held === claim) {
      this.#claims.delete(ip);
      return;
    }
    const others = isList(held) ? held.filter((one) => one !== claim) : [held];
    for (const other of others) this.#moved.add(other);
    if (others.length > 1) {
      this.#claims.set(ip, others);
    } else {
      this.#claims.set(ip, others[0] as Claim);
      this.#contested.delete(ip);
    }
  }
}

/** A pod, and whether its address is of those that its node has for pods. */
interface Ranked {
  readonly claim: Claim;
  readonly isAtHome: boolean;
}

function isList(held: Claim | readonly Claim[]): held is readonly Claim[] {
  return Array.isArray(held);
}

function isBefore({ claim: a, ...one }: Ranked, { claim: b, ...other }: Ranked): boolean {
  if (a.rank !== b.rank) return a.rank < b.rank;
  if (one.isAtHome !== other.isAtHome) return one.isAtHome;
  if (a.createdS !== b.createdS) return a.createdS > b.createdS;
  return a.key < b.key;
}
