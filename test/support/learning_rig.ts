/**
 * The real command with a listener for DNS and one for HTTP, as an application of the article would meet them: it asks for
 * a name, and connects to what the answer says. The second listener is told where by a PROXY header.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { type Line, type Sallyport, Scratch } from '../workers/running.ts';
import { ANSWER_FLAGS, a, message, question, TO_QUESTION } from './dns_messages.ts';
import { questionOf } from './dns_rig.ts';

export const LEARNING_ENDPOINTS = `
endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: kube-system/dns, ip: 10.96.0.10, labels: { app: dns } }
`;

/** That of the article, with rules of HTTP or without. */
export function learningPolicy(l7 = '', extra = ''): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": kube-system, app: dns } }]
      toPorts: [{ ports: [{ port: "53", protocol: ANY }], rules: { dns: [{ matchPattern: "*" }] } }]
    - toFQDNs: [{ matchName: api.stripe.com }, { matchPattern: "*.amazonaws.com" }]
      toPorts: [{ ports: [{ port: "80", protocol: TCP }]${l7} }]
${extra}`;
}

export class LearningRig {
  readonly scratch = new Scratch();
  readonly #server: Socket = createSocket('udp4');
  readonly #client: Socket = createSocket('udp4');
  /** Name → addresses; others have none. */
  readonly zone = new Map<string, readonly string[]>();
  ttlSeconds = 60;
  proxy!: Sallyport;
  dnsPort = 0;
  httpPort = 0;
  adminPort = 0;
  #origin = 0;
  #nextId = 1;

  async start(fields = 'workers: 2'): Promise<void> {
    this.scratch.write('policies/api.yaml', learningPolicy());
    this.scratch.write('endpoints.yaml', LEARNING_ENDPOINTS);
    this.#server.bind(0, '127.0.0.1');
    this.#client.bind(0, '127.0.0.1');
    await Promise.all([once(this.#server, 'listening'), once(this.#client, 'listening')]);
    this.#server.on('message', (bytes, { address, port }) => {
      this.#server.send(this.#answer(bytes), port, address);
    });
    this.#origin = await this.scratch.origin();
    await this.run(fields);
  }

  async run(fields = 'workers: 2'): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    const config = this.scratch.write(
      'config.yaml',
      `policies: [policies/]
endpoints: endpoints.yaml
admin: 127.0.0.1:0
${fields}
listeners:
  - name: dns
    protocol: dns
    address: 127.0.0.1:0
    direction: egress
    destination: 10.96.0.10:53
    upstream: 127.0.0.1:${port}
    identity: [endpoints]
  - name: http
    address: 127.0.0.1:0
    direction: egress
    destination: proxy-protocol
    upstream: 127.0.0.1:${this.#origin}
    identity: [endpoints]
`,
    );
    this.proxy = this.scratch.run(['run', '--config', config]);
    const ready = await this.proxy.message('ready');
    const listeners = ready['listeners'] as readonly Line[];
    const portOf = (name: string): number =>
      Number(
        String(listeners.find((one) => one['name'] === name)?.['address'])
          .split(':')
          .at(-1),
      );
    this.dnsPort = portOf('dns');
    this.httpPort = portOf('http');
    this.adminPort = Number(String(ready['admin']).split(':').at(-1));
  }

  #answer(bytes: Buffer): Buffer {
    const ips = this.zone.get(nameIn(bytes)) ?? [];
    const whole = message({
      flags: ANSWER_FLAGS,
      questions: [questionOf(bytes)],
      answers: ips.map((ip) => a(TO_QUESTION, ip, this.ttlSeconds)),
    });
    bytes.copy(whole, 0, 0, 2);
    return whole;
  }

  /** The answer's bytes. */
  async ask(name: string): Promise<Buffer> {
    const id = this.#nextId++ & 0xffff;
    const asked = message({ id, questions: [question(name)] });
    const answered = new Promise<Buffer>((resolve) => {
      const onMessage = (bytes: Buffer): void => {
        if (bytes.readUInt16BE(0) !== id) return;
        this.#client.off('message', onMessage);
        resolve(bytes);
      };
      this.#client.on('message', onMessage);
    });
    this.#client.send(asked, this.dnsPort, '127.0.0.1');
    return await answered;
  }

  /** The status of a request to that address, 0 when the connection is refused. */
  get(ip: string, { port = 80, path = '/' } = {}): Promise<number> {
    return new Promise((resolve) => {
      const socket = connect(this.httpPort, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        const status = /^HTTP\/1\.1 ([0-9]{3})/.exec(text)?.[1];
        if (status === undefined) return;
        resolve(Number(status));
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(0));
      socket.write(
        `PROXY TCP4 127.0.0.1 ${ip} 40000 ${port}\r\nGET ${path} HTTP/1.1\r\nhost: name\r\nconnection: close\r\n\r\n`,
      );
    });
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#client.close();
    await this.scratch.dispose();
  }
}

function nameIn(bytes: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; bytes[at] !== 0; at += 1 + (bytes[at] as number)) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + (bytes[at] as number)).toLowerCase());
  }
  return labels.join('.');
}
