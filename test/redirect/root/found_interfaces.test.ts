/**
 * Interfaces of pods that no file names, made by the real CNI plugins: closed until it is known whose they are, found
 * by the routes, by what the runtime keeps of the plugin's result, or by the pod's processes; then judged as any.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { greet, ONE_LOOK } from './exchange.ts';
import {
  heardAt,
  isOf,
  name,
  OUTSIDE,
  PORT,
  serve,
  set,
  shout,
  status,
  strike,
} from './found_scene.ts';

const TIMEOUT_MS = 300_000;
/** Long beside what a loader needs. */
const QUIET_MS = 700;

/** By which way the pods of each case are found. */
const CASES = [
  ['ptp', 'routes', {}],
  ['bridge', 'results', { isKept: true }],
  ['bridge', 'processes', { hasProcesses: true }],
  ['bridge with hairpin', 'results and processes', { isKept: true, hasProcesses: true }],
] as const;

afterEach(strike, TIMEOUT_MS);

describe.each(CASES)('%s, found by %s', (plugin, _way, how) => {
  it('is closed, then judged as what it is', { timeout: TIMEOUT_MS }, async () => {
    const at = await set(plugin, how);
    const { rig, network } = at;
    const api = network.add({ name: 'shop/api', uid: randomUUID() });
    const web = network.add({ name: 'shop/web', uid: randomUUID() });
    const job = network.add({ name: 'shop/job', uid: randomUUID() });
    for (const ip of api.ips) await serve(api.netns, ip);
    const [api4 = '', api6 = ''] = api.ips;
    const targets = [api4, api6, ...OUTSIDE];
    await until(
      async () =>
        (await status(at)).interfaces.filter(({ state }) => state === 'claimed').length === 3,
    );
    for (const to of targets) {
      const outcome = await greet({ from: web.netns, to, port: PORT, ...ONE_LOOK });
      expect([to, outcome]).toEqual([to, 'silent']);
    }
    name(rig, network.pods.values());
    for (const pod of [api, web, job]) await until(() => isOf(at, pod));
    for (const to of targets) {
      expect([to, await greet({ from: web.netns, to, port: PORT })]).toEqual([to, 'open']);
      expect([to, await greet({ from: job.netns, to, port: PORT })]).toEqual([to, 'reset']);
    }
    for (const to of api.ips)
      expect([to, await greet({ from: rig.node, to, port: PORT })]).toEqual([to, 'open']);
    expect((await status(at)).waits).toMatchObject({ interfaces: 0, opened: { count: 3 } });
  });
});

describe.each(['ptp', 'bridge'] as const)(
  '%s: a pod that sends from its first moment',
  (plugin) => {
    it.each([
      ['while the loader follows', true],
      ['while no loader runs', false],
    ])(
      'is heard by nobody until it is judged, %s',
      { timeout: TIMEOUT_MS },
      async (_about, isFollowed) => {
        const at = await set(plugin, { hasProcesses: true });
        const { rig, network } = at;
        const web = network.add({ name: 'shop/web', uid: randomUUID() });
        name(rig, network.pods.values());
        await until(() => isOf(at, web));
        if (!isFollowed) {
          at.loader.kill('SIGKILL');
          await at.loader.ended;
        }
        const heard: string[][] = [];
        for (const ip of OUTSIDE) heard.push(await heardAt(rig.outside, ip));
        for (const ip of web.ips) heard.push(await heardAt(web.netns, ip));
        const job = { name: 'shop/job', uid: randomUUID(), app: 'web' };
        let end = (): void => {};
        try {
          const made = network.add(job, (netns) => {
            end = shout(netns, [...OUTSIDE, ...web.ips]);
          });
          await sleep(QUIET_MS);
          expect(heard).toEqual([[], [], [], []]);
          const target = web.ips[0] as string;
          await serve(web.netns, target);
          // Who is known goes on as before.
          for (const to of OUTSIDE)
            expect(await greet({ from: web.netns, to, port: PORT })).toBe('open');
          if (!isFollowed) await rig.follow();
          expect(heard).toEqual([[], [], [], []]);
          const namedAtMs = performance.now();
          name(rig, [web, { ...made, app: 'web' }]);
          await until(() => heard.some((sources) => sources.length > 0));
          const tookMs = (performance.now() - namedAtMs).toFixed(0);
          console.log(
            `${plugin}: added in ${made.addedMs.toFixed(0)} ms, heard ${tookMs} ms after it was named`,
          );
          await until(() => heard.every((sources) => sources.length > 0));
          expect(new Set(heard.flat())).toEqual(new Set(made.ips));
        } finally {
          end();
        }
      },
    );
  },
);
