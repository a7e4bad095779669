/**
 * HTTP/2 clients and upstreams that do anything at any time, from a seed, while policy and time change.
 * Whatever happens: each stream that was opened is one record, what was opened is closed, nothing denied
 * goes upstream, no peer is sent what it did not allow, and no error is ours.
 */
import { afterEach, describe, expect, it } from 'vitest';
import {
  data,
  frame,
  headers,
  reset,
  settings,
  uint32,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS, INITIAL_WINDOW } from '../../support/http2_frames.ts';
import { brokenRules, openedStreams } from '../../support/http2_ledger.ts';
import { wireClient, wireUpstream } from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, cnp, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import type { OriginConnection } from '../../support/raw_origin.ts';
import { SeededRandom } from '../../support/seeded_random.ts';
import { settled } from '../../support/settled.ts';

afterEach(closeRigs);

const SCENARIO_COUNT = 25;
const FIRST_SEED = 20_260_701;
const STEP_COUNT = 200;
const CONCURRENT_STREAMS = 0x3;
const WINDOWS = [0, 1, 100, 5000, 65_535, 1_000_000];
const LENGTHS = [0, 1, 10, 100, 500, 1500];
const ODD_PATH = '/ok/../never';
const POLICIES = [
  allowHttp('* /ok.*'),
  allowHttp('* /ok.*', '* /sometimes'),
  cnp(
    ', rules: { http: [{ path: "/ok.*", headerMatches: [{ name: x-a, value: b, mismatch: REPLACE }] }] }',
  ),
];
const NOBODY = cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' });

/** One peer, and what it has allowed so far. */
interface Side {
  readonly peer: RawClient | OriginConnection;
  initialWindow: number;
  readonly updates: Map<number, number>;
  /** Streams that it may still send on, as far as it has not been told otherwise; heads that it sent. */
  readonly open: Set<number>;
  readonly begun: Set<number>;
}

function side(peer: Side['peer'], initialWindow: number): Side {
  return { peer, initialWindow, updates: new Map(), open: new Set(), begun: new Set() };
}

