/** One source's denials fill no disk, cost no other's lines, and are told by their number. */
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import { LEFT_OUT, LineRate } from '../../../src/observe/log/rate.ts';
import { RecordObservation } from '../observing.ts';
import { address, denied, ManualPlatform, meta, POLICY, record } from '../records.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

describe('a rate of lines', () => {
  it('is a burst, then so many a second, and each line tells what was left out before it', () => {
    const { rate } = rateOf({ perSecond: 10, burstCount: 3 });
    const take = (nowMs: number): number => rate.take('a', nowMs);
    expect([take(0), take(0), take(0), take(0), take(50)]).toEqual([0, 0, 0, LEFT_OUT, LEFT_OUT]);
    expect([take(100), take(100), take(200)]).toEqual([2, LEFT_OUT, 1]);
    expect([0, 1, 2].map(() => take(10_000))).toEqual([0, 0, 0]);
    expect(take(10_000)).toBe(LEFT_OUT);
  });

  it('of one source is nothing to another', () => {
    const { rate } = rateOf({ perSecond: 1, burstCount: 1 });
    for (let i = 0; i < 1000; i++) rate.take('a', 0);
    expect(rate.take('b', 0)).toBe(0);
  });

  it('0 is none', () => {
    const { rate } = rateOf({ perSecond: 0, burstCount: 1 });
    expect([...Array(100)].map(() => rate.take('a', 0))).toEqual(Array(100).fill(0));
  });

  it('remembers so many sources, and what is forgotten is told', () => {
    const { rate, told } = rateOf({ perSecond: 1, burstCount: 1, sourceCountMax: 2 });
    for (const source of ['a', 'a', 'a', 'b', 'b', 'c']) rate.take(source, 0);
    expect(told).toEqual([['a', 2]]);
    rate.take('c', 5);
    rate.tell(4);
    expect(told).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
    rate.tell(5);
    expect(told.at(-1)).toEqual(['c', 1]);
  });
});

describe('the access log', () => {
  it('leaves out denials beyond the rate, says so, and counts every one', async () => {
    const { observer, platform, lines } = logging({ denialLineBurstCount: 5 });
    for (let i = 0; i < 100; i++) observer.record(denied({ meta: from('10.0.0.66:1') }));
    observer.record(denied({ meta: from('10.0.0.7:1') }));
    for (let i = 0; i < 20; i++) observer.record(record({ meta: from('10.0.0.66:1') }));
    platform.nowMs += 1_000;
    observer.record(denied({ meta: from('10.0.0.66:1') }));
    for (let i = 0; i < 9; i++) observer.record(denied({ meta: from('10.0.0.66:1') }));
    platform.nowMs += DEFAULT_LIMITS.denialQuietMs;
    platform.fire();
    const values = new Map(
      (await observer.metrics()).families.map(({ name, samples }) => [
        name,
        samples.reduce((sum, { value }) => sum + value, 0),
      ]),
    );
    expect(values.get('sallyport_access_log_suppressed_total')).toBe(100);
    expect(values.get('sallyport_policy_decisions_total')).toBe(131);
    await observer.close();
    const written = lines();
    expect(written.filter(({ verdict }) => verdict === 'denied')).toHaveLength(11);
    expect(written.filter(({ verdict }) => verdict === 'forwarded')).toHaveLength(20);
    expect(written.map(({ suppressed }) => suppressed).filter(Boolean)).toEqual([95, 5]);
    expect(written.at(-1)).toMatchObject({
      level: 'warn',
      msg: 'lines left out',
      src: { ip: '10.0.0.66' },
      suppressed: 5,
    });
  });

  it('while its sink is slow, the busiest source does not push out the others’ lines', async () => {
    const { observer, lines } = logging({
      denialLineBurstCount: 20,
      accessLogBufferBytesMax: 256 * 1024,
    });
    for (let i = 0; i < 5_000; i++) observer.record(record({ meta: from('10.0.0.66:1') }));
    for (let i = 0; i < 20; i++) observer.record(record({ meta: from(`10.0.1.${i}:1`) }));
    await observer.close();
    const written = lines();
    expect(written.length).toBeLessThan(1_000);
    expect(written.filter(({ src }) => src.ip.startsWith('10.0.1.'))).toHaveLength(20);
  });
});

interface Line {
  readonly verdict: string;
  readonly suppressed?: number;
  readonly src: { readonly ip: string };
}

function rateOf(options: {
  readonly perSecond: number;
  readonly burstCount: number;
  readonly sourceCountMax?: number;
}): { rate: LineRate; told: [string, number][] } {
  const told: [string, number][] = [];
  const rate = new LineRate({
    sourceCountMax: 100,
    ...options,
    onLeftOut: (source, count) => told.push([source, count]),
  });
  return { rate, told };
}

function logging(limits: Partial<Limits>): {
  observer: RecordObservation;
  platform: ManualPlatform;
  lines: () => readonly Line[];
} {
  const folder = mkdtempSync(join(tmpdir(), 'line-rate-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'access.log');
  const platform = new ManualPlatform();
  const observer = new RecordObservation({
    workerIndex: 0,
    listeners: ['api'],
    accessLog: {
      to: { kind: 'descriptor', fd: openSync(path, 'a') },
      headers: [],
      isQueryLogged: false,
      allowSampling: 1,
    },
    logLevel: 'info',
    limits: { ...DEFAULT_LIMITS, ...limits },
    platform,
    currentPolicy: () => POLICY,
  });
  const lines = (): readonly Line[] =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  return { observer, platform, lines };
}

function from(source: string): ReturnType<typeof meta> {
  return { ...meta(), source: address(source) };
}
