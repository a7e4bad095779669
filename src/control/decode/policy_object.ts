/** One object of an API → the policy that it is. */
import type { DecodeOptions } from './context.ts';
import { DocumentsDecoder } from './documents_decoder.ts';
import type { ObjectPlace } from './place.ts';
import { readPlain } from './plain_fields.ts';
import type { PolicyDocument } from './policy_document.ts';
import type { Problem } from './problem.ts';

/** As the API names it, whatever the object says of itself. */
export type ObjectRef = Omit<ObjectPlace, 'kind' | 'field'>;

export type DecodedObject =
  | {
      readonly kind: 'document';
      readonly document: PolicyDocument;
      readonly warnings: readonly Problem[];
    }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

/** `object`: as `JSON.parse` gives it. */
export function decodePolicyObject(
  object: unknown,
  ref: ObjectRef,
  options: DecodeOptions,
): DecodedObject {
  const decoder = new DocumentsDecoder({ ...options, isKustomization: false });
  decoder.add(readPlain(object, (field) => ({ kind: 'object', ...ref, field })));
  const { documents, problems, warnings } = decoder;
  if (problems.length > 0) return { kind: 'refused', problems };
  const [document] = documents;
  if (document === undefined || documents.length > 1) {
    return refused(ref, `is no single policy (found ${documents.length})`);
  }
  const wanted = ref.namespace === null ? ref.name : `${ref.namespace}/${ref.name}`;
  if (document.kind !== ref.apiKind || document.name !== wanted) {
    return refused(ref, `says that it is ${document.kind} ${document.name}`);
  }
  return { kind: 'document', document, warnings };
}

function refused(ref: ObjectRef, message: string): DecodedObject {
  const place = { kind: 'object', ...ref, field: '' } as const;
  return { kind: 'refused', problems: [{ place, field: '', message }] };
}
