/**
 * A real one-node cluster on a plain Linux machine (root; by hand, as it takes minutes): API server, controllers,
 * scheduler, kubelet, containerd, runc and CNI plugins, in namespaces of their own. The chart is installed by Helm,
 * and real pods are judged. It is done for each CNI plugin, in a cluster of its own.
 *
 *     npm run test:cluster
 *
 * Needs apt-get install containerd runc containernetworking-plugins clang llvm libbpf-dev procps, and Go. Kubernetes is
 * built by test/peers/kube/build.ts ($KUBE_BIN: a folder in which it is built already). $SALLYPORT_CLUSTER_STORE keeps
 * Helm and the image of Sallyport for the next time; $SALLYPORT_IMAGE_ARCHIVE is one from `docker save`, named
 * example.test/sallyport:test. The last line of each: "N passed, N failed".
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Count, goTool, run } from '../deploy/tools.ts';
import { buildPrograms } from '../peers/kube/build.ts';
import { podImage, sallyportImage } from './images.ts';
import { furnish, removeCgroups, runInMachine } from './machine.ts';
import { Cluster, CNI_PLUGINS, type CniPlugin } from './node.ts';
import { checkChart, checkPolicy, checkRollout, POD_IMAGE, SALLYPORT_IMAGE } from './scenes.ts';

const NEEDED = ['containerd', 'ctr', 'runc', 'unshare', 'ip', 'clang', 'openssl', 'go'];
const PROGRAMS = [
  ...(['kube-apiserver', 'kubectl', 'kube-controller-manager', 'kine'] as const),
  ...(['kube-scheduler', 'kubelet'] as const),
];

const {
  SALLYPORT_CLUSTER: inside,
  SALLYPORT_CLUSTER_CNI: plugin,
  SALLYPORT_CLUSTER_STORE: store,
} = process.env;
if (inside === undefined) await outside();
else await main(inside, plugin === 'bridge' ? plugin : 'ptp');

async function outside(): Promise<void> {
  const missing = NEEDED.filter((tool) => run(['sh', '-c', `command -v ${tool}`]).code !== 0);
  if (!existsSync('/usr/lib/cni/ptp')) missing.push('containernetworking-plugins');
  if (process.getuid?.() !== 0) missing.push('root');
  if (missing.length > 0) {
    console.error(`cluster: these are needed: ${missing.join(', ')}`);
    process.exitCode = 1;
    return;
  }
  const folder = mkdtempSync('/var/tmp/sallyport-cluster.');
  try {
    buildPrograms(PROGRAMS);
    makeParts(store ?? folder);
    podImage(folder, POD_IMAGE);
    for (const cni of CNI_PLUGINS) {
      console.log(`CNI plugin ${cni}`);
      const code = await tryOut(cni, folder);
      if (code !== 0) process.exitCode = code;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function tryOut(cni: CniPlugin, folder: string): Promise<number> {
  const own = join(folder, cni);
  mkdirSync(own);
  const command = [process.execPath, fileURLToPath(import.meta.url)];
  const env = { SALLYPORT_CLUSTER: own, SALLYPORT_CLUSTER_CNI: cni, TMPDIR: own };
  const code = await runInMachine(command, { ...env, SALLYPORT_CLUSTER_STORE: store ?? folder });
  await removeCgroups(cgroupOf(own));
  return code;
}

/** Helm, and the image that takes longest. */
function makeParts(folder: string): void {
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'helm'))) goTool('helm', folder);
  const path = join(folder, 'sallyport.tar');
  if (process.env['SALLYPORT_IMAGE_ARCHIVE'] !== undefined || existsSync(path)) return;
  const work = mkdtempSync(join(folder, 'image-'));
  renameSync(sallyportImage(work, SALLYPORT_IMAGE), path);
  rmSync(work, { recursive: true, force: true });
}

function cgroupOf(folder: string): string {
  return folder.split('/').slice(-2).join('-').replaceAll('.', '-');
}

async function main(folder: string, cni: CniPlugin): Promise<void> {
  const count = new Count();
  const parts = store ?? folder;
  const cgroup = cgroupOf(folder);
  furnish(folder, cgroup);
  let cluster: Cluster | null = null;
  await count.check('the node is Ready', async () => {
    const sallyport = process.env['SALLYPORT_IMAGE_ARCHIVE'] ?? join(parts, 'sallyport.tar');
    const images = [join(dirname(folder), 'image-pod.tar'), sallyport];
    cluster = await Cluster.start({ folder, cgroup, cni, pauseImage: POD_IMAGE, images });
  });
  // Assigned in a function, which the compiler does not follow.
  const started = cluster as Cluster | null;
  if (started !== null) {
    const scene = { cluster: started, count, helm: join(parts, 'helm') };
    await checkChart(scene);
    await checkPolicy(scene);
    await checkRollout(scene);
    await started.stop();
  }
  count.finish();
}
