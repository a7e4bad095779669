/** Files and folders as texts, within one budget. */
import { readBounded } from './bounded_file.ts';
import { FolderError, type FolderLimits, PolicyFolders } from './policy_folders.ts';
import { ReadBudget, type ReadLimits } from './read_budget.ts';
import { ReadError, reading, systemError } from './read_error.ts';
import type { SourceText } from './source_bundle.ts';

/** As a path: standard input. */
export const STDIN = '-';
const NOT_REGULAR = 'it is not a regular file';

/** Texts of files and directories, in order, for tools. Rejects with what is wrong and where. */
export async function readPolicyPaths(
  paths: readonly string[],
  limits: ReadLimits & FolderLimits,
): Promise<readonly SourceText[]> {
  const budget = new ReadBudget(limits);
  const folders = new PolicyFolders(limits);
  return paths.flatMap((path) =>
    policyFiles(path, folders).map((file) => readText(file, budget, { isPipeAllowed: true })),
  );
}

/** The path itself, or the policy files of a folder and below; what `folders` gave before is left out. */
export function policyFiles(path: string, folders: PolicyFolders): readonly string[] {
  if (path === STDIN) return [path];
  try {
    return folders.filesOf(path);
  } catch (error) {
    if (error instanceof FolderError) throw systemError(error.path, error.cause);
    throw error;
  }
}

export interface ReadTextOptions {
  readonly isPipeAllowed: boolean;
  readonly readBytes?: ((path: string) => Buffer) | undefined;
}

export function readText(path: string, budget: ReadBudget, options: ReadTextOptions): SourceText {
  budget.check(path, 0);
  const { readBytes } = options;
  const bytes =
    readBytes === undefined
      ? readBytesOf(path, budget, options)
      : reading(path, () => readBytes(path));
  budget.take(path, bytes.length);
  try {
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    throw new ReadError(path, 'it is not UTF-8 text');
  }
}

function readBytesOf(path: string, budget: ReadBudget, { isPipeAllowed }: ReadTextOptions): Buffer {
  const read = reading(path, () =>
    readBounded(path, { bytesMax: budget.bytesLeft, isPipeAllowed }),
  );
  switch (read.kind) {
    case 'bytes':
      return read.bytes;
    case 'not-regular':
      throw new ReadError(path, NOT_REGULAR);
    case 'too-large':
      throw budget.tooLarge(path);
  }
}
