/** What is told of workers: what does not mend itself, once, and that it is over. */
import { describe, expect, it } from 'vitest';
import { ProxyCondition } from '../../src/workers/proxy_condition.ts';
import { ManualPlatform } from '../support/manual_platform.ts';

const DYING =
  'workers die and are started again, 3 times or more within 10 minutes; the last one that died: worker 1: signal SIGKILL';
const NOT_READY =
  'the proxy has not been ready for 60 s: not all workers listen with the policy in force';

class World {
  readonly platform = new ManualPlatform();
  readonly told: (string | null)[] = [];
  readonly condition = new ProxyCondition({
    platform: this.platform,
    limits: { kubeNotReadyMs: 60_000, kubeWorkerDeathCount: 3 },
    isReady: () => this.isReady,
    tell: (problem) => this.told.push(problem),
  });
  isReady = true;

  constructor() {
    this.condition.start();
  }

  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) this.platform.advance(1_000);
  }

  die(): void {
    this.condition.died(1, 'signal SIGKILL');
    this.isReady = false;
    this.pass(2);
    this.isReady = true;
    this.pass(2);
  }
}

describe('the condition of a proxy', () => {
  it('is no news while a worker dies now and then, or takes a while', () => {
    const world = new World();
    for (let i = 0; i < 10; i++) {
      world.die();
      world.pass(400);
    }
    world.isReady = false;
    world.pass(59);
    world.isReady = true;
    world.pass(1_000);
    expect(world.told).toEqual([]);
  });

  it('is told when it has not been ready for long, and when it is again', () => {
    const world = new World();
    world.isReady = false;
    world.pass(600);
    expect(world.told).toEqual([NOT_READY]);
    world.isReady = true;
    world.pass(2);
    expect(world.told).toEqual([NOT_READY, null]);
  });

  it('is told when workers die again and again, once, and when none has for long', () => {
    const world = new World();
    for (let i = 0; i < 20; i++) world.die();
    expect(world.told).toEqual([DYING]);
    world.pass(600);
    expect(world.told).toEqual([DYING, null]);
  });

  it('is not told once it ends', () => {
    const world = new World();
    world.isReady = false;
    world.condition.stop();
    world.pass(600);
    expect(world.told).toEqual([]);
  });
});
