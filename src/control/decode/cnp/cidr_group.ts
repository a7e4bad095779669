/** CiliumCIDRGroup (v2, v2alpha1): named prefixes for cidrGroupRef and cidrGroupSelector. */
import { canonicalLabel } from '../../../policy/labels.ts';
import type { CidrGroup } from '../../../policy/rule.ts';
import type { DocumentContext } from '../context.ts';
import type { Field } from '../field.ts';
import type { Fields } from '../object_reader.ts';
import { decodePrefix } from './peers.ts';

/** `labels` are the object's own (metadata.labels). */
export function decodeCidrGroup(
  context: DocumentContext,
  document: Fields,
  options: { readonly root: Field; readonly labels: readonly (readonly [string, string])[] },
): CidrGroup | null {
  const { reader } = context;
  const spec = document.get('spec');
  if (spec === undefined) return reader.fail(options.root, 'spec is required');
  const list = reader.object(spec, ['externalCIDRs']).get('externalCIDRs');
  if (list === undefined) return reader.fail(spec, 'externalCIDRs is required');
  const prefixes = reader
    .list(list)
    .flatMap((item) => decodePrefix(context, item, { allowBare: true }) ?? []);
  const labels = options.labels.flatMap(
    ([key, value]) => canonicalLabel(`cidrgroup:${key}=${value}`) ?? [],
  );
  return { name: context.policy, labels, prefixes };
}
