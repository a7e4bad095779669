/** `bin/sallyport run` that is told to end, or is stopped, at an unlucky moment. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { get, policyOf, type Sallyport, Scratch } from './running.ts';

const PATIENT = { timeout: 20_000, interval: 2 };
/** Of SIGHUP: Node catches SIGTERM itself from its beginning, to end by it, but not SIGHUP. */
const SIGHUP_BIT = 1n;

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

describe('SIGTERM before it is ready', () => {
  it.each([0, 40, 80, 120, 160, 200, 300, 400, 500, 700])(
    'ends it with exit 0, %d ms after the first moment in which it can be asked',
    async (delayMs) => {
      const proxy = scratch.run(['run', '-c', scratch.config({ upstream: 1, more: 'workers: 2' })]);
      await expect.poll(() => areSignalsHeld(proxy), PATIENT).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      proxy.signal('SIGTERM');
      expect(await proxy.ended).toBe(0);
      expect(proxy.stderr).toBe('');
    },
  );

  it('ends it with exit 0 while its first policy set is checked, without waiting for that', async () => {
    scratch.write('policies/large.yaml', large());
    const proxy = scratch.run(['run', '-c', scratch.config({ upstream: 1 })]);
    await expect.poll(() => threadNames(proxy), PATIENT).toContain('policy');
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(proxy.lines().map(({ msg }) => msg)).not.toContain('policy in force');
  });
});

describe('a supervisor that is stopped for a while', () => {
  it('goes on with the workers that it had, and takes over what changed meanwhile', async () => {
    const more = 'workers: 2';
    const silence = { SALLYPORT_LIMITS_WORKER_SILENCE_TIMEOUT_MS: '500' };
    const interval = { SALLYPORT_LIMITS_WORKER_HEARTBEAT_INTERVAL_MS: '100' };
    const config = scratch.config({ upstream: await scratch.origin(), more });
    const proxy = scratch.run(['run', '-c', config], { ...silence, ...interval });
    const port = await proxy.port();
    proxy.signal('SIGSTOP');
    scratch.write('policies/api.yaml', policyOf('/new'));
    // Longer than a worker may be silent.
    const endMs = performance.now() + 2000;
    while (performance.now() < endMs) expect((await get(port, '/ok')).status).toBe(200);
    proxy.signal('SIGCONT');
    await proxy.line(({ msg, revision }) => msg === 'policy in force' && revision === 2);
    expect((await get(port, '/new')).status).toBe(200);
    expect((await get(port, '/ok')).status).toBe(403);
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    const told = proxy.lines().filter(({ level }) => level === 'error');
    expect(told).toEqual([]);
  });
});

function areSignalsHeld({ child }: Sallyport): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
  return (BigInt(`0x${caught?.[1] ?? '0'}`) & SIGHUP_BIT) !== 0n;
}

/** Node names its threads after what they are for. */
function threadNames({ child }: Sallyport): readonly string[] {
  const tasks = `/proc/${child.pid}/task`;
  return readdirSync(tasks).map((id) => readFileSync(`${tasks}/${id}/comm`, 'utf8').trim());
}

function large(): string {
  return Array.from({ length: 20_000 }, (_, index) =>
    policyOf('/ok').replace('name: api', `name: p${index}`),
  ).join('---\n');
}
