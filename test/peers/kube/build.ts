/**
 * Builds the programs of Kubernetes that tests run: a real API server and what it needs.
 *
 *     node test/peers/kube/build.ts [NAME...]      default: those that `npm run test:kube` needs
 *
 * They lie in `.kube/` of this checkout and are built again when their versions change. $GO: another `go`. $KUBE_BIN: a
 * folder in which they are built already. Each folder here is a Go module, since the programs need different versions
 * of the same libraries; its go.mod and go.sum pin everything.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const CHECKOUT = join(HERE, '../../..');
/** Told by the binaries themselves; without it clients trip over "v0.0.0-master". */
const KUBERNETES_VERSION = 'v1.35.4';

interface Program {
  /** Folder of its Go module, beside this file. */
  readonly module: string;
  readonly package: string;
  readonly linkFlags: string;
}

const PROGRAMS = {
  'kube-apiserver': ofKubernetes('kube-apiserver'),
  kubectl: ofKubernetes('kubectl'),
  'kube-controller-manager': ofKubernetes('kube-controller-manager'),
  kine: { module: 'kine', package: 'github.com/k3s-io/kine', linkFlags: '-s -w' },
  kwok: { module: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok', linkFlags: '-s -w' },
  // For a whole node by hand only.
  'kube-scheduler': ofKubernetes('kube-scheduler'),
  kubelet: ofKubernetes('kubelet'),
  // For what is recorded of it: test/redirect/root/kube_proxy/record.ts.
  'kube-proxy': { ...ofKubernetes('kube-proxy'), module: 'kube-proxy' },
} satisfies Record<string, Program>;

export type KubeProgram = keyof typeof PROGRAMS;

export const SUITE_PROGRAMS: readonly KubeProgram[] = [
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'kine',
  'kwok',
];

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

/** Where the program is; throws when it has not been built. */
export function programPath(name: KubeProgram): string {
  const path = join(binFolder(), name);
  if (!existsSync(path)) {
    throw new Error(`there is no ${path}: run "node test/peers/kube/build.ts ${name}" (Go)`);
  }
  return path;
}

/** Throws when one of them cannot be built. */
export function buildPrograms(names: readonly KubeProgram[]): void {
  if (process.env['KUBE_BIN'] !== undefined) {
    for (const name of names) programPath(name);
    return;
  }
  for (const name of names) build(name);
}

/** A file of a program's module, as it was downloaded to build it. */
export function moduleFolder(name: KubeProgram, modulePath: string): string {
  const asked = go(PROGRAMS[name], ['list', '-m', '-f', '{{.Dir}}', modulePath], 'pipe');
  return asked.trim();
}

function main(): void {
  const asked = process.argv.slice(2);
  const names = asked.length === 0 ? SUITE_PROGRAMS : asked.filter(isProgram);
  const unknown = asked.filter((name) => !isProgram(name));
  try {
    if (unknown.length > 0) throw new Error(`no program of that name: ${unknown.join(', ')}`);
    buildPrograms(names);
  } catch (error) {
    console.error(`kube: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

function isProgram(name: string): name is KubeProgram {
  return Object.hasOwn(PROGRAMS, name);
}

function binFolder(): string {
  return process.env['KUBE_BIN'] ?? join(CHECKOUT, '.kube/bin');
}

function build(name: KubeProgram): void {
  const program = PROGRAMS[name];
  const path = join(binFolder(), name);
  const stamp = stampOf(program);
  if (existsSync(path) && readOr(`${path}.stamp`) === stamp) return;
  mkdirSync(binFolder(), { recursive: true });
  const beganMs = performance.now();
  // Another run may use the old one, or build the same.
  const temporary = `${path}.${process.pid}`;
  go(program, ['build', '-ldflags', program.linkFlags, '-o', temporary, program.package]);
  renameSync(temporary, path);
  writeFileSync(`${path}.stamp`, stamp);
  console.log(`kube: built ${name} in ${Math.round((performance.now() - beganMs) / 1000)} s`);
}

function go({ module }: Program, args: readonly string[], stdout: 'pipe' | 'inherit' = 'inherit') {
  const ran = spawnSync(process.env['GO'] ?? 'go', args, {
    cwd: join(HERE, module),
    env: { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false' },
    stdio: ['ignore', stdout, 'inherit'],
    encoding: 'utf8',
  });
  if (ran.error !== undefined) throw new Error(`Go is needed: ${ran.error.message}`);
  if (ran.status !== 0) throw new Error(`go ${args.join(' ')}: exit code ${ran.status}`);
  return ran.stdout ?? '';
}

/** What a binary was made of. */
function stampOf({ module, package: name, linkFlags }: Program): string {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(HERE, module, file)));
  return hash.update(`${name} ${linkFlags}`).digest('hex');
}

function readOr(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

function ofKubernetes(command: string): Program {
  const [major, minor] = KUBERNETES_VERSION.slice(1).split('.');
  const version = 'k8s.io/component-base/version';
  const linkFlags = [
    '-s -w',
    `-X ${version}.gitVersion=${KUBERNETES_VERSION}`,
    `-X ${version}.gitMajor=${major}`,
    `-X ${version}.gitMinor=${minor}`,
  ].join(' ');
  return { module: 'kubernetes', package: `k8s.io/kubernetes/cmd/${command}`, linkFlags };
}
