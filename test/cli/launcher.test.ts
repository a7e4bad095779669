/** bin/sallyport finds a Node that is new enough, from a checkout, through links, and in a package. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get, Scratch } from '../workers/running.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const VERSION = /^sallyport \d+\.\d+\.\d+ \(node (\d+)\./;

let scratch = '';

beforeAll(() => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-launcher-')));
});

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

describe('from a checkout', () => {
  it('runs src/ and prints no warning, with no Node on PATH', () => {
    const result = launch(join(ROOT, 'bin/sallyport'), { path: plainTools() });
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toMatch(VERSION);
  });

  it('runs through a chain of links, from any directory', () => {
    symlinkSync(join(ROOT, 'bin/sallyport'), join(scratch, 'first'));
    mkdirSync(join(scratch, 'links'));
    symlinkSync('../first', join(scratch, 'links/second'));
    const result = launch(join(scratch, 'links/second'), { path: plainTools() });
    expect(result).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('standard output on a full disk', () => {
  it('is an error, and says so', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(join(ROOT, 'bin/sallyport'), ['version'], {
      encoding: 'utf8',
      stdio: ['ignore', full, 'pipe'],
    });
    closeSync(full);
    expect(status).toBe(70);
    expect(stderr).toMatch(/^sallyport: standard output: ENOSPC.*\n$/);
  });

  it('costs a proxy its log and nothing else', async () => {
    const running = new Scratch();
    const full = openSync('/dev/full', 'w');
    try {
      const config = running.config({
        upstream: await running.origin(),
        more: `workers: 1\nadmin: unix:${running.dir}/admin.sock`,
      });
      const proxy = spawn(join(ROOT, 'bin/sallyport'), ['run', '-c', config], {
        stdio: ['ignore', full, 'pipe'],
      });
      let stderr = '';
      proxy.stderr?.on('data', (chunk: Buffer) => {
        stderr += chunk;
      });
      const ended = once(proxy, 'close');
      const admin = join(running.dir, 'admin.sock');
      while (!existsSync(admin) && proxy.exitCode === null) await sleep(20);
      proxy.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(stderr).toBe('');
    } finally {
      closeSync(full);
      await running.dispose();
    }
  });
});

describe('without a Node of its own', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['older', 'v20.19.2', /Node 24\.15 or newer is needed; .*\/node is v20\.19\.2/],
    ['of an older minor', 'v24.14.9', /24\.15 or newer is needed; .* is v24\.14\.9/],
    ['that says nothing', '', /cannot tell the version/],
  ];

  it.each(cases)('a Node on PATH %s is refused in one line', (name, version, message) => {
    const checkout = bareInstall(`bare ${name}`);
    const tools = join(checkout, 'tools');
    mkdirSync(tools);
    writeFileSync(join(tools, 'node'), `#!/bin/sh\necho ${version}\n`);
    chmodSync(join(tools, 'node'), 0o755);
    const result = launch(join(checkout, 'bin/sallyport'), { path: `${tools}:${plainTools()}` });
    expect(result).toMatchObject({ status: 70, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n').length).toBe(1);
  });

  it('none on PATH is told in one line', () => {
    const result = launch(join(bareInstall('none'), 'bin/sallyport'), { path: plainTools() });
    expect(result).toMatchObject({ status: 70, stdout: '' });
    expect(result.stderr).toMatch(/no Node found: Node 24\.15 or newer is needed/);
  });

  it.each(['24.15.0', '26.0.0', '30.1.2'])('Node %s on PATH is taken', (version) => {
    const checkout = bareInstall(`taken ${version}`);
    const tools = join(checkout, 'tools');
    mkdirSync(tools);
    writeFileSync(
      join(tools, 'node'),
      `#!/bin/sh\n[ "$1" = --version ] && echo v${version} || echo "ran $*"\n`,
    );
    chmodSync(join(tools, 'node'), 0o755);
    mkdirSync(join(checkout, 'dist'));
    writeFileSync(join(checkout, 'dist/main.js'), '');
    const result = launch(join(checkout, 'bin/sallyport'), { path: `${tools}:${plainTools()}` });
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toContain(join(checkout, 'dist/main.js'));
  });
});

describe('an installation that is not complete', () => {
  /** A checkout without its packages, in which `harm` puts some of them. */
  function incomplete(name: string, fill: (modules: string) => void): string {
    const home = join(scratch, name);
    const modules = join(home, 'node_modules');
    mkdirSync(modules, { recursive: true });
    for (const part of ['bin', 'src', 'package.json']) {
      // Copied: Node looks for packages beside the real file.
      cpSync(join(ROOT, part), join(home, part), { recursive: true });
    }
    for (const entry of readdirSync(join(ROOT, 'node_modules'))) {
      if (entry !== 're2') symlinkSync(join(ROOT, 'node_modules', entry), join(modules, entry));
    }
    fill(modules);
    return join(home, 'bin/sallyport');
  }

  /** The package's JavaScript without what was compiled. */
  function uncompiled(modules: string): void {
    cpSync(join(ROOT, 'node_modules/re2'), join(modules, 're2'), {
      recursive: true,
      filter: (path) => !path.includes('/build') && !path.includes('/vendor'),
    });
  }

  it.each<{ name: string; fill: (modules: string) => void; told: RegExp }>([
    { name: 'without-re2', fill: () => {}, told: /the package re2 is not installed; run `npm ci`/ },
    {
      name: 'uncompiled',
      fill: uncompiled,
      told: /a native package was not compiled \(re2\); run `npm ci`/,
    },
    {
      name: 'of-another-node',
      fill: (modules) => {
        uncompiled(modules);
        mkdirSync(join(modules, 're2/build/Release'), { recursive: true });
        writeFileSync(join(modules, 're2/build/Release/re2.node'), 'no library');
      },
      told: /a native package does not load on this Node, v\d+\.\d+\.\d+ \(re2\); run `npm ci`/,
    },
  ])('$name: one line says what to do', ({ name, fill, told }) => {
    const bin = incomplete(name, fill);
    for (const [args, status] of [
      [['run', '-c', 'none.yaml'], 1],
      [['check', '-p', 'none.yaml'], 70],
    ] as const) {
      const result = launch(bin, { path: plainTools(), args });
      expect(result.status).toBe(status);
      expect(result.stderr).toMatch(told);
      expect(result.stderr.trimEnd()).not.toContain('\n');
    }
    expect(launch(bin, { path: plainTools() })).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('a package under node_modules', () => {
  it('runs what scripts/build.mjs made of src/, workers too', async () => {
    const modules = join(scratch, 'project/node_modules');
    const home = join(modules, 'sallyport');
    mkdirSync(join(home, 'bin'), { recursive: true });
    copyFileSync(join(ROOT, 'package.json'), join(home, 'package.json'));
    cpSync(join(ROOT, 'bin'), join(home, 'bin'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
    const build = spawnSync(
      process.execPath,
      [join(ROOT, 'scripts/build.mjs'), join(home, 'dist')],
      { encoding: 'utf8' },
    );
    expect(build).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(join(home, 'dist/main.js'))).toBe(true);
    const version = launch(join(home, 'bin/sallyport'), { path: plainTools() });
    expect(version).toMatchObject({ status: 0, stderr: '' });
    expect(version.stdout).toMatch(VERSION);
    const wrong = launch(join(home, 'bin/sallyport'), {
      path: plainTools(),
      args: ['run', '-c', join(scratch, 'none.yaml')],
    });
    expect(wrong).toMatchObject({ status: 2, stdout: '' });
    const running = new Scratch();
    try {
      const config = running.config({ upstream: await running.origin() });
      const proxy = running.run(['run', '-c', config], {}, join(home, 'bin/sallyport'));
      expect(await get(await proxy.port(), '/ok')).toEqual({ status: 200, text: '/ok' });
      proxy.signal('SIGTERM');
      expect(await proxy.ended).toBe(0);
      expect(proxy.stderr).toBe('');
    } finally {
      await running.dispose();
    }
  });
});

interface LaunchOptions {
  readonly path: string;
  readonly args?: readonly string[];
}

function launch(file: string, options: LaunchOptions) {
  const { status, stdout, stderr } = spawnSync(file, options.args ?? ['version'], {
    cwd: scratch,
    encoding: 'utf8',
    env: { PATH: options.path },
  });
  return { status, stdout, stderr };
}

/** A directory with the tools of a POSIX system that the launcher uses, and no Node. */
function plainTools(): string {
  const tools = join(scratch, 'tools');
  if (existsSync(tools)) return tools;
  mkdirSync(tools);
  for (const name of ['sh', 'dirname', 'readlink', 'uname']) {
    const from = ['/bin', '/usr/bin']
      .map((dir) => join(dir, name))
      .find((path) => existsSync(path));
    if (from === undefined) throw new Error(`no ${name}`);
    symlinkSync(from, join(tools, name));
  }
  return tools;
}

function bareInstall(name: string): string {
  const home = join(scratch, name.replaceAll(' ', '-'));
  mkdirSync(join(home, 'bin'), { recursive: true });
  copyFileSync(join(ROOT, 'bin/sallyport'), join(home, 'bin/sallyport'));
  return home;
}
