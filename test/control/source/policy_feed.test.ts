/** The first read and the later ones, with and without a folder for state. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import { FileSource } from '../../../src/control/source/files/file_source.ts';
import { LastGoodSet } from '../../../src/control/source/files/last_good_set.ts';
import { PolicyFiles } from '../../../src/control/source/files/policy_files.ts';
import {
  type FeedRead,
  type FeedStart,
  PolicyFeed,
} from '../../../src/control/source/policy_feed.ts';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';

const BAD = 'kind: CiliumNetworkPolicy\nthis: is no policy\n';

let root: string;
let nowMs: number;
const states: LastGoodSet[] = [];
const feeds: PolicyFeed[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-feed-'));
  nowMs = 1_000;
  mkdirSync(join(root, 'policies'));
  write(
    'endpoints.yaml',
    'endpoints:\n  - { name: default/api, ip: 10.0.0.1, labels: { app: api } }\n',
  );
});

afterEach(async () => {
  await Promise.all(feeds.splice(0).map((feed) => feed.stop()));
  await Promise.all(states.splice(0).map((state) => state.settled()));
  rmSync(root, { recursive: true, force: true });
});

describe('the policy feed', () => {
  it('starts with what the files say', async () => {
    write('policies/a.yaml', policy(80));
    const { feed, store } = kept();
    expect(feed.start()).toMatchObject({ kind: 'changed' });
    expect(opened(store)).toEqual([80]);
    expect(feed.staleness).toBeNull();
  });

  it('a first set that is bad is a start that fails, where no state is kept', () => {
    write('policies/a.yaml', BAD);
    const { feed } = made(null);
    expect(feed.start()).toMatchObject({ kind: 'rejected', result: 'rejected' });
  });

  it.each([
    { name: 'bad', harm: () => write('policies/a.yaml', BAD), result: 'rejected' },
    { name: 'empty', harm: () => write('policies/a.yaml', '\n'), result: 'rejected' },
    {
      name: 'gone with its folder',
      harm: () => rmSync(join(root, 'policies'), { recursive: true }),
      result: 'failed',
    },
  ])(
    'starts with the last good set when the file is $name, and says so',
    async ({ harm, result }) => {
      write('policies/a.yaml', policy(80));
      const before = kept();
      before.feed.start();
      await before.state.settled();
      harm();
      const { feed, store } = kept();
      const started = feed.start();
      expect(started).toMatchObject({
        kind: 'restored',
        savedAt: '1970-01-01T00:00:01.000Z',
        rejected: { result },
      });
      expect(opened(store)).toEqual([80]);
      expect(feed.staleness).toMatchObject({ sinceMs: 1_000 });
    },
  );

  it('denies everything when the files are bad and there is no good set', async () => {
    write('policies/a.yaml', BAD);
    const { feed, store } = kept();
    const started = feed.start();
    expect(started).toMatchObject({ kind: 'restored', savedAt: null });
    expect(feed.staleness?.problems.at(-1)).toMatch(/proxy\/last-good: there is none$/);
    expect(opened(store)).toEqual([]);
  });

  it('tells the first problems of a set with many, all of their count, and why there is no good set', async () => {
    const { policyProblemCountMax } = DEFAULT_LIMITS;
    const count = 30 * policyProblemCountMax;
    write('policies/a.yaml', `${policy(80)}${lines(count, (index) => `bad${index}: 1`)}`);
    const { feed } = kept();
    const started = feed.start();
    const { staleness } = feed;
    expect(staleness).toMatchObject({ problemCount: count + 1 });
    expect(staleness?.problems).toHaveLength(policyProblemCountMax + 2);
    expect(staleness?.problems.slice(-2)).toEqual([
      `and ${count - policyProblemCountMax} more`,
      expect.stringMatching(/proxy\/last-good: there is none$/),
    ]);
    const { problems, problemCount } = staleness ?? {};
    expect(started).toMatchObject({ kind: 'restored', rejected: { problems, problemCount } });
  });

  it('an empty set denies, and is no reason to forget the last one', async () => {
    write('policies/a.yaml', policy(80));
    const { feed, store, state } = kept();
    feed.start();
    rmSync(join(root, 'policies/a.yaml'));
    expect(feed.read()).toMatchObject({ kind: 'changed', accepted: { isEmpty: true } });
    expect(opened(store)).toEqual([]);
    await state.settled();
    expect(state.load()).toMatchObject({ bundle: { policies: [{ text: policy(80) }] } });
  });

  it('is stale from the first bad set to the next good one, also the one in force', async () => {
    write('policies/a.yaml', policy(80));
    const { feed, store } = kept();
    feed.start();
    write('policies/a.yaml', BAD);
    nowMs = 5_000;
    expect(feed.read()).toMatchObject({ kind: 'rejected' });
    nowMs = 9_000;
    rmSync(join(root, 'policies'), { recursive: true });
    expect(feed.read()).toMatchObject({ kind: 'rejected', result: 'failed' });
    expect(feed.staleness).toEqual({
      sinceMs: 5_000,
      problems: [expect.stringContaining('policies')],
      problemCount: 1,
    });
    expect(opened(store)).toEqual([80]);
    mkdirSync(join(root, 'policies'));
    write('policies/a.yaml', policy(80));
    feed.read();
    expect(feed.staleness).toBeNull();
    expect(opened(store)).toEqual([80]);
  });

  it('files that move while they are read are no set that is wrong: the next read has them', () => {
    write('policies/a.yaml', policy(80));
    let hasMoved = false;
    const { feed, store } = made(null, (path) => {
      const bytes = readFileSync(path);
      if (path.endsWith('a.yaml') && hasMoved === false && store.current().revision > 0) {
        hasMoved = true;
        write('policies/a.yaml', policy(81));
      }
      return bytes;
    });
    feed.start();
    write('policies/a.yaml', policy(443));
    expect(feed.read()).toEqual({ kind: 'same' });
    expect(feed.staleness).toBeNull();
    expect(opened(store)).toEqual([80]);
    expect(feed.read()).toMatchObject({ kind: 'changed' });
    expect(opened(store)).toEqual([81]);
  });

  it('is stale no more when an unreadable set becomes what was in force', async () => {
    write('policies/a.yaml', policy(80));
    const { feed } = kept();
    feed.start();
    rmSync(join(root, 'policies'), { recursive: true });
    feed.read();
    mkdirSync(join(root, 'policies'));
    write('policies/a.yaml', policy(80));
    expect(feed.read()).toEqual({ kind: 'same' });
    expect(feed.staleness).toBeNull();
  });
});

/** A feed of files, with what it said last; it reads when it is told to. */
class FileFeed {
  readonly store: PolicyChecker;
  readonly #time = new ManualPlatform();
  readonly #feed: PolicyFeed;
  #started: FeedStart | null = null;
  readonly #reads: FeedRead[] = [];

