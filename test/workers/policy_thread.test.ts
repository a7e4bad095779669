/** The thread that checks policy sets: what the supervisor does meanwhile, and after the thread's end. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BusyError } from '../../src/admin/backend.ts';
import type { NumberedSet } from '../../src/control/worker/live_snapshot.ts';
import { decodeResolved } from '../../src/control/worker/resolved_wire.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { finish } from '../../src/model/steps.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import type { Timers } from '../../src/platform/platform.ts';
import type { SentRead } from '../../src/workers/policy_messages.ts';
import { PolicyThread } from '../../src/workers/policy_thread.ts';
import { askAdmin, ENDPOINTS, get, policyOf, Scratch } from './running.ts';

/** Of CPU, as others use the machine, too. */
const HOLD_MAX_MS = 50;

const PATIENT = { timeout: 20_000 };
const SMALL_HEAP = { policyMemoryBytesMax: 64 * 1024 * 1024 };

/** Real ones, but that a check has lasted too long is for the test to say. */
const TIMERS: Timers = {
  ...nodePlatform().timers,
  after: (delayMs, task) => {
    if (delayMs !== DEFAULT_LIMITS.policyCheckTimeoutMs) {
      return nodePlatform().timers.after(delayMs, task);
    }
    timeouts.push(task);
    return () => {
      timeouts = timeouts.filter((one) => one !== task);
    };
  },
};

/** Takes longer than a test waits. */
const HUGE = annotated(400_000);

const LARGE = [
  ['14,000 annotations', annotated(14_000)],
  ['40,000 fields that do not exist', `${policyOf('/ok')}${lines(40_000, (i) => `  k${i}: 1`)}`],
  ['700 port ranges', ranges(700)],
] as const;

let scratch: Scratch;
let thread: PolicyThread | null = null;
let reads: SentRead[] = [];
let rebased: { readonly set: NumberedSet; readonly sequence: number }[] = [];
let deaths: string[] = [];
/** Of checks that are under way: the last one, if it is. */
let timeouts: (() => void)[] = [];

beforeEach(() => {
  scratch = new Scratch();
  reads = [];
  rebased = [];
  deaths = [];
  timeouts = [];
});

afterEach(async () => {
  await thread?.stop();
  await scratch.dispose();
});

describe('while a large set is checked', () => {
  it.each(LARGE)('the thread of the supervisor is not held: %s', async (_name, text) => {
    const running = await started();
    scratch.write('policies/large.yaml', text);
    const hold = new LongestHold();
    await running.reload();
    expect(hold.end()).toBeLessThan(HOLD_MAX_MS);
    expect(reads.at(-1)?.kind).toMatch(/changed|rejected/);
  });

  it('a proxy answers health checks, its status, and requests', async () => {
    const socketPath = join(scratch.dir, 'admin.sock');
    const more = `workers: 1\nadmin: unix:${socketPath}`;
    const proxy = scratch.run([
      'run',
      '-c',
      scratch.config({ upstream: await scratch.origin(), more }),
    ]);
    const port = await proxy.port();
    const inForce = proxy.line(({ revision, msg }) => msg === 'policy in force' && revision === 2);
    for (const [name, text] of LARGE)
      if (!name.includes('exist')) scratch.write(`policies/${name}.yaml`, text);
    let isInForce = false;
    inForce.then(() => {
      isInForce = true;
    });
    const answers = new Set<number>();
    let count = 0;
    while (!isInForce) {
      const asked = ['/healthz/live', '/status'].map((path) => askAdmin(socketPath, path));
      for (const { status } of await Promise.all(asked)) answers.add(status);
      answers.add((await get(port, '/ok')).status);
      count += 1;
    }
    expect([...answers]).toEqual([200]);
    expect(count).toBeGreaterThan(5);
  });
});

describe('a question to the policy thread', () => {
  it('is not answered later than adminAnswerTimeoutMs while a set is checked, and is then', async () => {
    const running = await started({ adminAnswerTimeoutMs: 300 });
    scratch.write('policies/large.yaml', HUGE);
    const why = new BusyError('a policy set is being checked; ask again later');
    const asked = (): Promise<unknown> => running.print('text').catch((error: unknown) => error);
    await expect.poll(asked, PATIENT).toEqual(why);
    await expect(running.explain({})).rejects.toEqual(why);
    await diesWhileReading();
    await expect.poll(asked, PATIENT).toContain('default/api');
  });
});

