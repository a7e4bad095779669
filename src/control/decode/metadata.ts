/** ObjectMeta of Kubernetes, as far as a policy needs it: whose it is, and what it says to us in annotations. */
import { type Annotations, readAnnotations } from './annotations.ts';
import type { Field } from './field.ts';
import type { Fields, ObjectReader } from './object_reader.ts';

export interface Metadata {
  readonly name: string;
  readonly namespace: string | null;
  readonly labels: readonly (readonly [string, string])[];
  readonly annotations: Annotations;
}

/**
 * All but the first four say nothing here, but a misspelt namespace would put the policy, and what it closes,
 * into another one.
 */
const METADATA_FIELDS = [
  'name',
  'namespace',
  'labels',
  'annotations',
  'generateName',
  'selfLink',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'ownerReferences',
  'finalizers',
  'clusterName',
  'managedFields',
] as const;

export function readMetadata(reader: ObjectReader, root: Field, document: Fields): Metadata {
  const field = document.get('metadata');
  if (field === undefined) reader.fail(root, 'metadata.name is required');
  const all: Fields =
    field === undefined
      ? new Map()
      : reader.object(field, METADATA_FIELDS, { silent: SAYS_NOTHING });
  const nameField = all.get('name');
  if (field !== undefined && (nameField === undefined || nameField.isEmpty)) {
    reader.fail(field, 'name is required');
  }
  const namespaceField = all.get('namespace');
  const hasNamespace = namespaceField?.isEmpty === false && namespaceField.value !== '';
  return {
    name: nameField === undefined || nameField.isEmpty ? '' : objectName(reader, nameField, 253),
    namespace: hasNamespace ? objectName(reader, namespaceField, 63) : null,
    labels: textEntries(reader, all.get('labels')),
    annotations: readAnnotations(reader, all.get('annotations')),
  };
}

/** RFC 1123 names, as Kubernetes has them: they go into logs and metrics as they are. */
function objectName(reader: ObjectReader, field: Field, max: number): string {
  const name = reader.text(field);
  if (name === null) return '';
  if (name.length <= max && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) return name;
  reader.fail(
    field,
    `is no name (found ${field.shown}; allowed: at most ${max} lower-case letters, digits, "-" and ".", with a letter or digit at both ends)`,
  );
  return '';
}

/** Written without a value by tools all the time (`creationTimestamp: null`), and no policy hangs on them. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(
  METADATA_FIELDS.filter((name) => name !== 'name' && name !== 'namespace'),
);

function textEntries(
  reader: ObjectReader,
  field: Field | undefined,
): readonly (readonly [string, string])[] {
  if (field === undefined || field.isEmpty) return [];
  return [...reader.map(field)].flatMap(([name, value]) => {
    const text = value.isEmpty ? '' : reader.text(value);
    return text === null ? [] : [[name, text] as const];
  });
}
