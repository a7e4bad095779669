/**
 * What DNS answers teach, beside a set of policies: lookups come in, the set comes out with the addresses that its
 * `toFQDNs` select. Time comes in as well.
 *
 *     lookup ──► is the name selected? are the addresses nobody's in the cluster? ──► NameCache
 *     set ──────────────────────────────────────────► joined: inventory.learned ◄──────┘
 */
import { type IpAddress, type IpPrefix, type IpText, parseIp } from '../../model/address.ts';
import type { Limits } from '../../model/limits.ts';
import { type NameCounts, NO_NAMES, type UnlearnableReason } from '../../model/name_counts.ts';
import type { PolicyDocument } from '../decode/policy_document.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import { InventoryAddresses } from './cluster_addresses.ts';
import { FqdnSelectors } from './fqdn_selectors.ts';
import { LearnedAddresses } from './learned_addresses.ts';
import { type Lookup, NameCache, type NamedAddress } from './name_cache.ts';
import { whyUnlearnable } from './unlearnable.ts';

export interface NameLearningOptions {
  readonly limits: Limits;
  /** Of the machine itself: a name for one of them leads to the node (DNS rebinding). */
  readonly isOwnAddress: (ip: IpText) => boolean;
  /** Of the configuration: whatever is in them is nobody's by a name. */
  readonly neverLearned: readonly IpPrefix[];
}

export class NameLearning {
  readonly #options: NameLearningOptions;
  readonly #cache: NameCache;
  readonly #cluster: InventoryAddresses;
  readonly #addresses: LearnedAddresses;
  #documents: readonly PolicyDocument[] = [];
  #selectors = FqdnSelectors.NONE;
  readonly #refused = { ...NO_NAMES.refused };

  constructor(options: NameLearningOptions) {
    const { limits } = options;
    this.#options = options;
    this.#cluster = new InventoryAddresses(options.neverLearned);
    this.#cache = new NameCache({
      nameAddressCountMax: limits.dnsLearnedNameAddressCountMax,
      holderAddressCountMax: limits.dnsLearnedEndpointAddressCountMax,
      addressNameCountMax: limits.dnsLearnedAddressNameCountMax,
      addressCountMax: limits.dnsLearnedAddressCountMax,
      ttlMinMs: limits.dnsLearnedTtlMinMs,
      ttlMaxMs: limits.dnsLearnedTtlMaxMs,
      graceMs: limits.dnsLearnedGraceMs,
    });
    this.#addresses = new LearnedAddresses(this.#cache, (ip) => this.#isLearnable(ip));
  }

  get counts(): NameCounts {
    const { nameCount, addressCount, learnedCount, evictedCount, expiredCount } = this.#cache;
    return {
      ...{ names: nameCount, addresses: addressCount },
      ...{ learned: learnedCount, evicted: evictedCount, expired: expiredCount },
      refused: { ...this.#refused },
    };
  }

  /** All that is kept, with its names. */
  entries(): Iterable<NamedAddress> {
    return this.#cache.entries();
  }

  /** The set with what its names have taught. */
  joined(input: PolicyInput): PolicyInput {
    const { prefixes } = this.#cluster;
    const moved = this.#cluster.follow(input.inventory);
    const areRangesSame = this.#cluster.prefixes === prefixes;
    this.#addresses.look(areRangesSame ? moved : this.#cache.ips());
    this.#select(input.documents);
    const learned = this.#addresses.list();
    // Where names are asked for, none is an answer as well: whoever goes on in another's place says it.
    if (learned.length === 0 && this.#selectors.isEmpty) return input;
    return {
      ...input,
      inventory: { ...input.inventory, learned },
      parts: [...input.parts, learned],
    };
  }

  /** True: it was of use, and is worth being remembered. */
  learn(lookup: Lookup, nowMs: number): boolean {
    if (this.#selectors.selecting(lookup.name).length === 0) return false;
    for (const address of lookup.addresses) {
      const reason = this.#whyRefused(address);
      if (reason !== null) this.#refused[reason]++;
    }
    return this.restore(lookup, nowMs);
  }

  /** That somebody learned before us, whatever is selected now. */
  restore(lookup: Lookup, nowMs: number): boolean {
    const addresses = lookup.addresses.filter(({ text }) => this.#isLearnable(text));
    if (addresses.length === 0) return false;
    this.#cache.learn({ ...lookup, addresses }, nowMs);
    return true;
  }

  markAlive(ips: Iterable<IpText>, nowMs: number): void {
    this.#cache.markAlive(ips, nowMs);
  }

  expire(nowMs: number): void {
    this.#cache.expire(nowMs);
  }

  #select(documents: readonly PolicyDocument[]): void {
    if (documents === this.#documents) return;
    this.#documents = documents;
    this.#selectors = selectorsOf(documents);
    this.#addresses.select(this.#selectors);
  }

  #isLearnable(ip: IpText): boolean {
    const address = parseIp(ip);
    return address !== null && this.#whyRefused(address) === null;
  }

  #whyRefused(address: IpAddress): UnlearnableReason | null {
    const isOwn = (): boolean => this.#options.isOwnAddress(address.text);
    return whyUnlearnable(address, this.#cluster) ?? (isOwn() ? 'own' : null);
  }
}

/** Rules in wire form are about numbers: whoever has one does not get another by a name. */
function selectorsOf(documents: readonly PolicyDocument[]): FqdnSelectors {
  const isByNumbers = documents.some(({ wirePolicies }) => wirePolicies.length > 0);
  return isByNumbers
    ? FqdnSelectors.NONE
    : FqdnSelectors.of(documents.flatMap(({ specs }) => specs));
}
