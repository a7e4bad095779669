/**
 * What the files of the last set said: of a thousand files mostly one changes, and decoding is most of the work on a
 * new set. What a file says depends on its own text only.
 */
import type { DecodeOptions } from '../../decode/context.ts';
import { decodeEndpoints, type EndpointsResult } from '../../decode/endpoints/endpoints.ts';
import type { DecodedPolicies } from '../../decode/policy_document.ts';
import { decodePolicyFile } from '../../decode/policy_file.ts';
import { decodeSecrets, type SecretsResult } from '../../decode/secrets.ts';
import type { SourceBundle, SourceText } from './source_bundle.ts';

export interface DecodedTexts {
  /** In the order of the bundle. */
  readonly policies: readonly DecodedPolicies[];
  readonly endpoints: EndpointsResult | null;
  readonly secrets: SecretsResult | null;
}

export class DecodedFiles {
  readonly #policies = new Remembered<DecodedPolicies>();
  readonly #endpoints = new Remembered<EndpointsResult>();
  readonly #secrets = new Remembered<SecretsResult>();

  /** `options` are the same each time. Files that are not in the bundle are forgotten. */
  decode({ policies, endpoints, secrets }: SourceBundle, options: DecodeOptions): DecodedTexts {
    const { limits } = options;
    const ofEndpoints = (text: SourceText): EndpointsResult => decodeEndpoints(text, limits);
    const ofSecrets = (text: SourceText): SecretsResult => decodeSecrets(text, limits);
    return {
      policies: this.#policies.decode(policies, (text) => decodePolicyFile(text, options)),
      endpoints: this.#endpoints.decode(listOf(endpoints), ofEndpoints)[0] ?? null,
      secrets: this.#secrets.decode(listOf(secrets), ofSecrets)[0] ?? null,
    };
  }
}

class Remembered<Decoded> {
  #byPath: ReadonlyMap<string, { readonly text: string; readonly decoded: Decoded }> = new Map();

  decode(
    sources: readonly SourceText[],
    decodeOne: (source: SourceText) => Decoded,
  ): readonly Decoded[] {
    const byPath = new Map<string, { readonly text: string; readonly decoded: Decoded }>();
    const all = sources.map((source) => {
      const { path, text } = source;
      const before = this.#byPath.get(path);
      const decoded = before?.text === text ? before.decoded : decodeOne(source);
      byPath.set(path, { text, decoded });
      return decoded;
    });
    this.#byPath = byPath;
    return all;
  }
}

function listOf(source: SourceText | null): readonly SourceText[] {
  return source === null ? [] : [source];
}
