/**
 * A listener for DNS questions in front of a scripted server, by UDP and TCP on loopback. Time stands still unless a test
 * moves it. The client is 127.0.0.1 (or what a test binds), the server that is asked is 10.96.0.10:53.
 */
import { randomFillSync } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket as TcpSocket } from 'node:net';
import { framedMessage, TcpMessages } from '../../src/codec/dns/tcp_messages.ts';
import { formatProblem } from '../../src/control/decode/problem.ts';
import type { ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import type { Datagrams } from '../../src/platform/datagrams.ts';
import { PLAIN_SOCKETS, type Sockets } from '../../src/platform/sockets.ts';
import { DataPlane } from '../../src/proxy/data_plane.ts';
import {
  type Behaviour,
  DEFAULT_BEHAVIOUR,
  type ListenerOptions,
  type NameTeaching,
} from '../../src/proxy/plane/options.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { BundleStore } from './bundle_store.ts';
import { CountingRecorder } from './counting_recorder.ts';
import { NATIVE_DATAGRAMS } from './datagram_forms.ts';
import { ANSWER_FLAGS, a, message, TO_QUESTION } from './dns_messages.ts';
import { ManualPlatform } from './manual_platform.ts';
import { address } from './plane_rig.ts';
import { Signal } from './signal.ts';

const ENDPOINTS = `
endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client }, identity: 43 }
  - { name: default/other, ip: 127.0.0.2, labels: { app: client, second: "yes" }, identity: 44 }
  - { name: default/third, ip: 127.0.0.3, labels: { app: client }, identity: 43 }
  - { name: kube-system/dns, ip: 10.96.0.10, labels: { app: dns } }
`;

/** Who has `app: client` may ask the server for these: "api.example.com", "*.example.com". */
export function allowNames(...names: readonly string[]): string {
  const rules = names.map((name) =>
    name.includes('*') ? `{ matchPattern: "${name}" }` : `{ matchName: "${name}" }`,
  );
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": kube-system, app: dns } }]
      toPorts: [{ ports: [{ port: "53", protocol: ANY }], rules: { dns: [${rules.join(', ')}] } }]
`;
}

/** What the server sends for a message; by default an address. */
export type ServerScript = (heard: Heard) => readonly Buffer[];

export interface Heard {
  readonly bytes: Buffer;
  readonly transport: 'udp' | 'tcp';
  /** The port it came from. */
  readonly port: number;
  /** Answers later, or from somewhere else. */
  readonly answer: (bytes: Buffer) => void;
  /** The connection's end; by UDP nothing. */
  readonly close: () => void;
}

export interface DnsRigOptions {
  readonly policy?: string;
  readonly limits?: Partial<Limits>;
  readonly behaviour?: Partial<Behaviour>;
  readonly script?: ServerScript;
  readonly datagrams?: (port: number) => Datagrams;
  readonly sockets?: Sockets;
  readonly upstreamPort?: number;
  readonly names?: (rig: DnsRig) => NameTeaching;
}

const rigs: DnsRig[] = [];

export async function startDnsRig(options: DnsRigOptions = {}): Promise<DnsRig> {
  const rig = new DnsRig(options);
  rigs.push(rig);
  await rig.start();
  return rig;
}

/** Also throws when a rig has seen an internal error that its test did not take. */
export function closeDnsRigs(): void {
  const errors = rigs.splice(0).flatMap((rig) => rig.stop());
  if (errors.length > 0) throw errors[0];
}

export class DnsRig {
  readonly recorder = new CountingRecorder();
  readonly time = new ManualPlatform();
  readonly store: BundleStore;
  readonly server = new ScriptedServer();
  plane!: DataPlane;
  port = 0;
  readonly #options: DnsRigOptions;
  readonly #limits: Limits;
  readonly #clients: { close(): void }[] = [];

  constructor(options: DnsRigOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const limits = this.#limits;
    this.store = new BundleStore({ regexEngine: createRe2Engine(limits), limits });
    if (options.script !== undefined) this.server.script = options.script;
    this.update(options.policy ?? allowNames('api.example.com', '*.example.net'));
  }

  async start(): Promise<void> {
    await this.server.start();
    const { datagrams, sockets, behaviour, upstreamPort = this.server.port } = this.#options;
    this.plane = new DataPlane({
      listeners: [dnsListener(upstreamPort)],
      limits: this.#limits,
      // Scripts look for names as they were asked; test/proxy/dns/letters.test.ts has it on.
      behaviour: { ...DEFAULT_BEHAVIOUR, isDnsCaseVaried: false, ...behaviour },
      currentSnapshot: () => this.store.current(),
      recorder: this.recorder,
      platform: this.time,
      sockets: sockets ?? PLAIN_SOCKETS,
      datagrams: datagrams?.(this.server.port) ?? NATIVE_DATAGRAMS,
      names: this.#options.names?.(this) ?? null,
      randomFill: randomFillSync,
      records: null,
      cilium: null,
    });
    const [bound] = await this.plane.start();
    this.port = bound?.address.port ?? 0;
  }

  /** Puts a policy in force, as a reload does. */
  update(policy: string): void {
    const result = this.store.updateBundle({
      policies: [{ path: 'policy.yaml', text: policy }],
      endpoints: { path: 'endpoints.yaml', text: ENDPOINTS },
      secrets: null,
    });
    if (result.kind === 'rejected') throw new Error(result.problems.map(formatProblem).join('\n'));
    this.plane?.policyChanged();
  }

  async udp(from = '127.0.0.1'): Promise<UdpClient> {
    const client = await UdpClient.open(this.port, from);
    this.#clients.push(client);
    return client;
  }

  async tcp(from = '127.0.0.1'): Promise<TcpClient> {
    const client = await TcpClient.open(this.port, from);
    this.#clients.push(client);
    return client;
  }

  /** "verdict fault-or-reason rcode name" of each question that is over. */
  get summaries(): readonly string[] {
    return this.recorder.records.map(({ verdict, fault, decision, question }) => {
      const why = fault ?? decision?.reason ?? 'allowed';
      return `${verdict} ${why} ${question?.rcode ?? '-'} ${question?.name ?? 'connection'}`;
    });
  }

  stop(): readonly unknown[] {
    for (const client of this.#clients) client.close();
    this.plane?.stop();
    this.server.stop();
    return this.recorder.internalErrors.splice(0);
  }
}

function dnsListener(upstreamPort: number): ListenerOptions {
  return {
    name: 'dns',
    protocol: 'dns',
    address: address('127.0.0.1:0'),
    direction: 'egress',
    isTransparent: false,
    clientAddress: 'always',
    proxyId: 0 as ProxyId,
    destination: { kind: 'fixed', address: address('10.96.0.10:53') },
    upstream: { kind: 'fixed', address: address(`127.0.0.1:${upstreamPort}`) },
    identity: { kind: 'sources', sources: ['endpoints'] },
    isPortShared: false,
  };
}

/** An answer to the question of `bytes` with one address. */
export function anAnswer(bytes: Buffer, ip = '192.0.2.1'): Buffer {
  const whole = message({
    flags: ANSWER_FLAGS,
    questions: [questionOf(bytes)],
    answers: [a(TO_QUESTION, ip)],
  });
  bytes.copy(whole, 0, 0, 2);
  return whole;
}

export function questionOf(bytes: Buffer): Buffer {
  let end = 12;
  while (bytes[end] !== 0) end += 1 + (bytes[end] as number);
  return bytes.subarray(12, end + 5);
}

class ScriptedServer {
  script: ServerScript = ({ bytes }) => [anAnswer(bytes)];
  readonly heard: Heard[] = [];
  port = 0;
  acceptedCount = 0;
  #udp!: Socket;
  readonly #signal = new Signal();
  readonly #sockets = new Set<TcpSocket>();
  readonly #tcp = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));

  async start(): Promise<void> {
    for (let tries = 0; !(await this.#isBound()); tries++) {
      if (tries === 20) throw new Error('no port is free for both UDP and TCP');
    }
    this.#udp.on('message', (bytes, from) => this.#onDatagram(bytes, from));
  }

  /** The port that the system gave for one may be another's for the other. */
  async #isBound(): Promise<boolean> {
    this.#tcp.listen(0, '127.0.0.1');
    await once(this.#tcp, 'listening');
    this.port = (this.#tcp.address() as AddressInfo).port;
    this.#udp = createSocket('udp4');
    try {
      this.#udp.bind(this.port, '127.0.0.1');
      await once(this.#udp, 'listening');
      return true;
    } catch {
      this.#udp.close();
      await new Promise((closed) => this.#tcp.close(closed));
      return false;
    }
  }

  async untilHeard(count: number): Promise<readonly Heard[]> {
    await this.#signal.until(
      () => this.heard.length >= count,
      () => `${count} questions at the server; there were ${this.heard.length}`,
    );
    return this.heard;
  }

  stop(): void {
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: TcpSocket): void {
    this.acceptedCount++;
    this.#sockets.add(socket);
    const messages = new TcpMessages();
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      messages.push(chunk as Buffer);
      for (let bytes = messages.next(); bytes !== null; bytes = messages.next()) {
        this.#take({
          bytes: Buffer.from(bytes),
          transport: 'tcp',
          port: socket.remotePort ?? 0,
          answer: (answer) => socket.write(framedMessage(answer)),
          close: () => socket.destroy(),
        });
      }
    });
    socket.on('end', () => socket.end());
  }

  #onDatagram(bytes: Buffer, { address: ip, port }: RemoteInfo): void {
    const answer = (sent: Buffer): void => this.#udp.send(sent, port, ip);
    this.#take({ bytes, transport: 'udp', port, answer, close: () => {} });
  }

  #take(heard: Heard): void {
    this.heard.push(heard);
    for (const bytes of this.script(heard)) heard.answer(bytes);
    this.#signal.raise();
  }
}

export class UdpClient {
  readonly answers: Buffer[] = [];
  readonly #socket: Socket;
  readonly #port: number;
  readonly #signal = new Signal();

  static async open(port: number, from: string): Promise<UdpClient> {
    const socket = createSocket('udp4');
    socket.bind(0, from);
    await once(socket, 'listening');
    return new UdpClient(socket, port);
  }

  constructor(socket: Socket, port: number) {
    this.#socket = socket;
    this.#port = port;
    socket.on('message', (bytes) => {
      this.answers.push(bytes);
      this.#signal.raise();
    });
  }

  send(bytes: Buffer): void {
    this.#socket.send(bytes, this.#port, '127.0.0.1');
  }

  /** All that came, once they are so many. */
  async untilAnswers(count: number): Promise<readonly Buffer[]> {
    await this.#signal.until(
      () => this.answers.length >= count,
      () => `${count} answers; there were ${this.answers.length}`,
    );
    return this.answers;
  }

  async ask(bytes: Buffer): Promise<Buffer> {
    const count = this.answers.length + 1;
    this.send(bytes);
    return (await this.untilAnswers(count))[count - 1] as Buffer;
  }

  close(): void {
    this.#socket.close();
  }
}

export class TcpClient {
  readonly socket: TcpSocket;
  readonly answers: Buffer[] = [];
  isOver = false;
  wasReset = false;
  readonly #messages = new TcpMessages();
  readonly #signal = new Signal();

  static async open(port: number, from: string): Promise<TcpClient> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true });
    const client = new TcpClient(socket);
    // It may be reset before it is told to be there.
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {});
    return client;
  }

  constructor(socket: TcpSocket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#messages.push(chunk as Buffer);
      for (let one = this.#messages.next(); one !== null; one = this.#messages.next()) {
        this.answers.push(Buffer.from(one));
      }
      this.#signal.raise();
    });
    socket.on('error', () => {
      this.wasReset = true;
    });
    socket.on('end', () => this.#over());
    socket.on('close', () => this.#over());
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages.map(framedMessage)));
  }

  async untilAnswers(count: number): Promise<readonly Buffer[]> {
    await this.#signal.until(
      () => this.answers.length >= count,
      () => `${count} answers; there were ${this.answers.length}`,
      () => this.isOver && this.answers.length < count,
    );
    return this.answers;
  }

  async untilOver(): Promise<void> {
    await this.#signal.until(
      () => this.isOver,
      () => 'the end of the connection',
    );
  }

  close(): void {
    this.socket.destroy();
  }

  #over(): void {
    this.isOver = true;
    this.#signal.raise();
  }
}
