/**
 * A large cluster behind the real protocol of its API, and one node's proxy:
 *
 *     node bench/kubernetes.ts [--nodes 1000] [--pods 50000] [--policies 2000] [--services 5000] [--seconds 20]
 *
 * - until its policy is enforced, from the start of the process; the same from the state on disk without an API server;
 * - memory of the supervisor (with its policy thread) and of the worker;
 * - 100 changes of pods a second: CPU of both; until a policy that is changed meanwhile is in force.
 *
 * Goals: 20 s, 400 MB, 200 MB, a fifth of a core. The cluster is made by this process (test/support/fake_kube_api.ts),
 * which takes CPU of its own: on two cores that are not idle the times are upper bounds.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { textTable } from '../src/cli/text_table.ts';
import { ClusterProxy } from '../test/kube/real/parts/cluster_proxy.ts';
import type { FakeKubeApi } from '../test/support/fake_kube_api.ts';
import { until } from '../test/support/until.ts';
import {
  API,
  benchPolicy,
  type ClusterSize,
  CNPS,
  PODS,
  podName,
  podNamespace,
  podObject,
  startCluster,
  WEB,
} from './kubernetes/cluster.ts';

const CHANGES_PER_SECOND = 100;
const TURN_MS = 50;
const CLOCK_TICKS_PER_SECOND = 100;
const PATIENCE_MS = 300_000;
const FLIPS = 10;
/** Until the policy thread has given back what a set left (src/workers/spent_memory.ts). */
const REST_MS = 8000;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000' },
    pods: { type: 'string', default: '50000' },
    policies: { type: 'string', default: '2000' },
    services: { type: 'string', default: '5000' },
    seconds: { type: 'string', default: '20' },
  },
});
const size: ClusterSize = {
  nodes: Number(values.nodes),
  pods: Number(values.pods),
  policies: Number(values.policies),
  services: Number(values.services),
};
const seconds = Number(values.seconds);

interface Row {
  readonly what: string;
  readonly measured: string;
  readonly goal: string;
}

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-kube-'));
const rows: Row[] = [];
const row = (what: string, measured: string, goal = ''): void => {
  rows.push({ what, measured, goal });
  console.error(`${what}: ${measured}`);
};
const api = await startCluster(size);
try {
  await main(api);
} finally {
  await api.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(
  textTable(
    ['', 'measured', 'goal'],
    rows.map(({ what, measured, goal }) => [what, measured, goal]),
  ),
);

async function main(cluster: FakeKubeApi): Promise<void> {
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, kubeconfigOf(cluster.url));
  const beganMs = performance.now();
  const proxy = await ClusterProxy.start({
    kubeconfig,
    nodeName: API.node,
    destination: `${API.ip}:8080`,
    more: { limits: { kubeSyncTimeoutMs: PATIENCE_MS }, logLevel: 'warn' },
  });
  try {
    await enforced(proxy, '/ok', '/other');
    row('first enforcement', `${((performance.now() - beganMs) / 1000).toFixed(1)} s`, '20 s');
    const processes = processesOf(proxy.process.child.pid ?? 0);
    // What does not depend on who else is at work.
    const { supervisor, worker } = cpuOf(processes);
    row('CPU until then: supervisor, worker', `${supervisor.toFixed(1)} s, ${worker.toFixed(1)} s`);
    tellMemory('after the start', processes);
    await rest();
    tellMemory('after the start, at rest', processes);
    await churn(cluster, proxy, processes);
    tellMemory('after the changes', processes);
    await rest();
    tellMemory('after the changes, at rest', processes);
  } finally {
    await proxy.stop();
  }
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, REST_MS));
}

async function enforced(proxy: ClusterProxy, allowed: string, denied: string): Promise<void> {
  await until(
    async () =>
      (await proxy.ask(WEB.ip, allowed)) === 200 && (await proxy.ask(WEB.ip, denied)) === 403,
    PATIENCE_MS,
  );
}

/** Pods are replaced by others with the same labels, as in a rollout; meanwhile one policy changes now and then. */
async function churn(
  cluster: FakeKubeApi,
  proxy: ClusterProxy,
  processes: Processes,
): Promise<void> {
  const lives = new Map<number, number>();
  let next = 0;
  const replace = (): void => {
    const i = (next * 7919) % size.pods;
    next += 1;
    const life = lives.get(i) ?? 0;
    cluster.remove(PODS, { namespace: podNamespace(i), name: podName(i, life) });
    cluster.put(PODS, podObject(i, size.nodes, life + 1));
    lives.set(i, life + 1);
  };
  const before = cpuOf(processes);
  const beganMs = performance.now();
  let done = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - beganMs) / 1000) * CHANGES_PER_SECOND);
    for (; done < due; done += 2) replace();
  }, TURN_MS);
  const waits: number[] = [];
  for (let n = 0; n < FLIPS; n++) {
    await new Promise((resolve) => setTimeout(resolve, (seconds * 1000) / FLIPS));
    const sentMs = performance.now();
    cluster.put(CNPS, benchPolicy(`/flip-${n}`));
    await until(async () => (await proxy.ask(WEB.ip, `/flip-${n}`)) === 200, PATIENCE_MS);
    waits.push(performance.now() - sentMs);
  }
  clearInterval(timer);
  const tookMs = performance.now() - beganMs;
  const after = cpuOf(processes);
  const rate = Math.round((done * 1000) / tookMs);
  for (const name of ['supervisor', 'worker'] as const) {
    const share = ((after[name] - before[name]) * 1000) / tookMs;
    row(`CPU at ${rate} changes/s, ${name}`, `${(100 * share).toFixed(0)} % of a core`, '20 %');
  }
  waits.sort((a, b) => a - b);
  const shown = [waits[Math.floor(waits.length / 2)], waits.at(-1)].map(
    (ms) => `${Math.round(ms ?? 0)} ms`,
  );
  row('a policy that changes meanwhile is in force (median, worst)', shown.join(', '));
}

interface Processes {
  readonly supervisor: number;
  readonly worker: number;
}

function processesOf(pid: number): Processes {
  const all = [pid, ...descendantsOf(pid)];
  const worker = all.find((one) => commandOf(one).includes('worker_main'));
  const supervisor = all.find((one) => commandOf(one).includes('main.ts'));
  if (worker === undefined || supervisor === undefined) throw new Error('processes are missing');
  return { supervisor, worker };
}

function descendantsOf(pid: number): readonly number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map(Number),
  );
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

/** Seconds. */
function cpuOf(processes: Processes): Record<keyof Processes, number> {
  const secondsOf = (pid: number): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
  };
  return { supervisor: secondsOf(processes.supervisor), worker: secondsOf(processes.worker) };
}

function tellMemory(when: string, processes: Processes): void {
  const megabytes = (pid: number, field: string): number => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? '0';
    return Math.round((Number(kilobytes) * 1024) / 1e6);
  };
  for (const [name, goal] of [
    ['supervisor', '400 MB'],
    ['worker', '200 MB'],
  ] as const) {
    const pid = processes[name];
    const [now, most] = [megabytes(pid, 'VmRSS'), megabytes(pid, 'VmHWM')];
    row(`memory ${when}, ${name}`, `${now} MB (at most ${most})`, goal);
  }
}

function kubeconfigOf(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'bench',
    clusters: [{ name: 'bench', cluster: { server } }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    users: [{ name: 'bench', user: {} }],
  });
}
