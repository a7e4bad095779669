/**
 * Compiles the kernel programs of the redirect (`npm run build:bpf`) and writes beside each object what it
 * was made of: the loader refuses an object that is not the one its manifest describes. Only the kernel's
 * UAPI headers and libbpf's are used, so the object does not depend on the kernel it was built under.
 *
 *     node scripts/bpf.mjs [FOLDER]       default: src/redirect/bpf/build
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src/redirect/bpf');
const FOLDER = process.argv[2] ?? join(SOURCES, 'build');
const OF_SERVICES = /^#define SERVICES_LAYOUT_VERSION (\d+)$/m;

/** Each with its headers, and where the version of its layout is said. */
const OBJECTS = [
  { source: 'sallyport.bpf.c', headers: '.', layout: /^#define LAYOUT_VERSION (\d+)$/m },
  { source: 'services.bpf.c', headers: 'services', layout: OF_SERVICES },
  { source: 'sockets.bpf.c', headers: 'services', layout: OF_SERVICES },
];
const CLANG = process.env.CLANG ?? 'clang';
const INSTALL = 'On Debian: apt-get install clang llvm libbpf-dev linux-libc-dev';

main();

function main() {
  const version = clangVersion();
  mkdirSync(FOLDER, { recursive: true });
  for (const object of OBJECTS) build(object, version);
}

function build({ source, headers, layout }, compiler) {
  const target = join(FOLDER, source.replace(/c$/, 'o'));
  const temporary = `${target}.${process.pid}`;
  compile(source, temporary);
  const manifest = {
    object: sha256([readFileSync(temporary)]),
    sources: sha256(
      [source, ...headersIn(headers)].flatMap((name) => [name, readFileSync(join(SOURCES, name))]),
    ),
    layoutVersion: Number(layout.exec(readFileSync(join(SOURCES, headers, 'layout.h'), 'utf8'))[1]),
    compiler,
  };
  // The manifest first: an object beside another object's manifest is refused, one without any as well.
  writeFileSync(`${target}.json`, `${JSON.stringify(manifest, null, 2)}\n`);
  renameSync(temporary, target);
  console.log(`sallyport: ${target}, layout ${manifest.layoutVersion}, sha256 ${manifest.object}`);
}

function clangVersion() {
  const asked = spawnSync(CLANG, ['--version'], { encoding: 'utf8' });
  if (asked.status !== 0) fail(`${CLANG} is needed to compile the kernel programs. ${INSTALL}`);
  return asked.stdout.split('\n')[0];
}

function compile(source, target) {
  const asked = spawnSync(
    CLANG,
    [
      ...['-O2', '-g', '-Wall', '-Wextra', '-Wno-unused-function'],
      // The debug information names the sources, but not where they lay.
      ...['-target', 'bpf', '-mcpu=v3', `-ffile-prefix-map=${SOURCES}=.`],
      ...includeFlags(),
      ...['-c', source, '-o', target],
    ],
    { cwd: SOURCES, encoding: 'utf8' },
  );
  if (asked.status === 0) {
    process.stderr.write(asked.stderr);
    return;
  }
  const isHeaderMissing = /'(bpf|linux|asm)\/[a-z_]+\.h' file not found/.test(asked.stderr);
  fail(`${asked.stderr}${isHeaderMissing ? `A header is missing. ${INSTALL}` : 'clang failed'}`);
}

/** Debian keeps asm/ in a folder of the machine, of which clang's BPF target knows nothing. */
function includeFlags() {
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch] ?? process.arch;
  const folder = `/usr/include/${machine}-linux-gnu`;
  return existsSync(folder) ? [`-I${folder}`] : [];
}

function headersIn(folder) {
  return readdirSync(join(SOURCES, folder))
    .filter((name) => name.endsWith('.h'))
    .sort()
    .map((name) => join(folder, name));
}

function sha256(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function fail(message) {
  console.error(`build:bpf: ${message}`);
  process.exit(1);
}
