/** What others install with the program: only what it uses, under licences that allow it, nothing that was given up. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** All of them ask for no more than that their text is kept. Another one is a decision, not an update. */
const LICENCES = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'];
/**
 * Compiled here, each for a reason that CONTRIBUTING.md or scripts/native.mjs gives. What protobufjs (of gRPC) would run
 * is a hint about versions; package.json does not allow it.
 */
const INSTALL_SCRIPTS = ['node_modules/koffi', 'node_modules/protobufjs', 'node_modules/re2'];

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly deprecated?: string;
  readonly hasInstallScript?: boolean;
}

const manifest = json<Manifest>('package.json');
const lock = json<{ readonly packages: Readonly<Record<string, Locked>> }>('package-lock.json');
const installed = Object.entries(lock.packages).filter(([path]) => path !== '');
const production = installed.filter(([, { dev }]) => dev !== true);

describe('what the program imports', () => {
  const imported = new Set(
    [...globSync('src/**/*.ts', { cwd: ROOT }), ...globSync('bin/*', { cwd: ROOT })].flatMap(
      (file) =>
        [
          ...readFileSync(join(ROOT, file), 'utf8').matchAll(
            /(?:^|\s)(?:from|import\(|import) ?'([a-z@][\w./@:-]*)'/g,
          ),
        ]
          .map(([, name]) => packageOf(name as string))
          .filter((name) => !name.startsWith('node:')),
    ),
  );

  it('is a dependency of production, and each of those is imported', () => {
    expect([...imported].sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });

  it('is pinned to one version', () => {
    const versions = { ...manifest.dependencies, ...manifest.devDependencies };
    for (const [name, version] of Object.entries(versions)) {
      expect(`${name} ${version}`).toMatch(/ \d+\.\d+\.\d+$/);
      expect(lock.packages[`node_modules/${name}`]?.version).toBe(version);
    }
  });
});

describe('what is installed with it', () => {
  it('is under a licence of the list', () => {
    const others = production.filter(
      ([, { license = 'none' }]) => !license.split(' OR ').some(isAllowed),
    );
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  });

  it('says the same of its licence itself as the lock file does', () => {
    for (const [path, { license, version }] of production) {
      const own = join(ROOT, path, 'package.json');
      if (globSync(own).length === 0) continue; // of another platform
      const { license: said, version: ownVersion } = JSON.parse(readFileSync(own, 'utf8'));
      expect(`${path} ${ownVersion} ${said}`).toBe(`${path} ${version} ${license}`);
    }
  });

  it('is nothing that its authors have given up', () => {
    expect(installed.filter(([, { deprecated }]) => deprecated !== undefined)).toEqual([]);
  });

  it('comes with a checksum, and runs nothing when it is installed but what is known', () => {
    expect(production.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))).toEqual([]);
    const scripts = production.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    expect(scripts.map(([path]) => path)).toEqual(INSTALL_SCRIPTS);
  });
});

/** "(A AND B)": parts of it under each. */
function isAllowed(license: string): boolean {
  return license
    .replace(/^\((.*)\)$/, '$1')
    .split(' AND ')
    .every((one) => LICENCES.includes(one));
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string);
}

function json<T>(file: string): T {
  return JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as T;
}
