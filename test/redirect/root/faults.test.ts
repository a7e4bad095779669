/**
 * The redirect under faults and load: whatever dies, nothing passes unjudged, what can be served is
 * served, and what cannot is refused at once. Each request that was judged carries a field that only the
 * rule adds: the origin tells a request that came without it.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { ask, ONE_LOOK, type Outcome, reaches } from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig, type RigOptions } from './rig.ts';

const API = '10.3.0.1';
const PORT = 8080;
const TEST_TIMEOUT_MS = 300_000;

/** Requests to these paths pass, marked as judged. */
function policyOf(...paths: readonly string[]): string {
  const http = paths.map((path) => ({
    method: 'GET',
    path,
    headerMatches: [{ name: 'x-judged', value: 'yes', mismatch: 'REPLACE' }],
  }));
  return JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'api', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'web' } }],
          toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }], rules: { http } }],
        },
      ],
    },
  });
}

class Scene {
  readonly rig: RedirectRig;
  /** Requests that reached the origin without having been judged. */
  unjudged = 0;
  #server: Server | null = null;

  constructor(options: Partial<RigOptions> = {}) {
    this.rig = new RedirectRig({
      pods: [
        { name: 'shop/api', ips: [API], labels: { app: 'api' } },
        { name: 'shop/web', ips: ['10.3.0.2'], labels: { app: 'web' } },
      ],
      policies: [policyOf('/ok')],
      ...options,
    });
  }

  async start(): Promise<{ readonly loader: Command; readonly proxy: Command }> {
    const server = createServer((request, reply) => {
      if (request.headers['x-judged'] !== 'yes') this.unjudged++;
      reply.end('seen');
    });
    // Connections of a burst wait in the backlog of the origin, too.
    server.maxConnections = 100_000;
    this.#server = server;
    await this.rig.pod('shop/api').netns.listen(server, { ip: API, port: PORT });
    const loader = await this.rig.follow();
    const proxy = await this.rig.proxy();
    return { loader, proxy };
  }

  get web(): Netns {
    return this.rig.pod('shop/web').netns;
  }

  ask(path = '/ok'): Promise<Outcome> {
    return ask({ from: this.web, to: API, port: PORT, path });
  }

  async dispose(): Promise<void> {
    this.#server?.close();
    this.#server?.closeAllConnections();
    await this.rig.dispose();
  }
}

let scene: Scene | null = null;

afterEach(async () => {
  const unjudged = scene?.unjudged;
  await scene?.dispose();
  scene = null;
  // Of every scene: nothing ever came past the proxy.
  expect(unjudged).toBe(0);
}, TEST_TIMEOUT_MS);

/** What became of requests that one client after the other sends until told to stop. */
class Load {
  readonly counts = new Map<string, number>();
  readonly #scene: Scene;
  readonly #loops: Promise<void>[];
  #isRunning = true;

  constructor(
    loaded: Scene,
    options: { readonly clients: number; readonly paths: readonly string[] },
  ) {
    this.#scene = loaded;
    this.#loops = Array.from({ length: options.clients }, () => this.#run(options.paths));
  }

  async stop(): Promise<Readonly<Record<string, number>>> {
    this.#isRunning = false;
    await Promise.all(this.#loops);
    return Object.fromEntries(this.counts);
  }

  async #run(paths: readonly string[]): Promise<void> {
    for (let n = 0; this.#isRunning; n++) {
      const path = paths[n % paths.length] as string;
      const outcome = await this.#scene.ask(path);
      const how = outcome.kind === 'answered' ? String(outcome.status) : outcome.kind;
      const key = `${path} ${how}`;
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    }
  }
}

function workerPids(proxy: Command): readonly number[] {
  const ready = proxy.lines().find((line) => line['msg'] === 'ready');
  return ready?.['workerPids'] as readonly number[];
}

