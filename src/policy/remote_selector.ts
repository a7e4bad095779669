/**
 * Who a rule is about, as a question that can be asked of one identity: of those that are known when the rule is
 * read and of those that come later. Plain values.
 */
import type { IpPrefix } from '../model/address.ts';
import type { LabelSelector } from './selector.ts';

export type RemoteSelector = {
  /** One text for selectors that select the same, whatever there is. */
  readonly key: string;
} & RemoteQuestion;

export type RemoteQuestion =
  | { readonly kind: 'labels'; readonly selector: LabelSelector }
  | ({ readonly kind: 'prefixes' } & PrefixQuestion)
  /** Of toFQDNs; normalised. */
  | { readonly kind: 'fqdn'; readonly text: string; readonly isPattern: boolean };

export interface PrefixQuestion {
  readonly prefixes: readonly IpPrefix[];
  readonly except: readonly IpPrefix[];
  readonly mode: CidrMode;
}

/**
 * `every`: an identity that stands for several prefixes is selected by a CIDR that covers all of
 * them (what an allow needs); `some`: by one that covers any of them (what a deny needs).
 */
export type CidrMode = 'every' | 'some';
