/** Turns, samples, noise and cores: what the comparison rests on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { compare, orderOfRound, sampleOf } from '../../bench/measure/compare.ts';
import { cpuBetween, processTree, readCpu } from '../../bench/measure/cpu.ts';
import { foreignShare, scenarioWarnings } from '../../bench/measure/noise.ts';
import { choosePinning, parseCoreList } from '../../bench/measure/pinning.ts';
import type { SubjectFacts } from '../../bench/report/report.ts';
import { SubjectBook } from '../../bench/report/subject_book.ts';
import type { Subject } from '../../bench/subjects/subject.ts';
import type { SuiteContext } from '../../bench/suites/suite.ts';

const subject = (name: string): Subject => ({
  name,
  url: `http://${name}.test`,
  directory: '/nowhere',
  facts: { name, version: '1', commands: [], files: [] },
  pids: () => [],
  stop: async () => {},
});

const context = (rounds: number): SuiteContext => ({
  kinds: [],
  settings: { rounds, seconds: 1, isQuick: true },
  directory: '/nowhere',
  progress: () => {},
  tellSubject: () => {},
  tellMissing: () => {},
  tellFailed: () => {},
  tellScenario: () => {},
});

describe('a comparison', () => {
  it('is by turns, there and back, after a warm-up of each', async () => {
    const asked: string[] = [];
    const scenario = await compare(context(3), {
      id: 'turns',
      title: 'turns',
      subjects: ['a', 'b', 'haproxy'].map(subject),
      loadOf: () => ({
        description: 'none',
        run: async (url) => {
          asked.push(url.slice('http://'.length, -'.test'.length));
          return { requests: 10, failures: 0, seconds: 1, contentBytes: 0 };
        },
      }),
    });
    const there = ['a', 'b', 'haproxy'];
    expect(asked).toEqual([...there, ...there, ...there.toReversed(), ...there]);
    expect(scenario.rows.map(({ samples }) => samples.length)).toEqual([3, 3, 3]);
    expect(scenario.reference).toBe('haproxy');
  });

  it('tells of a subject that broke, and goes on with the others', async () => {
    const scenario = await compare(context(1), {
      id: 'broken',
      title: 'broken',
      subjects: ['a', 'b'].map(subject),
      loadOf: ({ name }) => ({
        description: 'none',
        run: async () => {
          if (name === 'a') throw new Error('refused');
          return { requests: 10, failures: 4, seconds: 1, contentBytes: 0 };
        },
      }),
    });
    expect(scenario.rows.map(({ samples }) => samples.length)).toEqual([0, 1]);
    expect(scenario.warnings).toContain('a, round 1: no result: refused');
    expect(scenario.warnings).toContain('b: 4 requests failed');
    expect(scenario.reference).toBeNull();
  });

  it('goes back in every second round', () => {
    expect([0, 1, 2].map((round) => orderOfRound(['a', 'b', 'c'], round).join(''))).toEqual([
      'abc',
      'cba',
      'abc',
    ]);
  });
});

describe('a sample', () => {
  const cpu = { userSeconds: 0.3, systemSeconds: 0.1 };

  it('is CPU a request, user and kernel apart', () => {
    const sample = sampleOf(
      { requests: 10_000, failures: 1, seconds: 2, contentBytes: 10_240_000 },
      cpu,
    );
    expect(sample.cpuMicros).toBeCloseTo(40);
    expect(sample.cpuUserMicros).toBeCloseTo(30);
    expect(sample.cpuSystemMicros).toBeCloseTo(10);
    expect(sample.requestsPerSecond).toBe(5000);
    expect(sample.cpuNanosPerKilobyte).toBeCloseTo(40_000);
  });

  it('of no request has no cost', () => {
    expect(sampleOf({ requests: 0, failures: 3, seconds: 2, contentBytes: 0 }, cpu)).toEqual({
      failures: 3,
      cpuShare: 20,
    });
  });
});

describe('noise', () => {
  const row = (...micros: number[]) => ({
    subject: 'a',
    samples: micros.map((cpuMicros) => ({ cpuMicros })),
  });

  it('beyond 15 % between rounds is told by name', () => {
    expect(scenarioWarnings([row(10, 10.5, 11)])).toEqual([]);
    expect(scenarioWarnings([row(10, 10, 12)])).toEqual([
      'a: its rounds are 20 % apart in CPU a request',
    ]);
  });

  it('of other programs is what the cores did beyond ours', () => {
    const before = { atMs: 0, busySeconds: 10, ownSeconds: 1 };
    const after = { atMs: 2000, busySeconds: 13, ownSeconds: 3 };
    expect(foreignShare(before, after)).toBeCloseTo(0.5);
    expect(
      scenarioWarnings(
        [],
        [
          { subject: 'a', share: 0.5 },
          { subject: 'b', share: 0.01 },
        ],
      ),
    ).toEqual(['in 1 of 2 rounds other programs used up to 50 % of a core (while measuring: a)']);
  });
});

describe('cores', () => {
  it.each([
    ['0-1', [0, 1]],
    ['0-2,5', [0, 1, 2, 5]],
    ['', []],
  ])('%s', (text, cores) => {
    expect(parseCoreList(text)).toEqual(cores);
  });

  it('one is measured; its sibling stays idle where there are others', () => {
    const alone = (core: number): readonly number[] => [core];
    expect(choosePinning([0], alone)).toBeNull();
    expect(choosePinning([0, 1], alone)).toEqual({ measured: '1', other: '0' });
    expect(choosePinning([0, 1], () => [0, 1])).toEqual({ measured: '1', other: '0' });
    expect(choosePinning([0, 1, 2, 3], () => [0, 1])).toEqual({ measured: '1', other: '2,3' });
  });
});

describe('the CPU time of processes', () => {
  it('is that of a whole tree, and grows with what it does', async () => {
    const burn =
      'let i = 0; const end = process.cpuUsage().user + 2e5; while (process.cpuUsage().user < end) i++;';
    const script = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(`${burn} console.log('burnt'); setInterval(() => {}, 1e6)`)}], { stdio: 'inherit' })`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = child.pid as number;
    const before = readCpu([pid]);
    await once(child.stdout, 'data');
    const tree = processTree(pid);
    const { userSeconds, systemSeconds } = cpuBetween(before, readCpu(tree));
    for (const one of tree.toReversed()) process.kill(one, 'SIGKILL');
    expect(tree).toHaveLength(2);
    expect(userSeconds + systemSeconds).toBeGreaterThan(0.2);
  });
});

describe('the book of subjects', () => {
  const facts = (text: string, version = '1'): SubjectFacts => ({
    name: 'a',
    version,
    commands: ['a -f DIRECTORY/a.cfg'],
    files: [{ name: 'a.cfg', text }],
  });

  it('has one entry a name, and another file only when more than a port differs', () => {
    const book = new SubjectBook();
    book.tell(facts('listen 127.0.0.1:1000; one'));
    book.tell(facts('listen 127.0.0.1:2000; one'));
    book.tell(facts('listen 127.0.0.1:3000; two', '2'));
    expect(book.subjects).toEqual([
      {
        name: 'a',
        version: '1 / 2',
        commands: ['a -f DIRECTORY/a.cfg'],
        files: [
          { name: 'a.cfg', text: 'listen 127.0.0.1:1000; one' },
          { name: 'a.cfg (2)', text: 'listen 127.0.0.1:3000; two' },
        ],
      },
    ]);
  });
});
