/**
 * A rolling restart as clients with kept connections see it: HTTP/1.1 agents and HTTP/2 sessions, under
 * constant load. Each proxy comes up beside the one before, which then drains.
 */
import { Agent, request } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Http2Origin } from '../../support/http2_peers.ts';
import { bridgeIn } from './bridge.ts';
import { seeingOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const API = '10.6.0.1';
const WEB = '10.6.0.2';
const ROUNDS = 3;

const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app: 'web' } }],
        toPorts: [
          {
            ports: [
              { port: '8080', protocol: 'TCP' },
              { port: '8081', protocol: 'TCP' },
            ],
            rules: { http: [{ method: 'GET', path: '/ok' }] },
          },
        ],
      },
    ],
  },
});

let rig: RedirectRig;
let origin: Http2Origin;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: [API], labels: { app: 'api' } },
      { name: 'shop/web', ips: [WEB], labels: { app: 'web' } },
    ],
    policies: [POLICY],
    workers: 2,
  });
  const { netns } = rig.pod('shop/api');
  const server = seeingOrigin('api');
  await netns.listen(server, { ip: API, port: 8080 });
  origin = await Http2Origin.start();
  servers.push(server, await bridgeIn(netns, { ip: API, port: 8081 }, origin.port));
  await rig.follow();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  origin?.stop();
  await rig?.dispose();
}, TIMEOUT_MS);

it(
  'no request of theirs is lost, and each is judged',
  async () => {
    let current = await rig.proxy();
    const { netns } = rig.pod('shop/web');
    const load = new Load(netns);
    load.run(4, keptHttp1);
    load.run(2, keptHttp2);
    await load.untilMore(200);
    for (let round = 0; round < ROUNDS; round++) {
      load.slowest = { tookMs: 0, atMs: 0 };
      current = await replaced(current, load);
      const { tookMs } = load.slowest;
      console.log(`round ${round + 1}: the slowest request took ${tookMs.toFixed(0)} ms`);
    }
    const outcomes = await load.stop();
    expect(Object.keys(outcomes).toSorted()).toEqual(['http1 200', 'http2 200']);
  },
  TIMEOUT_MS,
);

/** Another proxy comes up, the one before goes; there is load all the time. */
async function replaced(before: Command, load: Load): Promise<Command> {
  const next = await rig.proxy();
  before.kill('SIGTERM');
  expect(await before.ended).toBe(0);
  await load.untilMore(200);
  return next;
}

type Client = (
  netns: Netns,
  isRunning: () => boolean,
  tell: (outcome: string) => void,
) => Promise<void>;

class Load {
  readonly #netns: Netns;
  readonly #outcomes = new Map<string, number>();
  readonly #clients: Promise<void>[] = [];
  #count = 0;
  #isRunning = true;
  /** Of all requests so far, and when the slowest began. */
  slowest = { tookMs: 0, atMs: 0 };

  constructor(netns: Netns) {
    this.#netns = netns;
  }

  run(count: number, client: Client): void {
    let beganMs = performance.now();
    const tell = (outcome: string): void => {
      const nowMs = performance.now();
      // One request after the other: the next one begins when this one has ended.
      const took = { tookMs: nowMs - beganMs, atMs: beganMs };
      if (this.#isRunning && took.tookMs > this.slowest.tookMs) this.slowest = took;
      beganMs = nowMs;
      this.#count += 1;
      this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    };
    for (let n = 0; n < count; n++) {
      this.#clients.push(client(this.#netns, () => this.#isRunning, tell));
    }
  }

  async untilMore(count: number): Promise<void> {
    const enough = this.#count + count;
    while (this.#count < enough) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async stop(): Promise<Readonly<Record<string, number>>> {
    this.#isRunning = false;
    await Promise.all(this.#clients);
    return Object.fromEntries(this.#outcomes);
  }
}

/** One request after the other on a connection that is kept as long as the server keeps it. */
const keptHttp1: Client = async (netns, isRunning, tell) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => {
    const socket = netns.client(4);
    socket.connect({ host: API, port: 8080 });
    return socket;
  };
  while (isRunning()) {
    tell(
      await new Promise((resolve) => {
        request({ agent, host: API, port: 8080, path: '/ok' }, (response) => {
          response.resume();
          response.on('end', () => resolve(`http1 ${response.statusCode}`));
          response.on('error', (error) => resolve(`http1 ${error.message}`));
        })
          .on('error', (error) => resolve(`http1 ${error.message}`))
          .end();
      }),
    );
  }
  agent.destroy();
};

/** Streams on one session; another session once the server says GOAWAY. */
const keptHttp2: Client = async (netns, isRunning, tell) => {
  let session: ClientHttp2Session | null = null;
  const open = (): ClientHttp2Session => {
    const opened = connectHttp2(`http://${API}:8081`, {
      createConnection: () => {
        const socket = netns.client(4);
        socket.connect({ host: API, port: 8081 });
        return socket;
      },
    });
    opened.on('error', () => {});
    opened.on('goaway', () => {
      if (session === opened) session = null;
      opened.close();
    });
    opened.on('close', () => {
      if (session === opened) session = null;
    });
    return opened;
  };
  while (isRunning()) {
    session ??= open();
    const asked: ClientHttp2Session = session;
    const outcome = await askStream(asked);
    // Asked while GOAWAY was on its way: it was not looked at, so it is asked again (RFC 9113 8.7).
    if (outcome !== 'refused') tell(outcome);
    else if (session === asked) session = null;
  }
  (session as ClientHttp2Session | null)?.destroy();
};

function askStream(session: ClientHttp2Session): Promise<string> {
  const stream = session.request({ ':path': '/ok' });
  return new Promise((resolve) => {
    let status = 0;
    stream.on('response', (headers) => {
      status = headers[':status'] ?? 0;
    });
    stream.resume();
    stream.on('error', (error) => {
      const isRefused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      resolve(isRefused ? 'refused' : `http2 ${error.message}`);
    });
    stream.on('close', () => resolve(`http2 ${status}`));
  });
}
