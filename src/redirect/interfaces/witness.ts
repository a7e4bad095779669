/**
 * Ways to tell whose an interface is. Each of them is the word of the kernel or of root of this node, never of a pod:
 * what a pod can say (ARP, neighbour discovery, what a bridge has learned from its packets, addresses that it gives
 * itself within its namespace) would let it take the place of another.
 */

/** Who is asked for. */
export interface AskedPod {
  /** Unique. */
  readonly name: string;
  /** Canonical. */
  readonly ips: readonly string[];
  readonly podUid: string | null;
}

/** The end, in our network namespace, of a pair of which the other end is in another one. */
export interface Veth {
  readonly ifindex: number;
  readonly name: string;
  /** Of the namespace of the other end, as this one numbers it. */
  readonly netnsId: number;
}

/** What one witness says of one pod: its interface is among these. */
export interface Testimony {
  /** "the route to 10.0.0.7". */
  readonly by: string;
  /** Indexes of interfaces; never none. */
  readonly veths: ReadonlySet<number>;
  /** It knows an address only, and not whose that is by now. */
  readonly isOfAddress?: true;
}

export interface Hearing {
  /** Name of the pod → what is said of it. */
  readonly testimonies: ReadonlyMap<string, readonly Testimony[]>;
  /** Name of the pod → what speaks against an interface of its own here. */
  readonly doubts: ReadonlyMap<string, string>;
  /** Name of the pod → why it has no interface here, whatever others say; absent: of none. */
  readonly denials?: ReadonlyMap<string, string>;
  /** Name of the pod → why it must not be known by its address alone; absent: of none. */
  readonly absences?: ReadonlyMap<string, string>;
  /** What it means that nothing is said of a pod whose UID is known; null: nothing. */
  readonly silence: string | null;
  /** Why this witness could not look; null: it could. */
  readonly problem: string | null;
}

export interface Witness {
  hear(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing>;
}

/** Collects testimonies. */
export class Testimonies {
  readonly all = new Map<string, Testimony[]>();

  add(pod: string, testimony: Testimony): void {
    if (testimony.veths.size === 0) return;
    const known = this.all.get(pod);
    if (known === undefined) this.all.set(pod, [testimony]);
    else known.push(testimony);
  }
}

export function unheard(problem: string): Hearing {
  return { testimonies: new Map(), doubts: new Map(), silence: null, problem };
}
