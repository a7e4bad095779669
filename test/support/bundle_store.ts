/** A policy store that takes texts, as a source of files gives it what they say. */
import type { Rejected } from '../../src/control/decode/problem.ts';
import {
  PolicyChecker,
  type PolicyCheckerOptions,
  type UpdateResult,
} from '../../src/control/set/policy_checker.ts';
import { decodeBundle } from '../../src/control/source/files/decode_bundle.ts';
import { DecodedFiles } from '../../src/control/source/files/decoded_files.ts';
import type { SourceBundle } from '../../src/control/source/files/source_bundle.ts';

export class BundleStore extends PolicyChecker {
  readonly #options: PolicyCheckerOptions;
  readonly #files = new DecodedFiles();

  constructor(options: PolicyCheckerOptions) {
    super(options);
    this.#options = options;
  }

  updateBundle(bundle: SourceBundle, revision?: number): UpdateResult | Rejected {
    const decoded = decodeBundle(bundle, this.#options, this.#files);
    if (decoded.kind === 'rejected') return decoded;
    return this.update(decoded.input, revision);
  }
}
