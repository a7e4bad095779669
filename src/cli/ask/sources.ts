/**
 * Reads what `-p`, `--endpoints` and `--secrets` name into texts. What cannot be read is one line
 * for stderr and exit code 2.
 */
import { resolve } from 'node:path';
import { readBounded } from '../../control/source/files/bounded_file.ts';
import { readPolicyPaths } from '../../control/source/files/read_texts.ts';
import type { SourceBundle, SourceText } from '../../control/source/files/source_bundle.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import type { Args } from '../args.ts';
import { type Io, readStdin } from '../io.ts';

/** As a path: standard input. */
export const STDIN = '-';

export type SourcesResult =
  | { readonly kind: 'bundle'; readonly bundle: SourceBundle }
  | { readonly kind: 'error'; readonly message: string };

export async function readSources(args: Args, io: Io): Promise<SourcesResult> {
  const paths = [...args.values('policy'), ...args.arguments];
  if (paths.length === 0) return { kind: 'error', message: 'no policies: name them with -p PATH' };
  try {
    return {
      kind: 'bundle',
      bundle: {
        policies: await readPolicies(paths, io),
        endpoints: await readText(args.value('endpoints'), io),
        secrets: await readText(args.value('secrets'), io),
        hasNodeLabels: args.has('enable-node-selector-labels'),
      },
    };
  } catch (error) {
    return { kind: 'error', message: readErrorText(error) };
  }
}

/**
 * Texts of files, directories and "-", in the order of `paths`; a file that is named twice is one.
 * Throws what the system says.
 */
export async function readPolicies(paths: readonly string[], io: Io): Promise<SourceText[]> {
  const texts = new Map<string, SourceText>();
  for (const path of paths) {
    if (path === STDIN) {
      const text = await readStdin(io, DEFAULT_LIMITS.policyBytesMax);
      if (!texts.has(path)) texts.set(path, { path: '<stdin>', text });
      continue;
    }
    for (const source of await readPolicyPaths([resolve(io.cwd, path)], DEFAULT_LIMITS)) {
      texts.set(source.path, { path: shortened(source.path, io.cwd), text: source.text });
    }
  }
  return [...texts.values()];
}

export async function readText(path: string | null, io: Io): Promise<SourceText | null> {
  if (path === null) return null;
  return { path, text: readBoundedText(resolve(io.cwd, path), DEFAULT_LIMITS.policyBytesMax) };
}

/** Throws what the system says, and when there is more than that. */
export function readBoundedText(path: string, bytesMax: number): string {
  const read = readBounded(path, { bytesMax, isPipeAllowed: true });
  if (read.kind === 'bytes') return read.bytes.toString('utf8');
  throw new Error(`cannot read ${path}: it has more than ${bytesMax} bytes`);
}

/** "cannot read PATH: no such file", without the system call. */
export function readErrorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path } = error as NodeJS.ErrnoException;
  const because = {
    ENOENT: 'there is no such file or directory',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
  }[code ?? ''];
  return because === undefined ? error.message : `cannot read ${path ?? 'a file'}: ${because}`;
}

function shortened(path: string, cwd: string): string {
  return path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
}
