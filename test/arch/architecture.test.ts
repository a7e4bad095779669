/**
 * The architecture as a test: who may import whom, how large a file may be, which names are banned
 * and why. The table is ARCHITECTURE.md's; change both in one commit.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  findCircle,
  foreignRoomImports,
  type ImportGraph,
  layerOf,
  type RoomTable,
} from './import_graph.ts';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const SRC = join(ROOT, 'src');
const FILE_LINES_MAX = 500;
/** By `npm run build:protos`: nobody reads it. */
const GENERATED = /^hubble\/generated\//;
const FUNCTION_LINES_MAX = 70;

/** Layer → layers it may import besides itself. `*` = any. A file in src/ itself is a layer. */
const MAY_IMPORT: Record<string, readonly string[] | '*'> = {
  model: [],
  policy: ['model'],
  codec: ['model'],
  regex: ['model', 'policy'],
  text: ['model'],
  platform: ['model'],
  redirect: ['model', 'platform'],
  observe: ['model', 'platform'],
  hubble: ['model', 'platform', 'observe', 'regex', 'text'],
  kube: ['model', 'platform', 'text'],
  control: ['model', 'policy', 'platform', 'observe', 'text', 'kube'],
  proxy: ['model', 'policy', 'codec', 'platform', 'redirect', 'observe'],
  config: ['model', 'platform', 'proxy', 'text'],
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

/** Built and tested, and waiting for what will use them; a file leaves the list when something does. */
const WAITING_FILES: readonly string[] = [];

/** Inside the layers that have rooms: which room may import which. ARCHITECTURE.md shows why. */
const ROOMS: RoomTable = {
  policy: {
    '.': [],
    match: ['.'],
    identity: ['.', 'match'],
    compiled: ['.', 'match', 'identity'],
    l7: ['.', 'match', 'compiled'],
    compile: ['.', 'match', 'identity', 'compiled', 'l7'],
    decide: ['.', 'match', 'identity', 'compiled', 'l7'],
    kernel: ['.', 'identity', 'compiled'],
    resolve: ['.', 'match', 'identity'],
    lint: ['.', 'match', 'resolve'],
  },
  kube: {
    '.': ['access'],
    access: [],
    election: ['.'],
    watch: ['.'],
  },
  control: {
    decode: [],
    set: ['decode'],
    report: ['decode', 'set'],
    service: ['set'],
    names: ['decode', 'set'],
    source: ['decode', 'set', 'report', 'names'],
    worker: ['set'],
    ask: ['decode', 'set', 'source', 'report', 'service'],
    compare: ['decode', 'set', 'ask'],
  },
  proxy: {
    plane: [],
    transport: ['plane'],
    resolve: ['plane'],
    judge: ['plane', 'resolve'],
    request: ['plane', 'judge'],
    http1: ['plane', 'transport', 'judge', 'request'],
    http2: ['plane', 'transport', 'judge', 'request'],
    tls: ['plane', 'transport', 'judge', 'request'],
    dns: ['plane', 'transport', 'resolve', 'judge', 'request'],
    accept: ['plane', 'resolve', 'judge', 'request', 'http1', 'http2', 'tls', 'dns'],
    '.': ['plane', 'accept'],
  },
  observe: {
    '.': ['flow', 'log', 'metrics'],
    flow: ['.'],
    log: ['.', 'flow'],
    metrics: ['.', 'flow'],
  },
  hubble: {
    generated: [],
    flow: ['generated'],
    metrics: ['generated', 'flow', '.'],
    export: ['generated', 'flow', '.'],
    print: ['generated', 'flow'],
    filter: ['generated'],
    '.': ['generated'],
    serve: ['generated', 'flow', 'filter', '.'],
    relay: ['generated', 'serve'],
  },
  cli: {
    '.': ['admission', 'ask', 'bench', 'demo', 'observe', 'redirect', 'relay', 'run'],
    admission: ['.', 'ask'],
    ask: ['.'],
    bench: ['.', 'ask'],
    demo: ['.', 'ask'],
    observe: ['.'],
    redirect: ['.'],
    relay: ['.'],
    run: ['.'],
  },
};

/** Layers without any effect: no Node module at all. */
const PURE_LAYERS = ['model', 'policy'];

/** Layers that may use a Node module, but none that does I/O or tells the time. */
const SANS_IO_LAYERS = ['codec', 'regex', 'text'];
const EFFECTFUL_MODULES =
  /^node:(net|http|https|http2|tls|dns|fs|fs\/promises|dgram|child_process|cluster|worker_threads|timers|timers\/promises|process|os)$/;

const PACKAGE_OWNERS: Record<string, readonly string[]> = {
  re2: ['regex'],
  pino: ['observe'],
  'prom-client': ['observe'],
  yaml: ['text', 'control', 'config', 'cli'],
  undici: ['cli', 'kube'],
  koffi: ['redirect', 'platform'],
  '@bufbuild/protobuf': ['hubble', 'cli'],
  '@grpc/grpc-js': ['hubble', 'cli'],
  ajv: [],
};

/** Parse JSON that we or a tool of the system wrote, or ask only whether something is JSON. */
const OWN_JSON = [
  'control/decode/json_documents.ts',
  'control/source/files/last_good_set.ts',
  'control/source/files/name_memory.ts',
  'control/source/kube/cluster_file.ts',
  'cli/bench/children.ts',
  'cli/version.ts',
  'redirect/kernel/manifest.ts',
  'redirect/host/links.ts',
  'redirect/interfaces/cni_results.ts',
];

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
    pattern: /\b(parseDocument|parseAllDocuments|new Composer)\b|\bJSON\.parse\(/,
    allowedIn: (file) => file.startsWith('text/') || OWN_JSON.includes(file),
    reason: 'what others wrote is parsed within bounds: text/',
  },
  {
    pattern: /\bprocess\.env\b/,
    allowedIn: (file) => file.startsWith('config/') || file === 'main.ts',
    reason: 'config is the only reader of the environment',
  },
  {
    pattern: /\bas (unknown as )?Permit\b/,
    allowedIn: (file) => file === 'proxy/judge/admission.ts',
    reason: 'one maker of permits: nothing goes on that no admission has seen',
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
const graph: ImportGraph = new Map(files.map((file) => [file, internalImports(file)]));

describe('import table', () => {
  it('is kept by every file', () => {
    expect(files.flatMap(forbiddenImports)).toEqual([]);
  });

  it('has no circle, types counted', () => {
    expect(findCircle(graph)).toEqual([]);
  });

  it('is kept between the rooms of a layer', () => {
    expect(foreignRoomImports(graph, ROOMS)).toEqual([]);
  });

  it('reaches every source file from an entry point', () => {
    const reached = new Set<string>();
    const pending = files.filter((file) => file === 'main.ts' || file.endsWith('_main.ts'));
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      pending.push(...(graph.get(file) ?? []));
    }
    const unreached = files.filter((file) => !reached.has(file) && !isGenerator(file));
    expect(unreached).toEqual(WAITING_FILES);
  });
});

describe('what this test would find', () => {
  const withImport = (file: string, target: string): ImportGraph =>
    new Map([...graph, [file, [...(graph.get(file) ?? []), target]]]);

  it('is a circle of types alone', () => {
    const planted = withImport('policy/ast.ts', 'policy/decide/decide.ts');
    const circle = findCircle(planted);
    expect(circle.length).toBeGreaterThan(2);
    expect(circle).toContain('policy/ast.ts');
    expect(circle).toContain('policy/decide/decide.ts');
  });

  it.each([
    ['proxy/plane/registry.ts', 'proxy/accept/connection.ts'],
    ['proxy/http1/relay.ts', 'proxy/http2/relay.ts'],
    ['policy/decide/decide.ts', 'policy/resolve/resolve.ts'],
    ['control/decode/context.ts', 'control/set/policy_set.ts'],
    ['cli/redirect/up.ts', 'cli/bench/bench.ts'],
    ['observe/flow/record_flow.ts', 'observe/log/line.ts'],
  ])('is an import across rooms: %s of %s', (file, target) => {
    expect(graph.has(file) && graph.has(target)).toBe(true);
    expect(foreignRoomImports(withImport(file, target), ROOMS)).toEqual([
      `${file} imports ${target}`,
    ]);
  });

  it('is a room that nobody has named', () => {
    const planted = new Map([...graph, ['proxy/attic/box.ts', []]]);
    expect(foreignRoomImports(planted, ROOMS)).toHaveLength(1);
  });
});

describe('size', () => {
  it(`no file has more than ${FILE_LINES_MAX} lines`, () => {
    const lineCount = (file: string): number => read(file).split('\n').length - 1;
    const written = files.filter((file) => !GENERATED.test(file));
    expect(written.filter((file) => lineCount(file) > FILE_LINES_MAX)).toEqual([]);
  });

  it(`no function has more than ${FUNCTION_LINES_MAX} lines (checked by the linter)`, () => {
    const config = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
    const rule = config.linter.rules.complexity.noExcessiveLinesPerFunction;
    expect(rule.level).toBe('error');
    expect(rule.options.maxLines).toBe(FUNCTION_LINES_MAX);
  });
});

describe('comments', () => {
  it('none of a declaration stands above another one, orphaned', () => {
    expect(files.filter((file) => /\*\/\n[ \t]*\/\*\*/.test(read(file)))).toEqual([]);
  });
});

describe('the hot path', () => {
  it('is marked in the files that CONTRIBUTING.md lists, and in no other', () => {
    const marked = files.filter((file) => read(file).startsWith('/**\n * hot path\n'));
    expect(marked).toEqual(hotPathOf(readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')));
    expect(marked.length).toBeGreaterThan(10);
  });

  it('has one form of the mark', () => {
    const other = /^\/\*\* hot path|^ \* Hot path\b|^ \* hot path$/im;
    const unmarked = (file: string): string => read(file).replace(/^\/\*\*\n \* hot path\n/, '');
    expect(files.filter((file) => other.test(unmarked(file)))).toEqual([]);
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

/** The section lists a folder, then names of files in it without their ending. */
function hotPathOf(page: string): string[] {
  const section = page.split('\n## ').find((text) => text.startsWith('The hot path\n')) ?? '';
  const listed: string[] = [];
  let folder = '';
  for (const [line] of section.matchAll(/^ {4}.*$/gm)) {
    for (const word of line.trim().split(/\s+/)) {
      if (word.endsWith('/')) folder = word;
      else listed.push(`${folder}${word}.ts`);
    }
  }
  return listed.sort();
}

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

/** Of `src/` only. */
function internalImports(file: string): string[] {
  return (importsByFile.get(file) ?? [])
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => targetOf(file, specifier));
}

/** Static imports, re-exports, dynamic imports and `new URL('./x.ts', import.meta.url)`. */
function importsOf(file: string): string[] {
  const text = code(file);
  const found: string[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]/gm)) {
    found.push(match[1] as string);
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
