/**
 * A resolved set as bytes for another process, in parts that are each read in a millisecond or less: who
 * takes them serves traffic meanwhile. What is shared stays shared: rules between ports, sets of remotes
 * between rules, port policies between endpoints.
 *
 *     rules ─┐                            what comes later names what came before by its number
 *     remotes┼─ directions ── endpoints
 *     addresses, identities, the rest
 *
 * Where only rules are others, the addresses and identities of tens of thousands of endpoints stay behind.
 */
import { deserialize, serialize } from 'node:v8';
import type { Identity } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type {
  EndpointPolicy,
  HeaderMatcher,
  HttpRule,
  L7Rules,
  PortPolicy,
  PortRule,
} from '../../policy/ast.ts';
import type { IdentityEntry } from '../../policy/identity/identity_entry.ts';
import { Ipcache, type IpcacheEntry } from '../../policy/identity/ipcache.ts';
import { Roster } from '../../policy/identity/roster.ts';
import { matcherKey } from '../../policy/match/matcher_key.ts';
import type { RemoteSelector } from '../../policy/remote_selector.ts';
import type { ResolvedPolicies, ResolvedSet } from '../set/resolved_set.ts';
import {
  identityOf,
  prefixOf,
  type SentIdentity,
  type SentPrefix,
  sentIdentity,
  sentPrefix,
} from './identity_wire.ts';

export type ResolvedParts = readonly Uint8Array[];

/** What a kernel is told (`workloads`, `kernelOnly`) stays behind: no worker tells one. */
export function encodeResolved(set: ResolvedSet): ResolvedParts {
  return new Encoder().encode(set);
}

/** Without who is who: for those who have it. */
export function encodeRules(set: ResolvedSet): ResolvedParts {
  return new Encoder().encodeRules(set);
}

/** Throws for parts that `encodeResolved` did not make. */
export function* decodeResolved(parts: ResolvedParts): Steps<ResolvedSet> {
  return (yield* decoded(parts)).set();
}

export interface ResolvedRules extends Omit<ResolvedSet, 'roster'> {
  /** Of the last batch of identities when they were resolved. */
  readonly sequence: number;
}

/** Throws for parts that `encodeRules` did not make. */
export function* decodeRules(parts: ResolvedParts): Steps<ResolvedRules> {
  return (yield* decoded(parts)).rules();
}

function* decoded(parts: ResolvedParts): Steps<Decoder> {
  const decoder = new Decoder();
  for (const part of parts) {
    yield;
    decoder.take(deserialize(part) as Part);
  }
  yield;
  return decoder;
}

type Part =
  | { readonly kind: 'rules'; readonly items: readonly HttpRule[] }
  | { readonly kind: 'remotes'; readonly items: readonly Uint32Array[] }
  | { readonly kind: 'directions'; readonly items: readonly (readonly SentPort[])[] }
  | { readonly kind: 'endpoints'; readonly items: readonly SentEndpoint[] }
  | { readonly kind: 'addresses'; readonly items: readonly SentAddress[] }
  | { readonly kind: 'identities'; readonly items: readonly SentIdentity[] }
  | { readonly kind: 'rest'; readonly items: readonly [SentRest] };

type SentAddress = readonly [...SentPrefix, identity: Identity];

interface SentPort extends Omit<PortPolicy, 'rules'> {
  readonly rules: readonly SentRule[];
}

interface SentRule extends Omit<PortRule, 'remotes' | 'l7'> {
  /** Number of the set; null: any remote, or whom the selector selects there. */
  readonly remotes: number | null;
  /** HTTP rules by their numbers. */
  readonly l7: Exclude<L7Rules, { kind: 'http' }> | { kind: 'http'; numbers: Uint32Array };
}

interface SentEndpoint
  extends Pick<EndpointPolicy, 'name' | 'endpointIps' | 'endpointId' | 'subject'> {
  readonly isShadow: boolean;
  readonly ingress: number;
  readonly egress: number;
}

interface SentRest {
  /** This one included: a set of which a part is missing is none. */
  readonly partCount: number;
  /** Of the roster. */
  readonly sequence: number;
  /** The roster is in the parts. */
  readonly isWhole: boolean;
  readonly names: readonly string[];
  /** Null: there is no shadow. */
  readonly shadowNames: readonly string[] | null;
  readonly secrets: ReadonlyMap<string, string>;
}

/** Of each kind, in one part: what takes about half a millisecond to read. */
const ITEMS_PER_PART = {
  rules: 150,
  remotes: 5000,
  directions: 150,
  endpoints: 300,
  addresses: 300,
  identities: 300,
  rest: 1,
} as const satisfies Record<Part['kind'], number>;