describe('everything goes wrong', () => {
  it(`seeds ${FIRST_SEED} to ${FIRST_SEED + SCENARIO_COUNT - 1}`, async () => {
    const faults = new Set<string>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SCENARIO_COUNT; seed++) {
      try {
        for (const fault of await new Scenario(new SeededRandom(seed)).play()) faults.add(fault);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    // The scenarios reach what they are meant to reach.
    expect([...faults]).toEqual(
      expect.arrayContaining([
        'null',
        'downstream-reset',
        'upstream-closed',
        'upstream-reset',
        'malformed-response',
        'stream-idle-timeout',
        'http2-error',
      ]),
    );
  });
});

class Scenario {
  readonly #random: SeededRandom;
  #rig!: Rig;
  #client!: Side;
  readonly #upstreams: Side[] = [];
  #nextId = 1;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async play(): Promise<readonly string[]> {
    const random = this.#random;
    this.#rig = await startRig({
      policy: POLICIES[0] as string,
      limits: {
        h2StreamCountMax: 8,
        h2StreamWindowBytes: 4096,
        h2ConnectionWindowBytes: 65_536,
        bufferBytesMax: 4096,
        streamIdleTimeoutMs: 3000,
        // Budgets would end every scenario before it has begun.
        h2NoiseFrameCountMax: 100_000,
        h2ResetCountMax: 10_000,
        h2WindowUpdateSlackCount: 100_000,
      },
    });
    const rig = this.#rig;
    const initialWindow = random.pick(WINDOWS);
    const peer = await wireClient(rig, { entries: [[INITIAL_WINDOW, initialWindow]] });
    this.#client = side(peer, initialWindow);
    for (let step = 0; step < STEP_COUNT; step++) {
      await this.#greetUpstreams();
      this.#act();
      if (random.below(2) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await settled();
    peer.close();
    await rig.recorder.untilClosed(1);
    await expect.poll(() => rig.plane.connectionCount).toBe(0);
    const { connections } = rig.origin;
    await expect.poll(() => connections.every((one) => one.isEnded || one.isClosed)).toBe(true);
    this.#check();
    const faults = rig.recorder.records.map(({ fault }) => String(fault));
    closeRigs();
    return faults;
  }

  #check(): void {
    const { recorder, origin } = this.#rig;
    expect(recorder.streamsOpenCount).toBe(0);
    // One more for a connection that ended by itself while it had nothing open.
    const extra = recorder.records.filter(({ head, fault }) => head === null && isOfAll(fault));
    expect(recorder.records.length - extra.length).toBe(recorder.streamsOpenedCount);
    expect(extra.length).toBeLessThanOrEqual(1);
    expect(recorder.internalErrors).toEqual([]);
    expect(brokenRules(this.#client.peer.received, this.#client)).toEqual([]);
    expect(origin.received).not.toContain('/never');
    for (const side of this.#upstreams) {
      expect(brokenRules(side.peer.received, side)).toEqual([]);
      const ids = openedStreams(side.peer.received);
      expect(ids).toEqual([...ids].sort((a, b) => a - b));
    }
  }

  async #greetUpstreams(): Promise<void> {
    const { connections } = this.#rig.origin;
    while (this.#upstreams.length < connections.length) {
      const index = this.#upstreams.length;
      const initialWindow = this.#random.pick(WINDOWS);
      const most = this.#random.pick([0, 1, 2, 100, 100, 100]);
      const entries = [
        [INITIAL_WINDOW, initialWindow],
        [CONCURRENT_STREAMS, most],
      ] as const;
      const peer = await wireUpstream(this.#rig, { index, entries });
      this.#upstreams.push(side(peer, initialWindow));
    }
  }

  #act(): void {
    const random = this.#random;
    const kind = random.below(20);
    if (kind < 8) this.#actAsClient();
    else if (kind < 19) this.#actAsUpstream();
    else if (random.below(2) === 0) this.#rig.time.advance(random.pick([100, 300, 300, 3100]));
    else if (random.below(20) === 0) this.#rig.update(NOBODY);
    else this.#rig.update(random.pick(POLICIES));
  }

  #actAsClient(): void {
    const random = this.#random;
    const client = this.#client;
    const { peer } = client;
    const kind = random.below(100);
    if (kind < 40 || client.open.size === 0) this.#request();
    else if (kind < 65) this.#content(client, this.#idOf(client));
    else if (kind < 72) this.#end(client, reset(this.#idOf(client), random.below(20)));
    else if (kind < 86) this.#widen(client);
    else if (kind < 89) this.#resize(client);
    else if (kind < 92) peer.send(frame(6, random.below(2), 0, Buffer.alloc(8)));
    else if (kind < 98) this.#end(client, headers(this.#idOf(client), ['x-end', 'y']));
    else if (kind === 98) peer.send(frame(2, 0, this.#someId(), Buffer.alloc(5)));
    else this.#breakRules();
  }

  #breakRules(): void {
    const { peer } = this.#client;
    const kind = this.#random.below(12);
    if (kind === 0) peer.end();
    else if (kind === 1) peer.send(data(0, 'x'));
    else if (kind === 2) peer.send(frame(0x9, 4, 1));
    else if (kind < 6) peer.send(data(this.#someId(), 'x'));
    else if (kind < 9) peer.send(windowUpdate(this.#someId(), 0));
    else peer.send(headers(this.#someId(), ['x', 'y'], END_HEADERS));
  }

  #request(): void {
    const random = this.#random;
    const path = random.pick(['/ok', '/ok', '/ok/1', '/ok/2', '/sometimes', '/never', ODD_PATH]);
    const fields = [':method', random.pick(['GET', 'POST', 'HEAD']), ':scheme', 'http'];
    fields.push(':authority', 'a.test', ':path', path);
    if (random.below(4) === 0) fields.push('content-type', 'application/grpc');
    if (random.below(20) === 0) fields.push('content-length', String(random.pick(LENGTHS)));
    if (random.below(8) === 0) fields.push('x-a', 'evil');
    if (random.below(50) === 0) fields.push('Bad', 'x');
    const isEnd = random.below(2) === 0;
    this.#client.peer.send(headers(this.#nextId, fields, (isEnd ? END : 0) | END_HEADERS));
    if (!isEnd) this.#client.open.add(this.#nextId);
    this.#nextId += 2;
  }

  #actAsUpstream(): void {
    const random = this.#random;
    const upstream = this.#upstreams[this.#upstreams.length - 1 - random.below(2)];
    if (upstream === undefined) return;
    this.#lookFor(upstream);
    const { peer } = upstream;
    const kind = random.below(100);
    // On a stream that is not there anything ends the connection.
    if (kind < 65 && upstream.open.size === 0 && random.below(40) > 0) return;
    if (kind < 60) this.#respond(upstream, this.#idOf(upstream));
    else if (kind < 65) this.#end(upstream, reset(this.#idOf(upstream), random.below(20)));
    else if (kind < 82) this.#widen(upstream);
    else if (kind < 85) this.#resize(upstream);
    else if (kind < 90) peer.send(settings([CONCURRENT_STREAMS, random.pick([0, 1, 100])]));
    else if (kind < 92) peer.send(goAway(this.#someId()));
    else if (kind < 96) peer.send(frame(6, random.below(2), 0, Buffer.alloc(8)));
    else if (kind < 97) peer.send(headers(this.#idOf(upstream), [':status', '101']));
    else if (random.below(3) === 0) random.pick([() => peer.end(), () => peer.reset()])();
  }

  /** Streams that have come to it since. */
  #lookFor(upstream: Side): void {
    for (const id of openedStreams(upstream.peer.received)) {
      if (upstream.begun.has(id) || upstream.begun.has(-id)) continue;
      upstream.begun.add(-id);
      upstream.open.add(id);
    }
  }

  #respond(upstream: Side, id: number): void {
    const random = this.#random;
    if (upstream.begun.has(id)) {
      if (random.below(4) > 0) this.#content(upstream, id);
      else this.#end(upstream, headers(id, ['grpc-status', '0']));
      return;
    }
    const status = random.pick(['200', '200', '200', '204', '404', '103']);
    if (status !== '103') upstream.begun.add(id);
    const isEnd = status === '204' || (status !== '103' && random.below(3) === 0);
    const bytes = headers(id, [':status', status], (isEnd ? END : 0) | END_HEADERS);
    if (isEnd) this.#end(upstream, bytes);
    else upstream.peer.send(bytes);
  }

  /** `bytes` are the last that it sends on their stream. */
  #end(from: Side, bytes: Buffer): void {
    from.open.delete(bytes.readUInt32BE(5));
    from.peer.send(bytes);
  }

  #content(from: Side, id: number): void {
    const random = this.#random;
    const content = Buffer.alloc(random.pick(LENGTHS), 'c');
    const flags = random.below(4) === 0 ? END : 0;
    const padding = random.below(6) > 0 ? -1 : random.below(200);
    const padded = [Buffer.from([padding]), content, Buffer.alloc(Math.max(0, padding))];
    const bytes =
      padding < 0 ? data(id, content, flags) : frame(0, flags | 0x8, id, Buffer.concat(padded));
    if (flags === END) this.#end(from, bytes);
    else from.peer.send(bytes);
  }

  #widen(side: Side): void {
    const id = this.#random.below(2) === 0 || side.open.size === 0 ? 0 : this.#idOf(side);
    const increment = this.#random.pick([1, 100, 5000, 60_000, 60_000]);
    side.updates.set(id, (side.updates.get(id) ?? 0) + increment);
    side.peer.send(windowUpdate(id, increment));
  }

  #resize(side: Side): void {
    const size = this.#random.pick(WINDOWS);
    side.initialWindow = Math.max(side.initialWindow, size);
    side.peer.send(settings([INITIAL_WINDOW, size]));
  }

  /** Mostly one that it may send on. */
  #idOf({ open }: Side): number {
    if (open.size === 0 || this.#random.below(100) === 0) return this.#someId();
    return this.#random.pick([...open]);
  }

  /** Any of the latest, whatever became of it. */
  #someId(): number {
    const latest = Math.max(1, this.#nextId - 2);
    return Math.max(1, latest - 2 * this.#random.below(6));
  }
}

function goAway(lastStreamId: number): Buffer {
  return frame(7, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(0)]));
}

/** A fault of the connection as a whole. */
function isOfAll(fault: string | null): boolean {
  return (
    fault === null ||
    fault === 'http2-error' ||
    fault === 'http2-abuse' ||
    fault === 'policy-changed'
  );
}
