/**
 * `redirect.interfaces`: a pod that appears while the redirect runs, and that no file names yet, gets nothing
 * through, in either direction; once it is named it is judged like others.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LAYOUT_VERSION } from '../../../src/redirect/layout.ts';
import { until } from '../../support/until.ts';
import { echoOrigin, greet, ONE_LOOK } from './exchange.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const API = ['10.12.0.1', 'fd12::1'] as const;
const NEW = ['10.12.0.9', 'fd12::9'] as const;
const OUTSIDE = ['203.0.113.10', '2001:db8::10'] as const;
const PORT = 7070;
/** The looks are a minute apart. */
const PATIENCE_MS = 50_000;

/** web may reach the API; nobody selects the new pod, so where it is known all is open to it. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }],
  },
});

let rig: RedirectRig;
let loader: Command;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [{ name: 'shop/api', ips: API, labels: { app: 'api' } }],
    outside: OUTSIDE,
    policies: [POLICY],
    // What is said here is said by the kernel: nobody looks.
    limits: { redirectPollIntervalMs: 60_000, redirectRetryMs: 1000 },
  });
  const path = join(rig.dir, 'config.yaml');
  const claiming = 'uplinks: [uplink]\n  interfaces: ["lxc*"]';
  writeFileSync(path, readFileSync(path, 'utf8').replace('uplinks: [uplink]', claiming));
  for (const ip of API) await serve(rig.pod('shop/api').netns, ip);
  for (const ip of OUTSIDE) await serve(rig.outside, ip);
  loader = await rig.follow();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

async function serve(netns: RedirectRig['node'], ip: string): Promise<void> {
  const server = echoOrigin();
  await netns.listen(server, { ip, port: PORT });
  servers.push(server);
}

interface Report {
  readonly problems: readonly string[];
  readonly interfaces: readonly { readonly name: string; readonly state: string }[];
}

async function status(): Promise<Report> {
  return JSON.parse((await rig.redirect('status', '-o', 'json')).output) as Report;
}

it('lets nothing through until a file names it', { timeout: TIMEOUT_MS }, async () => {
  const pod = rig.addPod('shop/new', NEW, { app: 'web' });
  for (const ip of NEW) await serve(pod.netns, ip);
  const isClaimed = async (): Promise<boolean> => {
    const { interfaces } = await status();
    return interfaces.some(({ name, state }) => name === pod.interface && state === 'claimed');
  };
  await until(isClaimed);
  // Its addresses on the node's side are the node's own, and in force as well.
  await until(async () => (await status()).problems.length === 0);
  for (const i of [0, 1] as const) {
    for (const to of [API[i], OUTSIDE[i]]) {
      const outcome = await greet({ from: pod.netns, to, port: PORT, ...ONE_LOOK });
      expect([to, outcome]).toEqual([to, 'silent']);
    }
    for (const from of [rig.pod('shop/api').netns, rig.outside, rig.node]) {
      expect(await greet({ from, to: NEW[i], port: PORT, ...ONE_LOOK })).toBe('silent');
    }
  }
  rig.writeEndpoints();
  await loader.until(({ msg }) => String(msg).includes('2 endpoints'));
  for (const i of [0, 1] as const) {
    for (const to of [API[i], OUTSIDE[i]]) {
      expect([to, await greet({ from: pod.netns, to, port: PORT })]).toEqual([to, 'open']);
    }
    expect(await greet({ from: rig.node, to: NEW[i], port: PORT })).toBe('open');
  }
  rig.pods.delete('shop/new');
  rig.writeEndpoints();
  // The kernel has what the files say.
  await until(async () => (await isClaimed()) && (await status()).problems.length === 0);
  expect(await greet({ from: pod.netns, to: OUTSIDE[0], port: PORT, ...ONE_LOOK })).toBe('silent');
  pod.netns.dispose();
});

/** How long after it is there an interface has the programs. */
async function claimedAfterMs(name: string): Promise<number> {
  rig.node.ip(`link add ${name} type veth peer name ${name}p`);
  const beganMs = performance.now();
  const { ifindex } = JSON.parse(rig.node.run(['ip', '-j', 'link', 'show', name]))[0];
  const pin = join(rig.pinRoot, `v${LAYOUT_VERSION}/links/tcx_ingress_${ifindex}`);
  while (!existsSync(pin)) {
    if (performance.now() - beganMs > PATIENCE_MS) throw new Error(`${name} is not claimed`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return performance.now() - beganMs;
}

it('an interface is ours at once, not at the next look', { timeout: TIMEOUT_MS }, async () => {
  const tookMs: number[] = [];
  for (let i = 0; i < 5; i++) tookMs.push(await claimedAfterMs(`lxcq${i}`));
  expect(tookMs).toHaveLength(5);
  console.log(`claimed within ${tookMs.map((ms) => ms.toFixed(0)).join(', ')} ms`);
});

it('also after the program that tells it has ended', { timeout: TIMEOUT_MS }, async () => {
  const told = (): readonly number[] =>
    readFileSync(`/proc/${loader.pid}/task/${loader.pid}/children`, 'utf8')
      .split(' ')
      .map(Number)
      .filter((pid) => pid > 0 && commandOf(pid).includes('monitor'));
  const [before = 0] = told();
  process.kill(before, 'SIGKILL');
  await until(async () => told().some((pid) => pid !== before));
  expect(await claimedAfterMs('lxclast')).toBeLessThan(PATIENCE_MS);
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
