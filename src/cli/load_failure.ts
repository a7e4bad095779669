/**
 * Why the code of a verb could not be loaded, for a user whose installation is incomplete: a package that is not there,
 * or a native one that was not compiled, or was compiled for another Node.
 */

/** One line, or null when it is no failure of the installation but one of ours. */
export function loadFailureText(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code, message } = error as NodeJS.ErrnoException;
  const [first = ''] = message.split('\n');
  switch (code) {
    case 'ERR_MODULE_NOT_FOUND': {
      const name = /^Cannot find package '([^']+)'/.exec(first)?.[1];
      return name === undefined ? null : `the package ${name} is not installed; ${REPAIR}`;
    }
    case 'MODULE_NOT_FOUND':
      return /\.node'$/.test(first)
        ? `a native package was not compiled (${nativeName(message)}); ${REPAIR}`
        : null;
    case 'ERR_DLOPEN_FAILED':
      return `a native package does not load on this Node, ${process.version} (${nativeName(message)}); ${REPAIR}`;
    default:
      return null;
  }
}

const REPAIR =
  'run `npm ci` where Sallyport is installed (it compiles re2, and needs make, g++ and python3)';

/** "re2" of ".../node_modules/re2/build/Release/re2.node". */
function nativeName(message: string): string {
  return /([A-Za-z0-9_-]+)\.node\b/.exec(message)?.[1] ?? 'unknown';
}
