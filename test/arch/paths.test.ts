/** A path that a comment or a document names is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const ROOMS = ['src', 'test', 'bench', 'docs', 'scripts', 'examples', 'deploy', 'fixtures'];
/** Text that says where things are. What CHANGELOG.md tells was so then. */
const TOLD_BY = /\.(?:ts|mjs|md|c|h|yaml|yml)$/;
/** What docs/extending.md adds for an example is not there: a folder of a protocol, and the files of its blocks. */
const EXAMPLES = examplesOf(readFileSync(join(ROOT, 'docs/extending.md'), 'utf8'));
const NOT_OURS = /(?:^|\/)(?:node_modules|build|dist)$/;

const files = [
  ...readdirSync(ROOT).filter((name) => TOLD_BY.test(name) && name !== 'CHANGELOG.md'),
  ...ROOMS.flatMap((room) => filesIn(room)),
];

function filesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return NOT_OURS.test(path) ? [] : filesIn(path);
    return TOLD_BY.test(entry.name) ? [path] : [];
  });
}

/** Of code only the comments, of a document all of it. */
function prose(path: string, text: string): string {
  if (path.endsWith('.md')) return text;
  if (/\.ya?ml$/.test(path)) return (text.match(/#.*$/gm) ?? []).join('\n');
  return (text.match(/\/\*[\s\S]*?\*\/|\/\/.*$/gm) ?? []).join('\n');
}

/** A file of this repository by its whole path, or a folder of two words or more: "test/arch" may be a policy. */
function pathsIn(text: string): string[] {
  const named = text.matchAll(/(?<![\w./@:-])(?:src|test|bench|scripts)\/[\w.-]+(?:\/[\w.-]+)*/g);
  return [...named]
    .map(([path]) => path.replace(/\.+$/, ''))
    .filter((path) => path.split('/').length > 2 || path.includes('.'));
}

/** Of ARCHITECTURE.md's drawings: "proxy/accept/listener.ts" is of src. */
function sourcePathsIn(text: string): string[] {
  const named = text.matchAll(
    /(?<![\w./-])(?!(?:src|test|bench|docs|scripts)\/)[\w-]+(?:\/[\w.-]+)+\.ts/g,
  );
  return [...named].map(([path]) => path);
}

function examplesOf(page: string): ReadonlySet<string> {
  const files = [...page.matchAll(/^```ts\n\/\/ (src\/\S+)$/gm)].map(([, file = '']) => file);
  return new Set(['src/policy/l7/kafka', ...files]);
}

/** By an example, or by a build. */
function isMade(path: string): boolean {
  return EXAMPLES.has(path) || NOT_OURS.test(path);
}

describe('paths', () => {
  it('are found at all', () => {
    expect(files.length).toBeGreaterThan(500);
    expect(pathsIn('see `test/a/b`, test/a, src/app.ts.')).toEqual(['test/a/b', 'src/app.ts']);
    expect(sourcePathsIn('a proxy/data_plane.ts b')).toEqual(['proxy/data_plane.ts']);
  });

  it('that a comment or a document names are there', () => {
    const wrong = files.flatMap((path) =>
      pathsIn(prose(path, readFileSync(join(ROOT, path), 'utf8')))
        .filter((named) => !isMade(named) && !existsSync(join(ROOT, named)))
        .map((named) => `${path}: ${named}`),
    );
    expect(wrong).toEqual([]);
  });

  it('that ARCHITECTURE.md and CONTRIBUTING.md name are there', () => {
    const wrong = ['ARCHITECTURE.md', 'CONTRIBUTING.md'].flatMap((path) =>
      sourcePathsIn(readFileSync(join(ROOT, path), 'utf8'))
        .filter((named) => !existsSync(join(ROOT, 'src', named)))
        .map((named) => `${path}: ${named}`),
    );
    expect(wrong).toEqual([]);
  });
});
