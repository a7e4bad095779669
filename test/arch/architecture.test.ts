/**
 * The architecture as a test: who may import whom, how large a file may be, which names are banned
 * and why. The table is ARCHITECTURE.md's; change both in one commit.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const SRC = join(ROOT, 'src');
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;

/** Layer → layers it may import besides itself. `*` = any. A file in src/ itself is a layer. */
const MAY_IMPORT: Record<string, readonly string[] | '*'> = {
  model: [],
  policy: ['model'],
  codec: ['model'],
  regex: ['model', 'policy'],
  platform: ['model'],
  redirect: ['model', 'platform'],
  observe: ['model', 'platform'],
  control: ['model', 'policy', 'platform', 'observe'],
  proxy: ['model', 'policy', 'codec', 'platform', 'redirect', 'observe'],
  config: ['model', 'platform', 'proxy'],
  admin: '*',
  cli: '*',
  workers: '*',
  'app.ts': '*',
  'main.ts': '*',
};

/** Single files that a layer may import although its layer is not in the table, with the reason. */
const FILE_LIMITS: readonly {
  from: string;
  to: string;
  only: readonly string[];
  reason: string;
}[] = [
  {
    from: 'regex',
    to: 'policy',
    only: ['policy/match/regex.ts'],
    reason: 'the engine comes in by interface',
  },
  {
    from: 'config',
    to: 'proxy',
    only: ['proxy/plane/options.ts'],
    reason: 'configuration makes the data plane’s options, it does not know the data plane',
  },
];

/** Built and tested, and used by nothing yet; an entry goes when its folder is reached. */
const NOT_YET_REACHED: readonly { folder: string; reason: string }[] = [];

/** Layers without any effect: no Node module at all. */
const PURE_LAYERS = ['model', 'policy'];

/** Layers that may use a Node module, but none that does I/O or tells the time. */
const SANS_IO_LAYERS = ['codec', 'regex'];
const EFFECTFUL_MODULES =
  /^node:(net|http|https|http2|tls|dns|fs|fs\/promises|dgram|child_process|cluster|worker_threads|timers|timers\/promises|process|os)$/;

const PACKAGE_OWNERS: Record<string, readonly string[]> = {
  re2: ['regex'],
  pino: ['observe'],
  'prom-client': ['observe'],
  yaml: ['control', 'config', 'cli'],
  undici: ['cli'],
  koffi: ['redirect'],
  ajv: [],
};

interface Ban {
  readonly pattern: RegExp;
  readonly allowedIn: (file: string) => boolean;
  readonly reason: string;
}

const nowhere = (): boolean => false;