class Encoder {
  readonly #rules = new Numbers<HttpRule>();
  readonly #remotes = new Numbers<ReadonlySet<Identity>>();
  readonly #directions = new Numbers<readonly PortPolicy[]>();
  readonly #parts: Uint8Array[] = [];

  encode(set: ResolvedSet): ResolvedParts {
    this.#addRules(set);
    const { roster } = set;
    const addresses = roster.ipcache.entries.map(
      ({ prefix, identity }): SentAddress => [...sentPrefix(prefix), identity],
    );
    this.#add('addresses', addresses, () => 1);
    this.#add('identities', Array.from(roster.entries(), sentIdentity), () => 1);
    return this.#finished(set, true);
  }

  encodeRules(set: ResolvedSet): ResolvedParts {
    this.#addRules(set);
    return this.#finished(set, false);
  }

  #addRules(set: ResolvedSet): void {
    const endpoints = [
      ...this.#endpoints(set.enforced, false),
      ...(set.shadow === null ? [] : this.#endpoints(set.shadow, true)),
    ];
    // Gives numbers to rules and remotes, so before those.
    const directions = this.#directions.all().map((ports) => ports.map((port) => this.#port(port)));
    this.#add('rules', this.#rules.all(), () => 1);
    const remotes = this.#remotes.all().map((identities) => Uint32Array.from(identities));
    this.#add('remotes', remotes, ({ length }) => length);
    this.#add('directions', directions, weightOfDirection);
    this.#add('endpoints', endpoints, () => 1);
  }

  #finished({ secrets, enforced, shadow, roster }: ResolvedSet, isWhole: boolean): ResolvedParts {
    const rest: SentRest = {
      partCount: this.#parts.length + 1,
      sequence: roster.sequence,
      isWhole,
      names: enforced.names,
      shadowNames: shadow?.names ?? null,
      secrets,
    };
    this.#add('rest', [rest], () => 1);
    return this.#parts;
  }

  #endpoints({ policies }: ResolvedPolicies, isShadow: boolean): readonly SentEndpoint[] {
    return policies.map(({ name, endpointIps, endpointId, subject, ingress, egress }) => ({
      name,
      endpointIps,
      endpointId,
      ...(subject === undefined ? {} : { subject }),
      isShadow,
      ingress: this.#directions.of(ingress),
      egress: this.#directions.of(egress),
    }));
  }

  #port({ port, endPort, protocol, rules }: PortPolicy): SentPort {
    return { port, endPort, protocol, rules: rules.map((rule) => this.#rule(rule)) };
  }

  #rule(rule: PortRule): SentRule {
    const { l7, remotes, selector } = rule;
    return {
      ...rule,
      // Who has the selector asks it anew.
      remotes: remotes === null || selector !== undefined ? null : this.#remotes.of(remotes),
      l7:
        l7.kind === 'http'
          ? { kind: 'http', numbers: Uint32Array.from(l7.rules, (one) => this.#rules.of(one)) }
          : l7,
    };
  }

  #add<Item>(kind: Part['kind'], items: readonly Item[], weightOf: (item: Item) => number): void {
    let own: Item[] = [];
    let weight = 0;
    for (const item of items) {
      own.push(item);
      weight += 1 + weightOf(item);
      if (weight < 2 * ITEMS_PER_PART[kind]) continue;
      this.#parts.push(serialize({ kind, items: own }));
      own = [];
      weight = 0;
    }
    if (own.length > 0) this.#parts.push(serialize({ kind, items: own }));
  }
}

function weightOfDirection(ports: readonly SentPort[]): number {
  let weight = 0;
  for (const { rules } of ports) weight += rules.length;
  return weight;
}

/** Numbers things in the order in which they are first named; the same thing has one number. */
class Numbers<Item> {
  readonly #numbers = new Map<Item, number>();

  of(item: Item): number {
    let number = this.#numbers.get(item);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(item, number);
    }
    return number;
  }

  all(): readonly Item[] {
    return [...this.#numbers.keys()];
  }
}

const NOBODY: ReadonlySet<Identity> = new Set();
const NO_HEADER_MATCHES: HttpRule['headerMatches'] = Object.freeze([]);

