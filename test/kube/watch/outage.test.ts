/** After an outage, however long it was, all kinds are followed again soon; what is one kind's own is not hurried. */
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KubeClient, KubeFailure, KubeRequest } from '../../../src/kube/client.ts';
import type { KubeKind } from '../../../src/kube/kind.ts';
import { ApiServer } from '../../../src/kube/watch/api_server.ts';
import { Reflector } from '../../../src/kube/watch/reflector.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { MirrorSink } from '../../support/mirror_sink.ts';
import { runs } from '../../support/property_runs.ts';

const STEP_MS = 100;
/** Of what is asked and answered within this process. */
const TURNS = 8;
/** The longest time between two looks, and what all kinds are spread over. */
const BACK_MS = 8_000 + 2_000 + 3 * STEP_MS;
const KINDS = Array.from({ length: 12 }, (_, i) => kindOf(`kinds-${i}`));
const INITIAL_END =
  '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}\n';

function kindOf(plural: string): KubeKind {
  return { group: '', version: 'v1', plural, kind: plural, isNamespaced: true };
}

function refused(status: number, retryAfterMs: number | null = null): KubeFailure {
  return { kind: 'refused', status, reason: '', message: 'no', retryAfterMs };
}

const GONE: KubeFailure = { kind: 'unreachable', message: 'connection refused' };

/** Answers by what `fails` says, without sockets, in the time of a test. */
class ScriptedServer {
  readonly asked: { readonly atMs: number; readonly plural: string }[] = [];
  readonly #open = new Map<string, Readable>();
  readonly #platform: ManualPlatform;
  fails: (plural: string) => KubeFailure | null = () => null;

  constructor(platform: ManualPlatform) {
    this.#platform = platform;
  }

  client(): KubeClient {
    return {
      server: 'https://scripted',
      request: ({ path }) => {
        const failure = this.#answer(path);
        return Promise.resolve(failure ?? { kind: 'ok', status: 200, object: 'ok' });
      },
      stream: (request) => Promise.resolve(this.#stream(request)),
      close: () => Promise.resolve(),
    };
  }

  get openCount(): number {
    return this.#open.size;
  }

  cut(): void {
    for (const body of this.#open.values()) body.destroy(new Error('reset'));
    this.#open.clear();
  }

  #answer(path: string): KubeFailure | null {
    const plural = path.slice(path.lastIndexOf('/') + 1);
    this.asked.push({ atMs: this.#platform.clock.nowMs(), plural });
    return this.fails(plural);
  }

  #stream({ path, query, signal }: KubeRequest) {
    const failure = this.#answer(path);
    if (failure !== null) return failure;
    const body = new Readable({ read: () => {} });
    const plural = path.slice(path.lastIndexOf('/') + 1);
    this.#open.set(plural, body);
    signal?.addEventListener('abort', () => body.destroy(new Error('given up')));
    if (query?.get('sendInitialEvents') === 'true') body.push(INITIAL_END);
    return { kind: 'stream' as const, body };
  }
}

class World {
  readonly platform = new ManualPlatform();
  readonly scripted = new ScriptedServer(this.platform);
  readonly #reflectors: readonly Reflector[];

  constructor() {
    const { platform } = this;
    const client = this.scripted.client();
    const server = new ApiServer(client, platform);
    const common = { client, server, platform, limits: DEFAULT_LIMITS };
    this.#reflectors = KINDS.map(
      (kind) => new Reflector({ ...common, kind, sink: new MirrorSink() }),
    );
    for (const reflector of this.#reflectors) reflector.start();
  }

  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) {
      this.platform.advance(STEP_MS);
      for (let i = 0; i < TURNS; i++) await new Promise((done) => setImmediate(done));
    }
  }

  async out(ms: number): Promise<void> {
    this.scripted.fails = () => GONE;
    this.scripted.cut();
    await this.pass(ms);
    this.scripted.fails = () => null;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }
}

async function inWorld(run: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  try {
    await world.pass(5_000);
    expect(world.scripted.openCount).toBe(KINDS.length);
    await run(world);
  } finally {
    await world.stop();
  }
}

const lengths = fc.oneof(
  fc.integer({ min: 1, max: 20_000 }),
  fc.integer({ min: 20_000, max: 400_000 }),
);

