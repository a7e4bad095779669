/** Which `toFQDNs` of the policies select a name: only such names are learned, and their texts are the labels of addresses. */
import { canonicalName, matchFqdnPattern } from '../../policy/match/fqdn_pattern.ts';
import type { PolicySpec } from '../../policy/rule.ts';

export class FqdnSelectors {
  /** Of `matchName`, by the canonical name. */
  readonly #names = new Map<string, string>();
  readonly #patterns: readonly string[];

  constructor(specs: readonly PolicySpec[]) {
    const patterns = new Set<string>();
    for (const { rules } of specs) {
      for (const { peers } of rules) {
        for (const peer of peers ?? []) {
          if (peer.kind !== 'fqdn') continue;
          if (peer.matchName !== null) {
            this.#names.set(canonicalName(peer.matchName), peer.matchName);
          }
          if (peer.matchPattern !== null) patterns.add(peer.matchPattern);
        }
      }
    }
    this.#patterns = [...patterns].sort();
  }

  /** Texts of those that select the canonical name; none: nobody asks who has this name. */
  selecting(name: string): readonly string[] {
    const own = this.#names.get(name);
    const matching = this.#patterns.filter((pattern) => matchFqdnPattern(pattern, name));
    return own === undefined || matching.includes(own) ? matching : [own, ...matching];
  }
}
