/** One object of an API → the policy that it is. */
import { nameKeyOf } from '../../kube/seen_object.ts';
import type { DecodeOptions } from './context.ts';
import { DocumentsDecoder } from './documents_decoder.ts';
import { type SecretName, secretsNamedBy } from './kube/secret.ts';
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
  const foreign = foreignSecret(document, ref);
  if (foreign !== null) {
    return refused(
      ref,
      `names the secret ${nameKeyOf(foreign)}: a policy of a namespace may name secrets of that namespace alone`,
    );
  }
  return { kind: 'document', document, warnings };
}

/**
 * Null: none. Whoever writes policies of a namespace need not be allowed to read secrets of another one, and a rule that
 * adds a secret to requests would show it to him.
 */
function foreignSecret(document: PolicyDocument, { namespace }: ObjectRef): SecretName | null {
  if (namespace === null) return null;
  return secretsNamedBy([document]).find((secret) => secret.namespace !== namespace) ?? null;
}

function refused(ref: ObjectRef, message: string): DecodedObject {
  const place = { kind: 'object', ...ref, field: '' } as const;
  return { kind: 'refused', problems: [{ place, field: '', message }] };
}
