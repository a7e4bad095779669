/**
 * Bodies of reviews that are not answered yet, within bounds for all and for each client. Where there is no room, whoever
 * has most loses his newest one: neither addresses nor tenants with large bodies keep out those with small ones. Pure.
 */
export interface HeldReview {
  /** Address of who sends it. */
  readonly client: string;
  /** As in `ReviewSender`; undefined while it is being read. */
  tenant: string | null | undefined;
  bytes: number;
  /** There is no room for it any more. */
  readonly drop: () => void;
}

export interface HeldBounds {
  readonly bytesMax: number;
  /** Of one client. */
  readonly clientBytesMax: number;
}

interface Client {
  readonly reviews: Set<HeldReview>;
  bytes: number;
}

export class HeldReviews {
  readonly #bounds: HeldBounds;
  readonly #clients = new Map<string, Client>();
  #bytes = 0;

  constructor(bounds: HeldBounds) {
    this.#bounds = bounds;
  }

  /** Drops others for it where they have more. False: there is no room all the same. */
  grow(review: HeldReview, bytes: number): boolean {
    const client = this.#clients.get(review.client) ?? { reviews: new Set(), bytes: 0 };
    this.#clients.set(review.client, client);
    client.reviews.add(review);
    this.#count(client, review, bytes);
    while (this.#bytes > this.#bounds.bytesMax || this.#isFull(client)) {
      const other = this.#greediest(client, review);
      if (other === null) return false;
      this.release(other);
      other.drop();
    }
    return true;
  }

  /** It is answered, or nobody waits for it. Once is enough. */
  release(review: HeldReview): void {
    const client = this.#clients.get(review.client);
    if (client?.reviews.delete(review) !== true) return;
    this.#count(client, review, -review.bytes);
    if (client.reviews.size === 0) this.#clients.delete(review.client);
  }

  #count(client: Client, review: HeldReview, bytes: number): void {
    review.bytes += bytes;
    client.bytes += bytes;
    this.#bytes += bytes;
  }

  #isFull({ bytes }: Client): boolean {
    return bytes > this.#bounds.clientBytesMax;
  }

  /** Null: nobody has more than this one. */
  #greediest(own: Client, review: HeldReview): HeldReview | null {
    let most = own;
    if (!this.#isFull(own)) {
      for (const one of this.#clients.values()) if (one.bytes > most.bytes) most = one;
    }
    const { newest, bytes } = greediestTenant(most, review);
    return most !== own || bytes > review.bytes ? newest : null;
  }
}

interface Share {
  readonly newest: HeldReview | null;
  readonly bytes: number;
}

/** What is being read is nobody's yet, each on its own. */
function greediestTenant({ reviews }: Client, but: HeldReview): Share {
  const shares = new Map<unknown, Share>();
  let most: Share = { newest: null, bytes: 0 };
  for (const review of reviews) {
    if (review === but) continue;
    const key = review.tenant === undefined ? review : review.tenant;
    const bytes = (shares.get(key)?.bytes ?? 0) + review.bytes;
    const share = { newest: review, bytes };
    shares.set(key, share);
    if (bytes > most.bytes) most = share;
  }
  return most;
}
