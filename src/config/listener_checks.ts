/** What is wrong with listeners beyond their single fields: combinations that can never do anything. */
import { formatSocketAddress, isLoopback, type SocketAddress } from '../model/address.ts';
import { type IdentitySourceName, RECORDED_WORKER_COUNT_MAX } from '../proxy/plane/options.ts';
import type { ConfigValues } from './declaration.ts';

type ListenerValues = ConfigValues['listeners'][number];
type Add = (field: keyof ListenerValues, message: string) => void;

export function checkListeners(
  listeners: readonly ListenerValues[],
  workers: number | null,
  add: (index: number, field: keyof ListenerValues, message: string) => void,
): void {
  const names = new Set<string>();
  const addresses = new Set<string>();
  const recorded = new Set<string>();
  for (const [index, listener] of listeners.entries()) {
    const { name, address, direction } = listener;
    const addHere: Add = (field, message) => add(index, field, message);
    const text = addressText(address);
    if (names.has(name)) addHere('name', `"${name}" is the name of another listener`);
    if (address.port !== 0 && addresses.has(text)) {
      addHere('address', `${text} is the address of another listener`);
    }
    checkLoop(listener, addHere);
    checkTrust(listener, addHere);
    checkIdentity(listener, addHere);
    if (direction === 'by-record') {
      checkRecorded(listener, workers, addHere);
      const kind = `${listener.protocol} ${address.family}`;
      if (recorded.has(kind)) {
        addHere('direction', `another listener is by-record for IPv${address.family} already`);
      }
      recorded.add(kind);
    } else if (listener.protocol === 'dns') {
      checkDns(listener, addHere);
    } else if (listener.transparent) {
      checkTransparent(listener, addHere);
    }
    names.add(name);
    addresses.add(text);
  }
}

/** When the file does not say. The kernel knows no more listeners of one node than it has slots for. */
export function workersFor(listeners: readonly ListenerValues[], coreCount: number): number {
  const isRecorded = listeners.some(({ direction }) => direction === 'by-record');
  return Math.max(1, isRecorded ? Math.min(coreCount, RECORDED_WORKER_COUNT_MAX) : coreCount);
}

function checkLoop({ address, upstream, destination }: ListenerValues, add: Add): void {
  const target = upstream.kind === 'fixed' ? upstream : destination;
  const text = addressText(address);
  if (target.kind !== 'fixed' || addressText(target.address) !== text) return;
  add(upstream.kind === 'fixed' ? 'upstream' : 'destination', `${text} is the listener itself`);
}

/** Who sends the PROXY header says who the client is: whoever reaches the listener could be anybody. */
function checkTrust({ address, destination, trustedProxies }: ListenerValues, add: Add): void {
  if (destination.kind !== 'proxy-protocol') {
    if (trustedProxies.length > 0) add('trustedProxies', 'needs destination: proxy-protocol');
  } else if (trustedProxies.length === 0 && !isLoopback(address)) {
    add(
      'trustedProxies',
      `is required: other machines reach ${addressText(address)}, and with destination: proxy-protocol whoever connects says who the client is; name the addresses or CIDRs of the load balancers`,
    );
  }
}

function checkIdentity({ direction, identity }: ListenerValues, add: Add): void {
  const isAsked = (name: IdentitySourceName): boolean =>
    identity.kind === 'sources' && identity.sources.includes(name);
  if (direction === 'egress' && isAsked('bpf-conntrack')) {
    add(
      'identity',
      'bpf-conntrack needs direction: ingress: it knows who began a connection, not whom it goes to',
    );
  }
  if (direction !== 'by-record' && isAsked('redirect-record')) {
    add('identity', 'redirect-record needs direction: by-record');
  }
}

/** Without a record a datagram says neither where it was going, nor with a PROXY header who sent it. */
function checkDns({ direction, transparent, destination }: ListenerValues, add: Add): void {
  if (direction !== 'egress') {
    add(
      'direction',
      'with protocol: dns must be egress, as it is the one who asks whose policy applies, or by-record',
    );
  }
  if (transparent) add('transparent', 'is not for protocol: dns');
  if (destination.kind !== 'fixed') {
    add('destination', 'with protocol: dns must be the address of the DNS server that is asked');
  }
}

/** by-record takes everything from the record, and a record says nothing of any other listener's. */
function checkRecorded(listener: ListenerValues, workers: number | null, add: Add): void {
  const { destination, upstream, identity } = listener;
  const isRecordOnly =
    identity.kind === 'sources' && identity.sources.every((name) => name === 'redirect-record');
  if (!isRecordOnly) add('identity', 'with direction: by-record must be [redirect-record]');
  if (destination.kind !== 'local-address') {
    add('destination', 'with direction: by-record must be local-address');
  }
  if (upstream.kind !== 'original-destination') {
    add('upstream', 'with direction: by-record must be original-destination');
  }
  if (workers !== null && workers > RECORDED_WORKER_COUNT_MAX) {
    add(
      'direction',
      `by-record has room for ${RECORDED_WORKER_COUNT_MAX} workers, not for ${workers}`,
    );
  }
}

function checkTransparent({ address, destination, upstream }: ListenerValues, add: Add): void {
  if (destination.kind !== 'local-address') {
    add('transparent', 'needs destination: local-address');
  }
  if (upstream.kind === 'fixed' && upstream.address.family !== address.family) {
    add(
      'upstream',
      `with transparent must be IPv${address.family}, as the clients are: they are shown to it`,
    );
  }
}

function addressText(address: SocketAddress): string {
  return formatSocketAddress(address.ip, address.port);
}