const BANS: readonly Ban[] = [
  {
    pattern: /\bprocess\.exit\(/,
    allowedIn: (file) => file === 'main.ts',
    reason: 'one place decides when the process ends; others return an exit code',
  },
  {
    pattern: /\bprocess\.env\b/,
    allowedIn: (file) => file.startsWith('config/') || file === 'main.ts',
    reason: 'config is the only reader of the environment',
  },
  {
    pattern: /\bnew RegExp\(/,
    allowedIn: nowhere,
    reason: 'no pattern built at run time: a user’s pattern must never reach a backtracking engine',
  },
  {
    pattern: /\b(eval|new Function)\(/,
    allowedIn: nowhere,
    reason: 'code that cannot be read cannot be audited',
  },
  {
    pattern: /\bnew Proxy\(/,
    allowedIn: nowhere,
    reason: 'no meta-programming in a security proxy',
  },
  {
    pattern: /\b(Date\.now|performance\.now)\(|\bnew Date\(\)/,
    allowedIn: (file) => !/^(model|policy|codec|regex|proxy)\//.test(file),
    reason: 'time comes in by platform/, so that tests own it',
  },
  {
    pattern: /\b(setTimeout|setInterval)\(/,
    allowedIn: (file) => !/^(model|policy|codec|regex|proxy)\//.test(file),
    reason: 'timers come in by platform/, so that tests own them',
  },
  {
    pattern: /\bMath\.random\(/,
    allowedIn: nowhere,
    reason: 'randomness that cannot be replayed; security needs node:crypto',
  },
  {
    pattern: /\bconsole\./,
    allowedIn: nowhere,
    reason: 'output goes through the logger or the CLI’s io',
  },
  {
    pattern: /\b(inbound|outbound)/i,
    allowedIn: nowhere,
    reason: 'we say downstream/upstream for sides and ingress/egress for directions',
  },
  {
    pattern: /^export default\b/m,
    allowedIn: nowhere,
    reason: 'named exports only: one name for one thing',
  },
  {
    pattern: /\b(TODO|FIXME|XXX)\b/,
    allowedIn: nowhere,
    reason: 'unfinished work is an issue, not a comment',
  },
];

const files = sourceFiles();
const importsByFile = new Map(files.map((file) => [file, importsOf(file)]));

describe('import table', () => {
  it.each(files)('%s imports only what its layer may', (file) => {
    expect(forbiddenImports(file)).toEqual([]);
  });

  it('has no cycles', () => {
    expect(findCycle()).toEqual([]);
  });

  it('reaches every source file from an entry point', () => {
    const entries = files.filter((file) => file === 'main.ts' || file.endsWith('_main.ts'));
    const reached = new Set<string>();
    const pending = [...entries];
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      pending.push(...internalImports(file));
    }
    const unreached = files.filter((file) => !reached.has(file) && !isGenerator(file));
    const isWaiting = (file: string): boolean =>
      NOT_YET_REACHED.some(({ folder }) => file.startsWith(folder));
    expect(unreached.filter((file) => !isWaiting(file))).toEqual([]);
    for (const { folder } of NOT_YET_REACHED) {
      expect(unreached.some((file) => file.startsWith(folder))).toBe(true);
    }
  });
});

describe('size', () => {
  it.each(files)(`%s has at most ${FILE_LINES_MAX} lines`, (file) => {
    expect(read(file).split('\n').length - 1).toBeLessThanOrEqual(FILE_LINES_MAX);
  });

  it(`no function has more than ${FUNCTION_LINES_MAX} lines (checked by the linter)`, () => {
    const config = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
    const rule = config.linter.rules.complexity.noExcessiveLinesPerFunction;
    expect(rule.level).toBe('error');
    expect(rule.options.maxLines).toBe(FUNCTION_LINES_MAX);
  });
});

describe('banned names', () => {
  for (const ban of BANS) {
    it(`${ban.pattern.source}: ${ban.reason}`, () => {
      const found = files.filter((file) => !ban.allowedIn(file) && ban.pattern.test(code(file)));
      expect(found).toEqual([]);
    });
  }

  it('no test is skipped or focused', () => {
    const tests = tracked('test').filter((path) => path.endsWith('.ts'));
    const self = relative(ROOT, fileURLToPath(import.meta.url));
    const skipped = tests.filter(
      (path) =>
        path !== self &&
        /\b(it|test|describe)\.(skip|only|todo|skipIf|runIf)\b/.test(
          readFileSync(join(ROOT, path), 'utf8'),
        ),
    );
    expect(skipped).toEqual([]);
  });
});

describe('repository', () => {
  it('keeps no download address in the lock file', () => {
    expect(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).not.toMatch(
      /"resolved": "https?:/,
    );
  });

  it('pins every direct dependency to one version', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const versions = Object.values<string>({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    });
    expect(versions.filter((version) => !/^[0-9]+\.[0-9]+\.[0-9]+$/.test(version))).toEqual([]);
  });
});

function forbiddenImports(file: string): string[] {
  const layer = layerOf(file);
  const allowed = MAY_IMPORT[layer];
  if (allowed === undefined) return [`${layer} is not in the import table`];
  return (importsByFile.get(file) ?? [])
    .filter((specifier) => !isAllowedImport(file, layer, allowed, specifier))
    .map((specifier) => `${file} imports ${specifier}`);
}

function isAllowedImport(
  file: string,
  layer: string,
  allowed: readonly string[] | '*',
  specifier: string,
): boolean {
  if (specifier.startsWith('node:')) {
    if (PURE_LAYERS.includes(layer)) return false;
    return !(SANS_IO_LAYERS.includes(layer) && EFFECTFUL_MODULES.test(specifier));
  }
  if (!specifier.startsWith('.')) {
    return PACKAGE_OWNERS[packageName(specifier)]?.includes(layer) ?? false;
  }
  const target = targetOf(file, specifier);
  const targetLayer = layerOf(target);
  if (targetLayer === layer || allowed === '*') return true;
  const limit = FILE_LIMITS.find(({ from, to }) => from === layer && to === targetLayer);
  if (limit !== undefined && !limit.only.includes(target)) return false;
  return allowed.includes(targetLayer);
}

function findCycle(): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] => {
    if (done.has(file)) return [];
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    path.push(file);
    for (const target of internalImports(file, { typesToo: false })) {
      const cycle = visit(target);
      if (cycle.length > 0) return cycle;
    }
    path.pop();
    done.add(file);
    return [];
  };
  for (const file of files) {
    const cycle = visit(file);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

function internalImports(file: string, options = { typesToo: true }): string[] {
  const specifiers = options.typesToo ? (importsByFile.get(file) ?? []) : importsOf(file, false);
  return specifiers
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => targetOf(file, specifier));
}

/** Static imports, re-exports, dynamic imports and `new URL('./x.ts', import.meta.url)`. */
function importsOf(file: string, withTypes = true): string[] {
  const text = code(file);
  const found: string[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s(type\s)?[^'"]*?from\s+'([^']+)'/gm)) {
    if (withTypes || match[1] === undefined) found.push(match[2] as string);
  }
  for (const match of text.matchAll(/^import\s+'([^']+)'/gm)) found.push(match[1] as string);
  for (const match of text.matchAll(/\bimport\('([^']+)'\)/g)) found.push(match[1] as string);
  return found;
}

/** A file without its comments, so that a word in prose bans nothing. */
function code(file: string): string {
  return read(file)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function isGenerator(file: string): boolean {
  return /\/print_[a-z_]+\.ts$/.test(file);
}

function targetOf(file: string, specifier: string): string {
  const target = relative(SRC, resolve(SRC, dirname(file), specifier));
  if (!existsSync(join(SRC, target))) throw new Error(`${file}: ${specifier} does not exist`);
  return target;
}

function layerOf(file: string): string {
  return file.split('/')[0] as string;
}

function packageName(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string);
}

function sourceFiles(): string[] {
  return tracked('src')
    .filter((path) => path.endsWith('.ts'))
    .map((path) => relative('src', path))
    .sort();
}

/** Tracked and new files, so that the test sees a file before it is committed. */
function tracked(folder: string): string[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '--', folder],
    { cwd: ROOT, encoding: 'utf8' },
  );
  return [...new Set(listed.split('\n'))].filter(
    (path) => path !== '' && existsSync(join(ROOT, path)),
  );
}

function read(file: string): string {
  return readFileSync(join(SRC, file), 'utf8');
}