  constructor(lastGood: LastGoodSet | null, readBytes?: (path: string) => Buffer) {
    const limits = DEFAULT_LIMITS;
    const regexEngine = createRe2Engine(limits);
    const decode = { limits, regexEngine };
    const files = new PolicyFiles({
      policies: [join(root, 'policies')],
      endpoints: join(root, 'endpoints.yaml'),
      secrets: null,
      limits,
      timers: this.#time.timers,
      ...(readBytes === undefined ? {} : { readBytes }),
    });
    this.store = new PolicyChecker({ limits, regexEngine });
    this.#feed = new PolicyFeed({
      source: new FileSource(files, { decode }),
      store: this.store,
      decode,
      lastGood,
      limits,
      wallMs: () => nowMs,
      events: {
        onReading: () => {},
        onStart: (start) => {
          this.#started = start;
        },
        onRead: (read) => this.#reads.push(read),
        onRefused: () => {},
        onHealth: () => {},
        onNotice: () => {},
      },
    });
    feeds.push(this.#feed);
  }

  start(): FeedStart {
    this.#feed.start();
    if (this.#started === null) throw new Error('files are read at once');
    return this.#started;
  }

  read(): FeedRead {
    const before = this.#reads.length;
    this.#feed.refresh(() => {});
    this.#time.advance(DEFAULT_LIMITS.reloadDelayMs);
    const read = this.#reads.at(-1);
    if (read === undefined || this.#reads.length === before) throw new Error('nothing was read');
    return read;
  }

  get staleness(): PolicyFeed['staleness'] {
    return this.#feed.staleness;
  }
}

function made(
  state: LastGoodSet | null,
  readBytes?: (path: string) => Buffer,
): { feed: FileFeed; store: PolicyChecker } {
  const feed = new FileFeed(state, readBytes);
  return { feed, store: feed.store };
}

function kept(): { feed: FileFeed; store: PolicyChecker; state: LastGoodSet } {
  const state = new LastGoodSet({
    folder: join(root, 'state'),
    name: 'proxy',
    wallMs: () => nowMs,
    onError: (message) => {
      throw new Error(message);
    },
  });
  states.push(state);
  return { ...made(state), state };
}

function write(name: string, text: string): void {
  writeFileSync(join(root, name), text);
}

function lines(count: number, lineOf: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => `${lineOf(index)}\n`).join('');
}

function policy(port: number): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEntities: [world]
      toPorts: [{ ports: [{ port: "${port}", protocol: TCP }] }]
`;
}

/** Which of three ports the world may reach. */
function opened(store: PolicyChecker): number[] {
  const endpoint = store.current().endpoint('10.0.0.1');
  return [80, 81, 443].filter((port) => {
    const view = endpoint.port('ingress', 'TCP', port as Port).view(0 as ProxyId, 2 as Identity);
    return decideConnection(view, '').verdict === 'allow';
  });
}
