/**
 * What a policy change costs a running proxy: the real command under a steady load, its policy file replaced
 * by a rename. Told are the time from the rename to the first answer by the new rules, what of it the command
 * says of itself, and the longest wait of any request meanwhile.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../measure/machine.ts';
import { OwnedProcess } from '../subjects/process.ts';
import { editionPath, endpointsText, policyText, type RuleKind } from './rule_sets.ts';
import { SteadyLoad } from './steady_load.ts';

/** What is still to come after the first new answer: garbage, the closing of connections. */
const AFTER_MS = 500;

export interface SwapOrder {
  /** Its own, made and removed by the caller. */
  readonly directory: string;
  readonly originUrl: string;
  readonly kind: RuleKind;
  readonly count: number;
  readonly swaps: number;
}

export interface Swap {
  /** From the rename to the first answer by the new rules. */
  readonly totalMs: number;
  /** Of it, in the supervisor: reading, decoding and checking the whole set. */
  readonly checkMs: number;
  /** Of it: from sending the set to the workers until the last one had it in force. */
  readonly takeOverMs: number;
  /** The longest wait of a request, from when it was due. */
  readonly pauseMs: number;
  /** The same while nothing changed: what the machine and the load itself add. */
  readonly calmMs: number;
  /** Allowed by both editions and refused, or refused after one like it was allowed. */
  readonly failures: number;
}

export async function measureSwaps(order: SwapOrder): Promise<readonly Swap[]> {
  const { directory, kind, count, originUrl } = order;
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'policy.yaml'), policyText({ kind, count, edition: 0 }));
  await writeFile(join(directory, 'endpoints.yaml'), endpointsText(kind));
  const config = join(directory, 'sallyport.yaml');
  await writeFile(config, configText(directory, new URL(originUrl).host));
  const command = [join(ROOT, 'bin/sallyport'), 'run', '-c', config];
  const proxy = new OwnedProcess({ command, place: 'measured' });
  let load: SteadyLoad | null = null;
  try {
    const ready = await proxy.untilLine(/"msg":"ready"/);
    load = new SteadyLoad(Number(/127\.0\.0\.1:([0-9]+)/.exec(ready.input)?.[1]));
    await sleep(AFTER_MS);
    const swaps: Swap[] = [];
    for (let edition = 1; edition <= order.swaps; edition++) {
      swaps.push(await oneSwap({ order, proxy, load, edition }));
    }
    return swaps;
  } finally {
    load?.stop();
    await proxy.stop();
  }
}

interface SwapContext {
  readonly order: SwapOrder;
  readonly proxy: OwnedProcess;
  readonly load: SteadyLoad;
  readonly edition: number;
}

async function oneSwap({ order, proxy, load, edition }: SwapContext): Promise<Swap> {
  const { directory, kind, count } = order;
  const next = join(directory, 'policy.next');
  await writeFile(next, policyText({ kind, count, edition }));
  load.watch('');
  await sleep(AFTER_MS);
  const calm = await load.told();
  load.watch(editionPath(edition));
  const allowed = load.allowed();
  const renamedMs = performance.timeOrigin + performance.now();
  await rename(next, join(directory, 'policy.yaml'));
  const { atMs } = await allowed;
  // The first set is revision 1.
  const inForce = await proxy.untilLine(
    new RegExp(`"revision":${edition + 1},.*"msg":"policy in force"`),
  );
  const { check_ms: checkMs, swap_ms: takeOverMs } = JSON.parse(inForce.input) as Record<
    'check_ms' | 'swap_ms',
    number
  >;
  await sleep(AFTER_MS);
  const { longestMs, failures } = await load.told();
  return {
    totalMs: atMs - renamedMs,
    checkMs,
    takeOverMs,
    pauseMs: longestMs,
    calmMs: calm.longestMs,
    failures,
  };
}

function configText(directory: string, origin: string): string {
  return `admin: unix:${directory}/admin.sock
workers: 1
accessLog: { to: ${directory}/access.log }
policies: [${directory}/policy.yaml]
endpoints: ${directory}/endpoints.yaml
listeners:
  - name: api
    address: 127.0.0.1:0
    direction: ingress
    destination: 127.0.20.1:8080
    upstream: ${origin}
    identity: [endpoints]
`;
}
