/** What the tools hand the engine: RE2, the default limits, and the proxy's path normalisation. */
import { normalisePath } from '../../codec/path.ts';
import type { JudgeOptions } from '../../control/ask/judge.ts';
import { DEFAULT_LIMITS, type Limits } from '../../model/limits.ts';
import { createRe2Engine } from '../../regex/re2_engine.ts';

/** `isPathNormalised`: see `pathNormalisation` of the configuration. */
export function judgeOptions(
  limits: Limits = DEFAULT_LIMITS,
  isPathNormalised = true,
): JudgeOptions {
  return {
    limits,
    regexEngine: createRe2Engine(limits),
    normalisePath: isPathNormalised ? normalisedPath : (path) => path,
  };
}

/** The path as the proxy would match and send it; of a redirect, where the client is sent to. */
function normalisedPath(path: string): string {
  const result = normalisePath(Buffer.from(path, 'latin1'));
  switch (result.kind) {
    case 'changed':
      return result.path.toString('latin1');
    case 'redirect':
      return result.path;
    default:
      return path;
  }
}