class Decoder {
  readonly #rules: HttpRule[] = [];
  readonly #remotes: ReadonlySet<Identity>[] = [];
  readonly #directions: (readonly PortPolicy[])[] = [];
  readonly #policies: EndpointPolicy[] = [];
  readonly #shadowPolicies: EndpointPolicy[] = [];
  readonly #addresses: IpcacheEntry[] = [];
  readonly #identities: IdentityEntry[] = [];
  readonly #selectors = new Map<string, RemoteSelector>();
  readonly #policyNames = new Map<string, string>();
  readonly #matchers = new Map<string, HeaderMatcher>();
  #rest: SentRest | null = null;
  #partCount = 0;

  take(part: Part): void {
    this.#partCount += 1;
    switch (part.kind) {
      case 'rules':
        for (const rule of part.items) this.#rules.push(this.#shared(rule));
        break;
      case 'remotes':
        for (const identities of part.items) {
          this.#remotes.push(new Set(identities as Iterable<number> as Iterable<Identity>));
        }
        break;
      case 'directions':
        for (const ports of part.items) this.#directions.push(ports.map((one) => this.#port(one)));
        break;
      case 'endpoints':
        for (const endpoint of part.items) this.#endpoint(endpoint);
        break;
      case 'addresses':
        for (const [bytes, length, identity] of part.items) {
          this.#addresses.push({ prefix: prefixOf([bytes, length]), identity });
        }
        break;
      case 'identities':
        for (const identity of part.items) this.#identities.push(identityOf(identity));
        break;
      case 'rest':
        [this.#rest] = part.items;
        break;
    }
  }

  set(): ResolvedSet {
    const { sequence, ...rules } = this.#finish(true);
    return {
      ...rules,
      roster: Roster.of(sequence, new Ipcache(this.#addresses), this.#identities),
    };
  }

  rules(): ResolvedRules {
    return this.#finish(false);
  }

  #finish(isWhole: boolean): ResolvedRules {
    const rest = this.#rest;
    if (rest?.partCount !== this.#partCount || rest.isWhole !== isWhole)
      throw new Error('a resolved set without all its parts');
    return {
      sequence: rest.sequence,
      enforced: { policies: this.#policies, names: rest.names },
      shadow:
        rest.shadowNames === null
          ? null
          : { policies: this.#shadowPolicies, names: rest.shadowNames },
      secrets: rest.secrets,
      workloads: [],
    };
  }

  /** Thousands of rules name one policy and one method: what is the same is kept once. */
  #shared({ origin, matchers, headerMatches }: HttpRule): HttpRule {
    const policy = this.#policyNames.get(origin.policy) ?? origin.policy;
    this.#policyNames.set(policy, policy);
    return {
      origin: { policy, rule: origin.rule },
      matchers: matchers.map((matcher) => this.#sharedMatcher(matcher)),
      headerMatches: headerMatches.length === 0 ? NO_HEADER_MATCHES : headerMatches,
    };
  }

  /** Rules of one selector are many. */
  #sharedSelector(selector: RemoteSelector): RemoteSelector {
    const known = this.#selectors.get(selector.key) ?? selector;
    this.#selectors.set(known.key, known);
    return known;
  }

  #sharedMatcher(matcher: HeaderMatcher): HeaderMatcher {
    // Paths are mostly all different.
    if (matcher.value.kind !== 'regex' || matcher.name === ':path') return matcher;
    const key = matcherKey(matcher);
    const known = this.#matchers.get(key);
    if (known !== undefined) return known;
    this.#matchers.set(key, matcher);
    return matcher;
  }

  #endpoint({ isShadow, ingress, egress, ...endpoint }: SentEndpoint): void {
    const policies = isShadow ? this.#shadowPolicies : this.#policies;
    policies.push({
      ...endpoint,
      ingress: known(this.#directions, ingress),
      egress: known(this.#directions, egress),
    });
  }

  #port({ rules, ...port }: SentPort): PortPolicy {
    return { ...port, rules: rules.map((rule) => this.#rule(rule)) };
  }

  #rule({ remotes, selector, l7, ...rule }: SentRule): PortRule {
    return {
      ...rule,
      ...(selector === undefined ? {} : { selector: this.#sharedSelector(selector) }),
      remotes:
        remotes === null ? (selector === undefined ? null : NOBODY) : known(this.#remotes, remotes),
      l7:
        l7.kind === 'http'
          ? { kind: 'http', rules: Array.from(l7.numbers, (one) => known(this.#rules, one)) }
          : l7,
    };
  }
}

/** A number that nothing has is no rule less: it is no set at all. */
function known<Item>(items: readonly Item[], number: number): Item {
  const item = items[number];
  if (item === undefined) throw new Error(`a resolved set without its item ${number}`);
  return item;
}
