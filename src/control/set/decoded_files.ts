/**
 * What the policy files of the last set said: of a thousand files mostly one changes, and decoding is most of
 * the work on a new set. What a file says depends on its own text only.
 */
import type { DecodeOptions } from '../decode/context.ts';
import { type DecodedPolicies, decodePolicyFile } from '../decode/policy_documents.ts';

interface Source {
  readonly path: string;
  readonly text: string;
}

interface DecodedFile {
  readonly text: string;
  readonly decoded: DecodedPolicies;
}

export class DecodedFiles {
  #byPath: ReadonlyMap<string, DecodedFile> = new Map();

  /** In the order of `sources`; `options` are the same each time. Files that are not among them are forgotten. */
  decode(sources: readonly Source[], options: DecodeOptions): readonly DecodedPolicies[] {
    const byPath = new Map<string, DecodedFile>();
    const all = sources.map((source) => {
      const { path, text } = source;
      const known = this.#byPath.get(path);
      const decoded = known?.text === text ? known.decoded : decodePolicyFile(source, options);
      byPath.set(path, { text, decoded });
      return decoded;
    });
    this.#byPath = byPath;
    return all;
  }
}
