/** Why something could not be read, in one line that names it. */

export class ReadError extends Error {
  readonly path: string;
  /** The system failed, not what was found: the next attempt may succeed. */
  readonly isOfSystem: boolean;

  /** `because` goes on from the path: "does not exist". */
  constructor(path: string, because: string, options = { isOfSystem: false }) {
    super(`cannot read ${path}: ${because}`);
    this.path = path;
    this.isOfSystem = options.isOfSystem;
  }
}

export function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw systemError(path, error);
  }
}

/** Whatever has a number of the system; a bound of ours is no failure of it. */
export function systemError(path: string, error: unknown): ReadError {
  const isOfSystem = error instanceof Error && 'code' in error;
  return new ReadError(path, reasonOf(error), { isOfSystem });
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file or directory';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a directory';
    case 'ELOOP':
      return 'it is a symbolic link that leads in a circle';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open (ulimit -n)';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
