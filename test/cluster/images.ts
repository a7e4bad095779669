/**
 * Images made of local files, as archives that `ctr images import` takes: no registry is asked. The image of Sallyport
 * has what the last stage of the Dockerfile puts together, of the Debian packages of this machine and of this checkout.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { must, ROOT } from '../deploy/tools.ts';

/** What the image's base has and its scripts use; their dependencies come, too. */
const DEBIAN_PACKAGES = [
  ...[
    'base-files',
    'base-passwd',
    'coreutils',
    'dash',
    'findutils',
    'grep',
    'login',
    'passwd',
    'perl-base',
  ],
  ...['procps', 'sed', 'util-linux', 'iproute2', 'libatomic1', 'libbpf1', 'libstdc++6'],
];

interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly user: string;
  readonly workingDir: string;
}

/** An archive as `docker save` writes it. `work`: a folder of our own. */
export function podImage(work: string, name: string): string {
  const rootfs = join(work, 'pod-rootfs');
  mkdirSync(rootfs);
  must(['go', 'build', '-trimpath', '-o', join(rootfs, 'pod'), '.'], {
    cwd: join(ROOT, 'test/cluster/pod'),
    env: { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
  });
  return archive(work, name, rootfs, { entrypoint: ['/pod'], user: '', workingDir: '/' });
}

export function sallyportImage(work: string, name: string): string {
  const rootfs = join(work, 'sallyport-rootfs');
  debian(rootfs);
  const home = join(rootfs, 'opt/sallyport');
  mkdirSync(home, { recursive: true });
  const node = process.execPath;
  must([node, 'scripts/bpf.mjs']);
  must([node, 'scripts/build.mjs', join(home, 'dist')]);
  for (const [from, to] of [
    ['package.json', 'package.json'],
    ['bin', 'bin'],
    ['deploy/image', 'libexec'],
  ] as const) {
    cpSync(join(ROOT, from), join(home, to), { recursive: true });
  }
  for (const path of productionPackages()) {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    must(['cp', '-a', join(ROOT, path), join(home, path)]);
  }
  mkdirSync(join(home, 'node_modules/.bin'), { recursive: true });
  must(['sh', join(home, 'libexec/prune.sh'), home]);
  must(['chroot', rootfs, 'sh', '/opt/sallyport/libexec/setup.sh']);
  const config = { entrypoint: ['sallyport'], user: '1337:1337', workingDir: '/opt/sallyport' };
  return archive(work, name, rootfs, config);
}

/** Files of the packages as they lie on this machine; no maintainer script is run. */
function debian(rootfs: string): void {
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(rootfs, 'usr', folder), { recursive: true });
    symlinkSync(`usr/${folder}`, join(rootfs, folder));
  }
  for (const folder of ['proc', 'sys', 'dev', 'run', 'etc', 'tmp', 'usr/local/bin'])
    mkdirSync(join(rootfs, folder), { recursive: true });
  const files = must(['dpkg', '-L', ...withDependencies(DEBIAN_PACKAGES)])
    .split('\n')
    .filter((path) => path.startsWith('/') && path !== '/.' && existsSync(path))
    .filter((path) => !/^\/usr\/share\/(doc|man|locale|info)\//.test(path));
  const list = join(dirname(rootfs), 'debian-files');
  writeFileSync(list, [...new Set(files)].map((path) => `.${path}`).join('\n'));
  const tar = `tar -C / --no-recursion -cf - -T ${list} | tar -C ${rootfs} --keep-directory-symlink -xpf -`;
  must(['sh', '-c', tar]);
  for (const name of ['passwd', 'group']) {
    cpSync(join(rootfs, 'usr/share/base-passwd', `${name}.master`), join(rootfs, 'etc', name));
  }
  must(['ldconfig', '-r', rootfs]);
}

function withDependencies(names: readonly string[]): readonly string[] {
  const found = new Set<string>();
  const waiting = [...names];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue;
    const said = must([
      'dpkg-query',
      '-W',
      '-f',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query
      '${db:Status-Abbrev}|${Pre-Depends},${Depends}\n',
      name,
    ]);
    if (!said.startsWith('ii')) throw new Error(`the Debian package ${name} is not installed`);
    found.add(name);
    const depends = said.slice(said.indexOf('|') + 1).split('\n')[0] ?? '';
    for (const one of depends.split(',')) {
      const first =
        one
          .split('|')[0]
          ?.trim()
          .split(/[\s:(]/)[0] ?? '';
      // debconf is for scripts of packages, which do not run.
      if (first !== '' && first !== 'debconf' && isInstalled(first)) waiting.push(first);
    }
  }
  return [...found];
}

function isInstalled(name: string): boolean {
  return (
    existsSync(`/var/lib/dpkg/info/${name}.list`) ||
    existsSync(`/var/lib/dpkg/info/${name}:${ARCHES[process.arch]}.list`)
  );
}

const ARCHES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** "node_modules/undici", of those that are installed here. */
function productionPackages(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path.startsWith('node_modules/') && dev !== true)
    .map(([path]) => path)
    .filter((path) => path.lastIndexOf('node_modules/') === 0 && existsSync(join(ROOT, path)));
}

function archive(work: string, name: string, rootfs: string, config: ImageConfig): string {
  const folder = join(work, `image-${name.replace(/^.*\/|:.*$/g, '')}`);
  mkdirSync(folder);
  const layer = join(folder, 'layer.tar');
  must(['tar', '-C', rootfs, '--numeric-owner', '--owner=0', '--group=0', '-cf', layer, '.']);
  const digest = must(['sha256sum', layer]).slice(0, 64);
  const text = JSON.stringify({
    architecture: ARCHES[process.arch],
    os: 'linux',
    config: {
      Entrypoint: config.entrypoint,
      User: config.user,
      WorkingDir: config.workingDir,
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    history: [{ created_by: 'test/cluster/images.ts' }],
  });
  const configName = `${createHash('sha256').update(text).digest('hex')}.json`;
  writeFileSync(join(folder, configName), text);
  const manifest = [{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }];
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const path = `${folder}.tar`;
  must(['tar', '-C', folder, '-cf', path, 'manifest.json', configName, 'layer.tar']);
  return path;
}
