/**
 * The accept stage: one bound socket, and for DNS one for datagrams beside it. Every connection that it takes becomes a
 * `Connection` or a `DnsConnection`; when the process is at its bounds the connection is told so and closed.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { parseIp, type SocketAddress } from '../../model/address.ts';
import { parsePort } from '../../model/identity.ts';
import { KEEP_ALIVE_DELAY_MS } from '../../platform/sockets.ts';
import type { RedirectRecord } from '../../redirect/layout.ts';
import { DnsConnection } from '../dns/dns_connection.ts';
import { QuestionDoor } from '../dns/question_door.ts';
import { QuestionIds } from '../dns/question_ids.ts';
import { PolicySubject } from '../judge/policy_subject.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';
import type { Registry } from '../plane/registry.ts';
import { type Ends, resolveMeta, socketEnds } from '../resolve/resolve.ts';
import { type Accepted, Connection, type ConnectionContext } from './connection.ts';
import { TrustedProxies } from './trusted_proxies.ts';

export interface BoundListener {
  readonly name: string;
  readonly address: SocketAddress;
}

export interface ListenerContext {
  readonly options: ListenerOptions;
  readonly plane: Plane;
  readonly registry: Registry;
  readonly nextConnectionId: () => number;
}

/** Datagrams may find the port taken that the system has given to connections. */
const PORT_TRIES_MAX = 16;

export class Listener {
  readonly #context: ListenerContext;
  readonly #makeConnection: (accepted: Accepted) => Connection | DnsConnection;
  /** Null: all connections are of one protocol. */
  readonly #makeDns: ((accepted: Accepted) => DnsConnection) | null;
  readonly #server: Server;
  /** Null: no datagrams are served. */
  readonly #door: QuestionDoor | null;
  #isOver = false;

  constructor(context: ListenerContext) {
    const { options: listener, plane, registry } = context;
    this.#context = context;
    const isDns = listener.protocol === 'dns';
    this.#makeConnection = isDns ? dnsMaker(context) : httpMaker({ listener, plane, registry });
    this.#makeDns = !isDns && listener.direction === 'by-record' ? dnsMaker(context) : null;
    const areDatagramsServed =
      isDns || (listener.areDatagramsTaken === true && plane.options.datagrams.canBeTransparent);
    this.#door = areDatagramsServed ? new QuestionDoor({ ...context, listener }) : null;
    this.#server = createServer(
      {
        allowHalfOpen: true,
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
        highWaterMark: context.plane.options.limits.bufferBytesMax,
      },
      (socket) => {
        // An exception before the connection can look after itself ends this one only.
        try {
          this.#accept(socket);
        } catch (error) {
          context.plane.options.recorder.internalError('accept', error);
          socket.on('error', () => {});
          socket.resetAndDestroy();
        }
      },
    );
  }

  /** Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<BoundListener> {
    const { plane, options } = this.#context;
    const { recorder } = plane.options;
    for (let tries = 1; !(await this.#isBound(tries)); tries++);
    // An accept that fails (no file descriptor left) must not end the process.
    this.#server.on('error', (error) => recorder.internalError('accept', error));
    const bound = { name: options.name, address: this.#boundAddress() };
    plane.ownAddresses.add(bound.address);
    return bound;
  }

  /** No further connection is accepted; those that are open stay. Datagrams are served until none of them waits. */
  close(): Promise<void> {
    this.#isOver = true;
    this.#server.close();
    return this.#door?.drain() ?? Promise.resolve();
  }

  /** Nothing of it is open now but connections. */
  cut(): void {
    void this.close();
    this.#door?.cut();
  }

  /** False: the port that the system gave is another's for datagrams. */
  async #isBound(tries: number): Promise<boolean> {
    const { plane, options } = this.#context;
    const { sockets, limits } = plane.options;
    await sockets.listen(this.#server, { ...options, backlog: limits.listenBacklogMax });
    if (this.#door === null) return true;
    try {
      await this.#door.bind(this.#boundAddress());
      // Stopped while it was being bound.
      if (this.#isOver) this.#door.cut();
      return true;
    } catch (error) {
      await closed(this.#server);
      if (options.address.port !== 0 || tries === PORT_TRIES_MAX) throw error;
      return false;
    }
  }

  #accept(socket: Socket): void {
    const { plane, registry } = this.#context;
    const ends = this.#endsOf(socket);
    if (ends === null) {
      socket.destroy();
      return;
    }
    const id = this.#context.nextConnectionId();
    const connection = this.#connectionOf({ id, socket, ends });
    if (this.#isAdmitted(connection)) {
      connection.start();
      return;
    }
    const isReplyRead = registry.size < 2 * plane.options.limits.connectionCountMax;
    connection.refuseOverloaded(isReplyRead ? 'reply' : 'reset');
  }

  /** What the redirect brings is of the protocol that the rules for it are about. */
  #connectionOf(accepted: Accepted): Connection | DnsConnection {
    const makeDns = this.#makeDns;
    if (makeDns === null) return this.#makeConnection(accepted);
    const { options: listener, plane } = this.#context;
    const { currentSnapshot, cilium } = plane.options;
    const { id, ends } = accepted;
    const meta = resolveMeta(id, ends, { options: listener, snapshot: currentSnapshot(), cilium });
    const { identity } = listener;
    const subject = new PolicySubject(meta, { currentSnapshot, identity, cilium });
    return subject.isForQuestions ? makeDns(accepted) : this.#makeConnection(accepted);
  }

  /** It has its socket by now: whatever fails here must not leave that behind. */
  #isAdmitted(connection: Connection | DnsConnection): boolean {
    try {
      return connection.isAdmitted();
    } catch (error) {
      this.#context.plane.options.recorder.internalError('accept', error);
      return false;
    }
  }

  #endsOf(socket: Socket): Ends | null {
    const { options } = this.#context;
    const ends = socketEnds(socket, options);
    if (ends === null || options.direction !== 'by-record') return ends;
    return { ...ends, record: this.#recordOf(ends) };
  }

  /** A record that cannot be read is none: the connection is refused, and told as that. */
  #recordOf({ source, destination }: Ends): RedirectRecord | null {
    const { records, recorder } = this.#context.plane.options;
    try {
      return records?.lookup(source, destination, 'TCP') ?? null;
    } catch (error) {
      recorder.internalError('redirect-record', error);
      return null;
    }
  }

  #boundAddress(): SocketAddress {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('the listener is not bound');
    const ip = parseIp(bound.address);
    const port = parsePort(bound.port);
    if (ip === null || port === null) throw new Error('the bound address cannot be read');
    return { ip: ip.text, family: ip.family, port };
  }
}

function httpMaker(
  context: Omit<ConnectionContext, 'trustedProxies'>,
): (accepted: Accepted) => Connection {
  const trustedProxies = new TrustedProxies(context.listener.trustedProxies ?? []);
  const whole = { ...context, trustedProxies };
  return (accepted) => new Connection(whole, accepted);
}

function dnsMaker({
  options: listener,
  plane,
  registry,
}: ListenerContext): (accepted: Accepted) => DnsConnection {
  const ids = new QuestionIds(plane.options.randomFill);
  const context = { listener, plane, registry, ids };
  return (accepted) => new DnsConnection(context, accepted);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
