import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../support/property_runs.ts';
import { LeaseWorld, type Way } from './lease_world.ts';

describe('an election', () => {
  it('elects one of many, which stays while it lives', async () => {
    const world = new LeaseWorld();
    for (const name of ['a', 'b', 'c']) world.add(name);
    await world.pass(5_000);
    expect(world.elected).toHaveLength(1);
    const [first] = world.elected;
    await world.pass(300_000, () => expect(world.elected).toEqual([first]));
    expect(world.processes.flatMap(({ terms }) => terms)).toHaveLength(1);
  });

  it('is looked at seldom by those who did not win', async () => {
    const world = new LeaseWorld();
    for (let n = 0; n < 10; n++) world.add(`p${n}`);
    await world.pass(60_000);
    world.asked.GET = 0;
    await world.pass(60_000);
    // Nine of them, every 30 seconds.
    expect(world.asked.GET).toBeLessThanOrEqual(18);
  });

  it('passes to another one when the one who won has died, after its time and not before', async () => {
    const world = new LeaseWorld();
    const first = world.add('first');
    await world.pass(3_000);
    world.add('second');
    await world.pass(3_000);
    first.isDead = true;
    await world.pass(14_000, () => expect(world.elected).toEqual([]));
    await world.pass(60_000);
    expect(world.elected).toEqual(['second']);
  });

  it('passes on at once when it is given back', async () => {
    const world = new LeaseWorld();
    const first = world.add('first');
    await world.pass(3_000);
    const stopped = first.election.stop();
    await world.pass(250);
    await stopped;
    expect(first.terms[0]?.aborted).toBe(true);
    world.add('second');
    await world.pass(3_000);
    expect(world.elected).toEqual(['second']);
  });

  it('ends for one that cannot renew, before another one may begin', async () => {
    const world = new LeaseWorld();
    const first = world.add('first');
    await world.pass(3_000);
    world.add('second');
    await world.pass(3_000);
    first.way = 'cut';
    await world.pass(10_500);
    expect(first.election.isElected).toBe(false);
    expect(first.terms[0]?.aborted).toBe(true);
    await world.pass(60_000, () => expect(world.elected.length).toBeLessThanOrEqual(1));
    expect(world.elected).toEqual(['second']);
    first.way = 'open';
    await world.pass(60_000, () => expect(world.elected).toEqual(['second']));
  });

  it('goes on in its term after one answer was lost', async () => {
    const world = new LeaseWorld();
    const only = world.add('only');
    await world.pass(3_000);
    only.way = 'late';
    await world.pass(4_000);
    only.way = 'open';
    await world.pass(20_000, () => expect(world.elected).toEqual(['only']));
    expect(only.terms).toHaveLength(1);
  });

  it('is not lost by a process whose wall clock is hours away', async () => {
    const world = new LeaseWorld();
    world.add('early', -7_200_000);
    world.add('late', 7_200_000);
    world.add('right');
    await world.pass(5_000);
    const [first] = world.elected;
    await world.pass(120_000, () => expect(world.elected).toEqual([first]));
  });

  it('tells once that rights are missing, asks seldom, and goes on when they are given', async () => {
    const world = new LeaseWorld();
    world.refusal = { status: 403, message: 'leases is forbidden' };
    const only = world.add('only');
    await world.pass(300_000);
    expect(only.problems).toEqual([
      'no right to hold the Lease sallyport/report: leases is forbidden',
    ]);
    expect(world.asked.GET).toBeLessThanOrEqual(5);
    world.refusal = null;
    await world.pass(130_000);
    expect(world.elected).toEqual(['only']);
    expect(only.problems.at(-1)).toBeNull();
  });

  it('leaves what else is in the Lease as it is', async () => {
    const world = new LeaseWorld();
    world.stored = { version: 7, spec: { strategy: 'OldestEmulationVersion' } };
    world.add('only');
    await world.pass(5_000);
    expect(world.stored?.spec).toMatchObject({
      strategy: 'OldestEmulationVersion',
      holderIdentity: 'only',
      leaseDurationSeconds: 15,
      renewTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    });
  });
});

describe('whatever happens to processes and their ways', () => {
  type Event = {
    readonly who: number;
    readonly what: Way | 'pause' | 'go on' | 'die';
    readonly ms: number;
  };
  const event: fc.Arbitrary<Event> = fc.record({
    who: fc.nat(2),
    what: fc.constantFrom<Event['what']>('open', 'cut', 'late', 'pause', 'go on', 'die'),
    ms: fc.integer({ min: 250, max: 25_000 }),
  });
  const skews = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: -3_600_000, max: 3_600_000 })));

  it('never are two elected, and in the end one is', async () => {
    await fc.assert(
      fc.asyncProperty(skews, fc.array(event, { maxLength: 12 }), async (skewsMs, events) => {
        const world = new LeaseWorld();
        for (const [n, skewMs] of skewsMs.entries()) world.add(`p${n}`, skewMs);
        const check = (): void => expect(world.elected.length).toBeLessThanOrEqual(1);
        for (const { who, what, ms } of events) {
          const process = world.processes[who];
          if (process === undefined) throw new Error('nobody');
          if (what === 'die') process.isDead = true;
          else if (what === 'pause' || what === 'go on') process.isPaused = what === 'pause';
          else process.way = what;
          await world.pass(ms, check);
        }
        for (const process of world.processes) {
          process.way = 'open';
          process.isPaused = false;
        }
        await world.pass(120_000, check);
        const isAnyAlive = world.processes.some(({ isDead }) => !isDead);
        expect(world.elected).toHaveLength(isAnyAlive ? 1 : 0);
      }),
      runs(20),
    );
  }, 120_000);
});