describe('a policy thread', () => {
  it('that takes too long is ended, the set is rejected, and the next one is read', async () => {
    const running = await started();
    scratch.write('policies/large.yaml', HUGE);
    await diesWhileReading();
    expect(deaths).toEqual([expect.stringContaining('policyCheckTimeoutMs (120000 ms)')]);
    expect(reads.at(-1)).toMatchObject({ kind: 'rejected', problems: deaths });
    expect(running.staleness).toMatchObject({ problems: deaths });
    scratch.write('policies/large.yaml', otherPolicy());
    await expect.poll(() => reads.at(-1)?.kind, PATIENT).toBe('changed');
    expect(reads.at(-1)).toMatchObject({ sent: { set: { revision: 2 } } });
    expect(running.staleness).toBeNull();
  });

  it('tells who else is who, makes the set anew with it, and goes on with a whole set after its end', async () => {
    const running = await started();
    scratch.write('endpoints.yaml', ENDPOINTS.replace('10.0.0.8', '10.0.0.9'));
    await running.reload();
    const told = reads.at(-1);
    if (told?.kind !== 'identities') throw new Error(`it told ${told?.kind}`);
    running.rebase();
    await expect.poll(() => rebased.length, PATIENT).toBe(1);
    const [anew] = rebased;
    expect(anew).toMatchObject({ set: { revision: 1 }, sequence: told.sent.batch.sequence });
    const resolved = finish(decodeResolved(anew?.set.parts ?? []));
    expect(resolved.roster.ipcache.lookup('10.0.0.9')).not.toBeNull();
    expect(resolved.roster.ipcache.lookup('10.0.0.8')).toBeNull();
    scratch.write('policies/large.yaml', HUGE);
    await diesWhileReading();
    scratch.write('policies/large.yaml', '');
    scratch.write('policies/large.yaml', policyOf('/x').replace('name: api', 'name: x'));
    await expect.poll(() => reads.at(-1)?.kind, PATIENT).toBe('changed');
    const last = reads.at(-1);
    if (last?.kind !== 'changed') throw new Error('nothing was accepted');
    expect(last.sent.sequence).toBeGreaterThan(told.sent.batch.sequence);
  });

  it('that needs too much memory is ended, and another answers by the set in force', async () => {
    const running = await started(SMALL_HEAP);
    const good = await running.print('text');
    scratch.write('policies/large.yaml', annotated(150_000));
    await running.reload();
    expect(deaths).toEqual([expect.stringContaining('policyMemoryBytesMax')]);
    await expect.poll(() => running.print('text').catch(() => ''), PATIENT).toBe(good);
    const http = { method: 'GET', path: '/no', authority: 'a.test', headers: [] };
    const whom = { endpoint: 'default/api', remote: 'default/client' };
    const question = { ...whom, port: 8080, direction: 'ingress', http };
    expect(await running.explain(question)).toMatchObject({ kind: 'explanation' });
    // Files that ended a thread are not read again by themselves.
    expect(deaths).toHaveLength(1);
  }, 120_000);

  it('gives no label set the number that another had before it', async () => {
    // Of so many some would have the same number, and the later of them has the next.
    scratch.write('endpoints.yaml', endpointsOf(0, 1500));
    const running = await started();
    scratch.write('endpoints.yaml', endpointsOf(750, 2250));
    await running.reload();
    const before = identities();
    scratch.write('policies/large.yaml', HUGE);
    await diesWhileReading();
    expect(deaths).toHaveLength(1);
    scratch.write('endpoints.yaml', endpointsOf(1500, 3000));
    scratch.write('policies/large.yaml', otherPolicy());
    await expect.poll(() => reads.at(-1)?.kind, PATIENT).toBe('changed');
    const after = identities();
    const changed = [...after].filter(([identity, labels]) => {
      const known = before.get(identity);
      return known !== undefined && known !== labels;
    });
    expect(changed).toEqual([]);
    expect([...after.keys()].filter((identity) => before.has(identity)).length).toBeGreaterThan(
      700,
    );
  }, 120_000);

  it('that ends at the first read leaves a start that fails, and with a state folder what is kept', async () => {
    const problem = expect.stringContaining('policyCheckTimeoutMs');
    scratch.write('policies/large.yaml', HUGE);
    const failing = made().start();
    await diesWhileReading();
    expect(await failing).toMatchObject({ kind: 'rejected', problems: [problem] });
    await thread?.stop();
    mkdirSync(join(scratch.dir, 'state'));
    const restored = made({}, join(scratch.dir, 'state')).start();
    await diesWhileReading();
    expect(await restored).toMatchObject({
      kind: 'restored',
      savedAt: null,
      rejected: { problems: [problem, expect.stringContaining('there is none')] },
    });
  });

  it('tells so many problems and counts the others', async () => {
    const running = await started({ policyProblemCountMax: 3 });
    scratch.write('policies/api.yaml', `${policyOf('/ok')}${lines(50, (i) => `  k${i}: 1`)}`);
    await running.reload();
    const last = reads.at(-1);
    if (last?.kind !== 'rejected') throw new Error('it was accepted');
    expect(last.problems).toHaveLength(4);
    expect(last.problems.at(-1)).toBe('and 47 more');
    expect(last.problemCount).toBe(50);
  });

  it('that is stopped while it starts ends the start', async () => {
    const starting = made().start();
    await thread?.stop();
    // It may have been done by then.
    expect((await starting).kind).toMatch(/rejected|changed/);
  });
});

