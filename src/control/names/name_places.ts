/**
 * For a kernel that is not told who has a name: each `toFQDNs` selects an address to which nothing is sent, so that its
 * rules have their ports in the tables, and what goes to addresses of the world there is shown to the proxy, which knows.
 * Cilium gives such selectors an identity before there is an address, too (tofqdns-preallocate-identities).
 */
import { type IpAddress, ipFromBytes } from '../../model/address.ts';
import { LABEL_SOURCE_FQDN } from '../../policy/labels.ts';
import type { LearnedAddress } from '../../policy/resolve/inventory.ts';
import type { PolicyDocument } from '../decode/policy_document.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import { FqdnSelectors } from './fqdn_selectors.ts';

export class NamePlaces {
  #documents: readonly PolicyDocument[] = [];
  #selectors = FqdnSelectors.NONE;
  #places: readonly LearnedAddress[] = [];

  joined(input: PolicyInput): PolicyInput {
    this.#select(input.documents);
    if (this.#places.length === 0) return input;
    return {
      ...input,
      inventory: { ...input.inventory, learned: this.#places },
      parts: [...input.parts, this.#places],
    };
  }

  #select(documents: readonly PolicyDocument[]): void {
    if (documents === this.#documents) return;
    this.#documents = documents;
    const selectors = FqdnSelectors.of(documents.flatMap(({ specs }) => specs));
    if (selectors.isSameAs(this.#selectors)) return;
    this.#selectors = selectors;
    this.#places = selectors.texts.map((text, index) => ({
      address: discarded(index + 1),
      labels: [`${LABEL_SOURCE_FQDN}:${text}`],
    }));
  }
}

/** In 100::/64, where everything is thrown away (RFC 6666). */
function discarded(number: number): IpAddress {
  const bytes = new Uint8Array(16);
  bytes[0] = 0x01;
  new DataView(bytes.buffer).setUint32(12, number);
  return ipFromBytes(bytes);
}