describe('a server that is back', () => {
  it('is followed again soon, however long it was gone', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, (outageMs) =>
        inWorld(async (world) => {
          await world.out(outageMs);
          await world.pass(BACK_MS);
          expect(world.scripted.openCount).toBe(KINDS.length);
        }),
      ),
      runs(12),
    );
  }, 60_000);

  it('and still fills its caches is followed again soon after they are full', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 0, max: 60_000 }), (outageMs, fillMs) =>
        inWorld(async (world) => {
          await world.out(outageMs);
          world.scripted.fails = (plural) => (plural === 'readyz' ? null : refused(429, 1_000));
          await world.pass(fillMs);
          world.scripted.fails = () => null;
          // Back-offs that began anew have doubled since, up to the longest that there is.
          await world.pass(BACK_MS + 2 * Math.min(fillMs, 30_000));
          expect(world.scripted.openCount).toBe(KINDS.length);
        }),
      ),
      runs(12),
    );
  }, 60_000);

  it('and refuses everybody until it has read its roles is followed again soon after', async () => {
    await inWorld(async (world) => {
      await world.out(60_000);
      world.scripted.fails = (plural) => (plural === 'readyz' ? null : refused(403));
      await world.pass(BACK_MS);
      world.scripted.fails = () => null;
      // Its back-off has grown meanwhile.
      await world.pass(2 * BACK_MS);
      expect(world.scripted.openCount).toBe(KINDS.length);
    });
  });

  it('gets what is asked of it at once from no kind: they are spread', async () => {
    await inWorld(async (world) => {
      await world.out(300_000);
      const { length } = world.scripted.asked;
      await world.pass(BACK_MS);
      const times = world.scripted.asked.slice(length).filter(({ plural }) => plural !== 'readyz');
      expect(new Set(times.map(({ atMs }) => atMs)).size).toBeGreaterThan(4);
    });
  });

  it('is not asked before the time that it named', async () => {
    await inWorld(async (world) => {
      const { scripted, platform } = world;
      scripted.fails = (plural) => (plural === 'kinds-0' ? refused(429, 120_000) : GONE);
      scripted.cut();
      await world.pass(4_000);
      const namedMs = scripted.asked.findLast(({ plural }) => plural === 'kinds-0')?.atMs ?? 0;
      await world.pass(30_000);
      scripted.fails = () => null;
      await world.pass(namedMs + 119_000 - platform.clock.nowMs());
      expect(scripted.openCount).toBe(KINDS.length - 1);
      await world.pass(61_000);
      expect(scripted.openCount).toBe(KINDS.length);
    });
  });

  it('is not looked for when nobody waits for it', async () => {
    await inWorld(async (world) => {
      const { scripted } = world;
      await world.out(30_000);
      await world.pass(BACK_MS);
      const { length } = scripted.asked;
      await world.pass(60_000);
      expect(scripted.asked.length).toBe(length);
      scripted.fails = () => GONE;
      scripted.cut();
      await world.pass(20_000);
      await world.stop();
      const { length: stopped } = scripted.asked;
      await world.pass(60_000);
      expect(scripted.asked.length).toBe(stopped);
    });
  });
});

describe('what is not an outage', () => {
  it.each([
    ['one kind fails', refused(500)],
    ['one kind has too much asked of it', refused(429)],
    ['one kind is never new enough', refused(410)],
    ['one kind is forbidden', refused(403)],
  ])('does not undo a back-off: %s', async (_, failure) => {
    await inWorld(async (world) => {
      const { scripted } = world;
      scripted.fails = (plural) => (plural === 'kinds-0' ? failure : null);
      scripted.cut();
      await world.pass(60_000);
      const { length } = scripted.asked;
      await world.pass(600_000);
      const later = scripted.asked.slice(length);
      expect(later.filter(({ plural }) => plural === 'kinds-0').length).toBeLessThanOrEqual(21);
      expect(later.filter(({ plural }) => plural === 'readyz').length).toBeLessThanOrEqual(21);
    });
  });

  it('does not undo a back-off each time: a server that comes and goes', async () => {
    await inWorld(async (world) => {
      const { scripted, platform } = world;
      scripted.fails = (plural) =>
        plural === 'readyz' && platform.clock.nowMs() % 14_000 < 7_000 ? null : refused(503);
      scripted.cut();
      await world.pass(400_000);
      const asked = scripted.asked.filter(({ plural }) => plural === 'kinds-0').length;
      // Five of each 20 s at most, where all were asked at once again each time.
      expect(asked).toBeLessThanOrEqual(400 / 4);
    });
  });
});