describe('what dies', () => {
  it(
    'a worker: the others serve, and it comes back',
    async () => {
      scene = new Scene({ workers: 2 });
      const { proxy } = await scene.start();
      const [pid] = workerPids(proxy);
      process.kill(pid as number, 'SIGKILL');
      // Its sockets are closed once it is gone.
      await until(() => !existsSync(`/proc/${pid}`));
      for (let n = 0; n < 30; n++) expect(await scene.ask()).toMatchObject({ status: 200 });
      await proxy.until((line) => line['msg'] === 'worker restarted');
      for (let n = 0; n < 30; n++) expect(await scene.ask()).toMatchObject({ status: 200 });
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'the whole proxy: refused at once, never let through, and served again by the next one',
    async () => {
      scene = new Scene({ workers: 2 });
      const { proxy } = await scene.start();
      const load = new Load(scene, { clients: 4, paths: ['/ok'] });
      await sleep(300);
      process.kill(proxy.pid, 'SIGKILL');
      for (const pid of workerPids(proxy)) process.kill(pid, 'SIGKILL');
      await proxy.ended;
      // Not a time-out, which would be silence: whoever asks is told.
      expect(await scene.ask()).toEqual({ kind: 'reset' });
      await scene.rig.proxy();
      expect(await scene.ask()).toMatchObject({ status: 200 });
      const counts = await load.stop();
      expect(counts['/ok 403'] ?? 0).toBe(0);
      expect(counts['/ok silent'] ?? 0).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'the loader, in the middle of updates: one whole policy stays in force',
    async () => {
      scene = new Scene();
      let { loader } = await scene.start();
      for (let round = 0; round < 6; round++) {
        const [allowed, other] = round % 2 === 0 ? ['/even', '/odd'] : ['/odd', '/even'];
        scene.rig.writePolicies([policyOf(allowed as string)]);
        await sleep(20 + 23 * round);
        loader.kill('SIGKILL');
        await loader.ended;
        expect(await scene.ask('/never')).toMatchObject({ status: 403 });
        loader = await scene.rig.follow();
        await until(async () => isStatus(await (scene as Scene).ask(allowed), 200));
        expect(await scene.ask(other)).toMatchObject({ status: 403 });
      }
      const { code, output } = await scene.rig.redirect('status');
      expect([code, output]).toEqual([0, expect.anything()]);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'everything is taken away by down: then packets pass as if nothing had been',
    async () => {
      scene = new Scene();
      const { loader, proxy } = await scene.start();
      loader.kill('SIGTERM');
      expect(await loader.ended).toBe(0);
      // The loader's end is not the end of what it set up.
      expect(await scene.ask()).toMatchObject({ status: 200 });
      expect(await scene.ask('/other')).toMatchObject({ status: 403 });
      expect((await scene.rig.redirect('down')).code).toBe(0);
      proxy.kill('SIGKILL');
      expect(await scene.ask('/other')).toMatchObject({ status: 200 });
      // That one was not judged, as nobody was there to do it.
      scene.unjudged -= 1;
      expect(scene.rig.node.run(['ip', 'rule'])).not.toContain('fwmark');
      expect((await scene.rig.redirect('status')).code).toBe(1);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('what changes under load', () => {
  it(
    'policies: no request is lost, and none passes that both deny',
    async () => {
      scene = new Scene();
      await scene.start();
      const load = new Load(scene, { clients: 4, paths: ['/a', '/b', '/never'] });
      const seen = (way: string): number => load.counts.get(way) ?? 0;
      const isEnough = (): boolean =>
        seen('/a 200') > 0 && seen('/b 200') > 0 && seen('/never 403') > 10;
      for (let flip = 0; flip < 30 || (flip < 600 && !isEnough()); flip++) {
        scene.rig.writePolicies([policyOf(flip % 2 === 0 ? '/a' : '/b')]);
        await sleep(150);
      }
      const counts = await load.stop();
      const ways = Object.keys(counts).sort();
      expect(ways.filter((way) => !/^\/[ab] (200|403)$|^\/never 403$/.test(way))).toEqual([]);
      expect(counts['/never 403']).toBeGreaterThan(10);
      expect(counts['/a 200']).toBeGreaterThan(0);
      expect(counts['/b 200']).toBeGreaterThan(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'the proxy, replaced by the next one: not one request fails',
    async () => {
      scene = new Scene({ workers: 2 });
      let { proxy } = await scene.start();
      const load = new Load(scene, { clients: 6, paths: ['/ok'] });
      const kept = new KeptConnection(scene);
      for (let round = 0; round < 3; round++) {
        await sleep(300);
        const next = await scene.rig.proxy();
        await kept.ask();
        proxy.kill('SIGTERM');
        expect(await proxy.ended).toBe(0);
        proxy = next;
        kept.close();
      }
      expect(Object.keys(await load.stop())).toEqual(['/ok 200']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'the loader, replaced by the next one: not one request fails',
    async () => {
      scene = new Scene();
      let { loader } = await scene.start();
      const load = new Load(scene, { clients: 4, paths: ['/ok'] });
      for (let round = 0; round < 3; round++) {
        loader.kill('SIGTERM');
        await loader.ended;
        loader = await scene.rig.follow();
      }
      expect(Object.keys(await load.stop())).toEqual(['/ok 200']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'a connection that is older than its rule: reset at its next packet',
    async () => {
      scene = new Scene({ policies: [policyWithoutHttp()] });
      await scene.start();
      const kept = new KeptConnection(scene);
      expect(await kept.ask()).toBe(200);
      // Until now there was nothing to judge.
      scene.unjudged = 0;
      scene.rig.writePolicies([policyOf('/ok')]);
      await until(async () => isStatus(await (scene as Scene).ask('/other'), 403));
      const before = scene.unjudged;
      expect(await kept.ask()).toBe('gone');
      // What passed while the rule was on its way to the kernel was not judged by it.
      scene.unjudged -= before;
    },
    TEST_TIMEOUT_MS,
  );
});

describe('connections', () => {
  it(
    'from one port, again and again: none meets the remains of the one before',
    async () => {
      scene = new Scene();
      await scene.start();
      for (let n = 0; n < 50; n++) {
        const outcome = await ask({
          from: scene.web,
          fromIp: '10.3.0.2',
          fromPort: 40_000,
          to: API,
          port: PORT,
          path: '/ok',
        });
        expect([n, outcome]).toMatchObject([n, { status: 200 }]);
      }
    },
    TEST_TIMEOUT_MS,
  );

  it(
    '2,000 in a burst: none is lost',
    async () => {
      scene = new Scene({ workers: 2 });
      await scene.start();
      const asked = Array.from({ length: 2000 }, () =>
        ask({ from: (scene as Scene).web, to: API, port: PORT, path: '/ok', patienceMs: 60_000 }),
      );
      const outcomes = await Promise.all(asked);
      expect(outcomes.filter((outcome) => !isStatus(outcome, 200))).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'by SYN cookies only: each is judged as ever',
    async () => {
      scene = new Scene();
      await scene.start();
      scene.rig.node.sysctl('net.ipv4.tcp_syncookies', 2);
      for (let n = 0; n < 20; n++) {
        expect(await scene.ask()).toMatchObject({ status: 200 });
        expect(await scene.ask('/other')).toMatchObject({ status: 403 });
      }
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that say nothing: 300 of them keep nobody else from being served',
    async () => {
      scene = new Scene();
      await scene.start();
      const silent = Array.from({ length: 300 }, () => {
        const socket = (scene as Scene).web.client(4);
        socket.on('error', () => {});
        socket.connect({ host: API, port: PORT });
        return socket;
      });
      await until(() => silent.every(({ readyState }) => readyState === 'open'));
      for (let n = 0; n < 20; n++) expect(await scene.ask()).toMatchObject({ status: 200 });
      for (const socket of silent) socket.destroy();
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'among 1,000 endpoints: each is judged by its own labels',
    async () => {
      const others = Array.from({ length: 998 }, (_, n) => ({
        name: `shop/other-${n}`,
        ip: `10.8.${n >> 8}.${n & 255}`,
        labels: { app: `other-${n}`, tier: n % 2 === 0 ? 'even' : 'odd' },
      }));
      scene = new Scene({ others });
      await scene.start();
      expect(await scene.ask()).toMatchObject({ status: 200 });
      expect(await reaches({ from: scene.rig.outside, to: API, port: PORT, ...ONE_LOOK })).not.toBe(
        'open',
      );
      scene.rig.writePolicies([policyOf('/ok', '/new')]);
      await until(async () => isStatus(await (scene as Scene).ask('/new'), 200));
    },
    TEST_TIMEOUT_MS,
  );
});

/** One client connection on which one request follows the other. */
class KeptConnection {
  readonly #scene: Scene;
  #socket: ReturnType<Netns['client']> | null = null;
  #isGone = false;

  constructor(kept: Scene) {
    this.#scene = kept;
  }

  async ask(): Promise<number | 'gone'> {
    if (this.#socket === null) {
      const socket = this.#scene.web.client(4);
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#isGone = true;
      });
      socket.connect({ host: API, port: PORT });
      this.#socket = socket;
    }
    const socket = this.#socket;
    socket.write('GET /ok HTTP/1.1\r\nhost: a\r\n\r\n');
    if (this.#isGone) return 'gone';
    // A reset is an end, too: `once` would reject with it.
    const answered = once(socket, 'data').then(
      ([bytes]) => Number(String(bytes).slice(9, 12)),
      () => 'gone' as const,
    );
    const closed = new Promise<'gone'>((resolve) => socket.once('close', () => resolve('gone')));
    return Promise.race([answered, closed]);
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
    this.#isGone = false;
  }
}

function policyWithoutHttp(): string {
  const policy = JSON.parse(policyOf('/ok'));
  for (const { toPorts } of policy.spec.ingress) delete toPorts[0].rules;
  return JSON.stringify(policy);
}

function isStatus(outcome: Outcome, status: number): boolean {
  return outcome.kind === 'answered' && outcome.status === status;
}