async function started(limits: Partial<Limits> = {}): Promise<PolicyThread> {
  const running = made(limits);
  expect(await running.start()).toMatchObject({ kind: 'changed' });
  running.follow();
  return running;
}

function made(limits: Partial<Limits> = {}, stateDir: string | null = null): PolicyThread {
  const { clock } = nodePlatform();
  thread = new PolicyThread({
    settings: {
      policyPaths: [join(scratch.dir, 'policies')],
      endpointsPath: join(scratch.dir, 'endpoints.yaml'),
      secretsPath: null,
      kubernetes: null,
      listeners: [],
      hasNodeLabels: false,
      isEmptySetOpen: false,
      isHostJudged: false,
      areServicesTranslated: false,
      neverLearned: [],
      isPathNormalised: true,
      isDryRun: false,
      invalidPolicy: 'absent',
      stateDir,
      limits: { ...DEFAULT_LIMITS, reloadDelayMs: 10, reloadPollIntervalMs: 50, ...limits },
    },
    timers: TIMERS,
    wallMs: () => clock.wallMs(),
    events: {
      onRead: (read) => reads.push(read),
      onRefused: () => {},
      onHealth: () => {},
      onNotice: () => {},
      onServices: () => {},
      onNotKept: () => {},
      onRebased: (set, sequence) => rebased.push({ set, sequence }),
      onLearned: () => {},
      onNamesLost: () => {},
      onDied: (problem) => deaths.push(problem),
    },
  });
  return thread;
}

/** The thread is at files that take long when the time for it is over. */
async function diesWhileReading(): Promise<void> {
  await expect.poll(() => thread?.isReading, PATIENT).toBe(true);
  timeouts.at(-1)?.();
}

function otherPolicy(): string {
  return policyOf('/new').replace('name: api', 'name: other');
}

/** Of the set that was accepted last. */
function identities(): ReadonlyMap<number, string> {
  const last = reads.at(-1);
  if (last?.kind !== 'changed') throw new Error('nothing was accepted');
  const { roster } = finish(decodeResolved(last.sent.set.parts ?? []));
  return new Map(
    [...roster.entries()].map(({ identity, set }) => [identity, set.labels.join(' ')]),
  );
}

function endpointsOf(from: number, to: number): string {
  const names = Array.from({ length: to - from }, (_, i) => from + i);
  const own = names.map((i) => {
    const ip = `10.1.${i >> 8}.${i & 255}`;
    return `  - { name: default/e${i}, ip: ${ip}, labels: { app: e${i} } }\n`;
  });
  return `${ENDPOINTS}${own.join('')}`;
}

/** The most CPU, in milliseconds, that this thread used before a timer of it had its turn. */
class LongestHold {
  #longest = 0;
  #before = process.threadCpuUsage();
  readonly #timer = setInterval(() => this.#look(), 1);

  end(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#longest / 1000;
  }

  #look(): void {
    const { user, system } = process.threadCpuUsage(this.#before);
    this.#longest = Math.max(this.#longest, user + system);
    this.#before = process.threadCpuUsage();
  }
}

function annotated(count: number): string {
  const annotations = lines(count, (i) => `    k${i}: v`);
  return policyOf('/ok').replace(
    'metadata: { name: api, namespace: default }',
    `metadata:\n  name: annotated\n  namespace: default\n  annotations:\n${annotations}`,
  );
}

/** Each denied, and as many denied on all ports. */
function ranges(count: number, name = 'ranges'): string {
  const rules = lines(count, (i) => {
    const port = 10_000 + 20 * (i % 2000);
    const ports = `[{ port: "${port}", endPort: ${port + 30}, protocol: TCP }]`;
    return `    - toPorts: [{ ports: ${ports} }]\n    - fromCIDR: [10.${i >> 8}.${i & 255}.0/24]`;
  });
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingressDeny:
${rules}`;
}

function lines(count: number, lineOf: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => `${lineOf(i)}\n`).join('');
}
