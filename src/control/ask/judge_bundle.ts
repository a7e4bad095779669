/** A judge of what files say, for tools that read a set once. */
import { decodeBundle } from '../source/files/decode_bundle.ts';
import type { SourceBundle } from '../source/files/source_bundle.ts';
import { createJudge, type JudgeOptions, type JudgeResult } from './judge.ts';

export function judgeBundle(bundle: SourceBundle, options: JudgeOptions): JudgeResult {
  const decoded = decodeBundle(bundle, options);
  return decoded.kind === 'rejected' ? decoded : createJudge(decoded.input, options);
}
