/**
 * A machine of its own for a node of Kubernetes, as far as Linux makes one without a virtual machine: namespaces for
 * network, mounts and processes, with the folders that a node has (/var/lib, /run, /var/log, /sys/fs/bpf) empty in
 * them. When its first process ends, every other ends, and every mount, interface and program is gone. Cgroups alone
 * stay, so they are below a folder of their own, which `removeCgroups` takes away.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cgroupRoot } from '../../src/redirect/host/cgroup_root.ts';
import { must } from '../deploy/tools.ts';
import { until } from '../support/until.ts';

export const NODE_IP = '192.168.77.10';
/** That of its Service, so nobody has to translate it; or its own, where somebody does. */
export const API_ADDRESSES = {
  untranslated: { ip: '10.96.0.1', port: 443 },
  translated: { ip: NODE_IP, port: 6443 },
} as const;

const CGROUPS = '/sys/fs/cgroup';
/** Of the whole kernel. The kubelet sets them; here it writes into files of our own. */
const KERNEL_SETTINGS = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
];

/** Runs a program as the first process of such a machine; its exit code. */
export function runInMachine(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const flags = ['--net', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...flags, ...command], {
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill());
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
    child.once('error', () => resolve(127));
  });
}

/** Inside of it, first. `folder`: on a disk, as layers of images are mounted over it. */
export function furnish(
  folder: string,
  { cgroup, hasServices }: { readonly cgroup: string; readonly hasServices: boolean },
): void {
  const made = (name: string): string => {
    mkdirSync(join(folder, name), { recursive: true });
    return join(folder, name);
  };
  // A sysfs shows the interfaces of the network namespace in which it was mounted.
  const kept = made('cgroup');
  must(['mount', '--move', CGROUPS, kept]);
  must(['mount', '-t', 'sysfs', 'sysfs', '/sys']);
  must(['mount', '--move', kept, CGROUPS]);
  must(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
  for (const path of ['/var/lib', '/var/log', '/run'])
    must(['mount', '--bind', made(path.slice(1).replaceAll('/', '-')), path]);
  for (const name of KERNEL_SETTINGS) {
    const path = join('/proc/sys', name);
    const copy = join(made('kernel'), name.replaceAll('/', '-'));
    writeFileSync(copy, readFileSync(path));
    must(['mount', '--bind', copy, path]);
  }
  // What the kubelet mounts is seen in containers that run already.
  must(['mount', '--make-rshared', '/']);
  for (const hierarchy of hierarchies()) mkdirSync(join(hierarchy, cgroup), { recursive: true });
  // Of version 2, whoever is started from here is in it: programs on it reach nobody else of the machine.
  writeFileSync(join(unifiedFolder(cgroup), 'node/cgroup.procs'), '0');
  for (const line of [
    'link set lo up',
    ...(hasServices ? [] : [`address add ${API_ADDRESSES.untranslated.ip}/32 dev lo`]),
    'link add eth0 type veth peer name outside',
    'link set outside up',
    'link set eth0 up',
    `address add ${NODE_IP}/24 dev eth0`,
    'route add default via 192.168.77.1',
  ]) {
    must(['ip', ...line.split(' ')]);
  }
}

/** Outside, when everything in the machine has ended. */
export async function removeCgroups(cgroup: string): Promise<void> {
  const folders = hierarchies().map((hierarchy) => join(hierarchy, cgroup));
  await until(() => {
    for (const folder of folders) removeEmpty(folder);
    return folders.every((folder) => !existsSync(folder));
  });
}

function removeEmpty(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) removeEmpty(join(folder, entry.name));
  try {
    rmdirSync(folder);
  } catch {
    // Its last process is ending.
  }
}

/** Our folder of version 2, which may stand beside version 1. */
export function unifiedFolder(cgroup: string): string {
  const unified = cgroupRoot();
  if (unified === null) throw new Error('cgroup2 is mounted nowhere');
  mkdirSync(join(unified, cgroup, 'node'), { recursive: true });
  return join(unified, cgroup);
}

/** One of version 2, or each controller's of version 1. */
function hierarchies(): readonly string[] {
  if (existsSync(join(CGROUPS, 'cgroup.controllers'))) return [CGROUPS];
  return readdirSync(CGROUPS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(CGROUPS, name));
}
