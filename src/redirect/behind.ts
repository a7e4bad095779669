/**
 * Who is behind the addresses of Services, as entries of the kernel's map `behind`: for packets that leave a pod with
 * such an address still on them. Pods of one kind have one identity, so an entry names few, however many they are. Pure.
 */
import type { IpAddress } from '../model/address.ts';
import type { Identity, Port, Protocol } from '../model/identity.ts';
import type { ServiceFrontend } from '../model/service_frontend.ts';

export interface PlannedBehind {
  /** Equal for those that stand for one address, port and protocol. */
  readonly name: string;
  /** Null: every address of the node. */
  readonly address: IpAddress | null;
  readonly family: 4 | 6;
  readonly port: Port;
  readonly protocol: Protocol;
  /** Different ones, in a stable order. */
  readonly pairs: readonly BehindPair[];
  /** The address itself is asked about, too. */
  readonly isAskedAsDialled: boolean;
  /** All of them are endpoints of this node. */
  readonly isHere: boolean;
}

export interface BehindPair {
  readonly identity: Identity;
  readonly port: Port;
}

export interface KnownBackends {
  readonly identityOf: (address: IpAddress) => Identity;
  /** An endpoint of this node, whose interface has the programs. */
  readonly isEndpoint: (address: IpAddress) => boolean;
}

export function behindOf(
  frontends: readonly ServiceFrontend[],
  { identityOf, isEndpoint }: KnownBackends,
): readonly PlannedBehind[] {
  // Several ports and addresses of a Service have the same backends.
  const known = new Map<string, { readonly identity: Identity; readonly isHere: boolean }>();
  const knownOf = (address: IpAddress) => {
    let own = known.get(address.text);
    if (own === undefined) {
      own = { identity: identityOf(address), isHere: isEndpoint(address) };
      known.set(address.text, own);
    }
    return own;
  };
  const taken = new Set<string>();
  return frontends.flatMap((one) => {
    const { address, family, port, protocol, kind, allBackends } = one;
    const name = `${protocol} ${address?.text ?? `IPv${family}`} ${port}`;
    if (taken.has(name)) return [];
    taken.add(name);
    const pairs = new Map<number, BehindPair>();
    let isHere = allBackends.length > 0;
    for (const backend of allBackends) {
      const own = knownOf(backend.address);
      if (!own.isHere) isHere = false;
      pairs.set(own.identity * PORTS + backend.port, {
        identity: own.identity,
        port: backend.port,
      });
    }
    return [
      {
        ...{ name, address, family, port, protocol, isHere },
        pairs: [...pairs].sort(([a], [b]) => a - b).map(([, pair]) => pair),
        // Whoever may make a Service may write any address there.
        isAskedAsDialled: kind === 'ExternalIP',
      },
    ];
  });
}

/** That there are Services without room: see `behind_key` in `bpf/layout.h`. */
export const MORE_BEHIND: PlannedBehind = {
  ...{ name: 'more', address: null, family: 4, port: 0 as Port, protocol: 'TCP' },
  ...{ pairs: [], isAskedAsDialled: false, isHere: false },
};

const PORTS = 0x1_0000;

export interface BehindChanges {
  readonly written: readonly PlannedBehind[];
  readonly gone: readonly PlannedBehind[];
}

export const NO_BEHIND_CHANGES: BehindChanges = Object.freeze({ written: [], gone: [] });

export function behindChanges(
  before: readonly PlannedBehind[],
  after: readonly PlannedBehind[],
): BehindChanges {
  const had = new Map(before.map((one) => [one.name, one]));
  const written = after.filter((one) => {
    const former = had.get(one.name);
    had.delete(one.name);
    return former === undefined || !isSame(former, one);
  });
  return { written, gone: [...had.values()] };
}

function isSame(a: PlannedBehind, b: PlannedBehind): boolean {
  return (
    a.isHere === b.isHere &&
    a.isAskedAsDialled === b.isAskedAsDialled &&
    a.pairs.length === b.pairs.length &&
    a.pairs.every(({ identity, port }, index) => {
      const other = b.pairs[index];
      return identity === other?.identity && port === other.port;
    })
  );
}
