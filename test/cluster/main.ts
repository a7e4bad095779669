/**
 * A real one-node cluster on a plain Linux machine (root; by hand, as it takes minutes): API server, controllers,
 * scheduler, kubelet, containerd, runc and CNI plugins, in namespaces of their own. The chart is installed by Helm,
 * and real pods are judged. It is done for each CNI plugin, in a cluster of its own; then with Services at the socket, alone
 * and beside kube-proxy (IPVS is not tried: few kernels of machines for tests have it), and with names that DNS teaches.
 *
 *     npm run test:cluster [CASE...]     ptp bridge services services-iptables services-nftables names; by default all
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
import { checkNames } from './name_scenes.ts';
import { Cluster, type CniPlugin, type KubeProxyMode } from './node.ts';
import { checkChart, checkPolicy, checkRollout, POD_IMAGE, SALLYPORT_IMAGE } from './scenes.ts';
import { checkServices, servicesValues } from './service_scenes.ts';

const NEEDED = ['containerd', 'ctr', 'runc', 'unshare', 'ip', 'clang', 'openssl', 'go'];
const PROGRAMS = [
  ...(['kube-apiserver', 'kubectl', 'kube-controller-manager', 'kine'] as const),
  ...(['kube-scheduler', 'kubelet', 'kube-proxy'] as const),
];

interface Case {
  readonly cni: CniPlugin;
  readonly kubeProxy: KubeProxyMode | null;
  readonly looks: 'policy' | 'services' | 'names';
}

const CASES: Readonly<Record<string, Case>> = {
  ptp: { cni: 'ptp', kubeProxy: null, looks: 'policy' },
  bridge: { cni: 'bridge', kubeProxy: null, looks: 'policy' },
  services: { cni: 'ptp', kubeProxy: null, looks: 'services' },
  'services-iptables': { cni: 'bridge', kubeProxy: 'iptables', looks: 'services' },
  'services-nftables': { cni: 'ptp', kubeProxy: 'nftables', looks: 'services' },
  names: { cni: 'ptp', kubeProxy: null, looks: 'names' },
};

const {
  SALLYPORT_CLUSTER: inside,
  SALLYPORT_CLUSTER_CASE: caseName = '',
  SALLYPORT_CLUSTER_STORE: store,
} = process.env;
if (inside === undefined) await outside();
else await main(inside, caseOf(caseName));

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
    const asked = process.argv.slice(2);
    for (const name of asked.length === 0 ? Object.keys(CASES) : asked) {
      const { cni, kubeProxy, looks } = caseOf(name);
      const services = looks !== 'policy' ? ', Services at the socket' : '';
      console.log(`${name}: CNI plugin ${cni}${services}, kube-proxy ${kubeProxy ?? 'absent'}`);
      const code = await tryOut(name, folder);
      if (code !== 0) process.exitCode = code;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function caseOf(name: string): Case {
  const found = CASES[name];
  if (found === undefined) throw new Error(`no case "${name}": ${Object.keys(CASES).join(', ')}`);
  return found;
}

async function tryOut(name: string, folder: string): Promise<number> {
  const own = join(folder, name);
  mkdirSync(own);
  const command = [process.execPath, fileURLToPath(import.meta.url)];
  const env = { SALLYPORT_CLUSTER: own, SALLYPORT_CLUSTER_CASE: name, TMPDIR: own };
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

async function main(folder: string, { cni, kubeProxy, looks }: Case): Promise<void> {
  const hasServices = looks !== 'policy';
  const count = new Count();
  const parts = store ?? folder;
  const cgroup = cgroupOf(folder);
  furnish(folder, { cgroup, hasServices });
  let cluster: Cluster | null = null;
  await count.check('the node is Ready', async () => {
    const sallyport = process.env['SALLYPORT_IMAGE_ARCHIVE'] ?? join(parts, 'sallyport.tar');
    const images = [join(dirname(folder), 'image-pod.tar'), sallyport];
    cluster = await Cluster.start({
      folder,
      cgroup,
      cni,
      hasServices,
      kubeProxy,
      pauseImage: POD_IMAGE,
      images,
    });
  });
  // Assigned in a function, which the compiler does not follow.
  const started = cluster as Cluster | null;
  if (started !== null) {
    const scene = { cluster: started, count, helm: join(parts, 'helm') };
    await checkChart(scene, hasServices ? servicesValues(cgroup, kubeProxy) : []);
    if (looks === 'services') await checkServices(scene);
    else if (looks === 'names') await checkNames(scene, folder);
    else {
      await checkPolicy(scene);
      await checkRollout(scene);
    }
    await started.stop();
  }
  count.finish();
}
