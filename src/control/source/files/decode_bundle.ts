/** The texts of files → one input. All or nothing: one problem in one of them rejects the whole. */
import { compareText } from '../../../policy/labels.ts';
import { EMPTY_INVENTORY } from '../../../policy/resolve/inventory.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import { formatPlace, WHOLE_SET } from '../../decode/place.ts';
import type { OtherObject, PolicyDocument } from '../../decode/policy_document.ts';
import { type Problem, type Rejected, rejected } from '../../decode/problem.ts';
import type { PolicyInput } from '../../set/policy_input.ts';
import { DecodedFiles } from './decoded_files.ts';
import type { SourceBundle } from './source_bundle.ts';

export type DecodedBundle = { readonly kind: 'ok'; readonly input: PolicyInput } | Rejected;

/** `files`: kept by a caller that decodes often. */
export function decodeBundle(
  bundle: SourceBundle,
  options: DecodeOptions,
  files: DecodedFiles = new DecodedFiles(),
): DecodedBundle {
  const hasNodeLabels = bundle.hasNodeLabels === true;
  const { policies, endpoints, secrets } = files.decode(bundle, { ...options, hasNodeLabels });
  const documents = policies.flatMap((file) => file.documents);
  const problems = [
    ...policies.flatMap((file) => file.problems),
    ...duplicates(documents),
    ...(endpoints?.kind === 'rejected' ? endpoints.problems : []),
    ...(secrets?.kind === 'rejected' ? secrets.problems : []),
  ];
  if (problems.length > 0) return rejected(problems);
  const others = policies.flatMap((file) => file.others);
  const input = {
    documents,
    inventory: endpoints?.kind === 'ok' ? endpoints.inventory : EMPTY_INVENTORY,
    secrets: secrets?.kind === 'ok' ? secrets.secrets : NO_SECRETS,
    hasNodeLabels,
    warnings: [...policies.flatMap((file) => file.warnings), ...passedOver(others)],
    refused: [],
    parts: [...policies, endpoints ?? ABSENT, secrets ?? ABSENT],
  };
  return { kind: 'ok', input };
}

/** A fault of ours in one set must not take down a proxy that has a good one. */
export function safelyDecoded(
  bundle: SourceBundle,
  options: DecodeOptions,
  files?: DecodedFiles,
): DecodedBundle {
  try {
    return decodeBundle(bundle, options, files);
  } catch (error) {
    const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
    return rejected([{ place: WHOLE_SET, field: '', message }]);
  }
}

const NO_SECRETS: ReadonlyMap<string, string> = new Map();
const ABSENT: object = Object.freeze({});

/** One word for all of them: folders hold the rest of what is deployed, too. */
function passedOver(others: readonly OtherObject[]): Problem[] {
  const [first] = others;
  if (first === undefined) return [];
  const counts = new Map<string, number>();
  for (const { kind } of others) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || compareText(a[0], b[0]));
  const shown = sorted.slice(0, KINDS_SHOWN_MAX).map(([kind, count]) => `${kind} (${count})`);
  const rest =
    sorted.length > KINDS_SHOWN_MAX ? ` and ${sorted.length - KINDS_SHOWN_MAX} more kinds` : '';
  const are = others.length === 1 ? 'object of another kind is' : 'objects of other kinds are';
  const message = `${others.length} ${are} no policy and passed over: ${shown.join(', ')}${rest}`;
  return [{ place: first.place, field: '', message, id: 'not-a-policy' }];
}

const KINDS_SHOWN_MAX = 8;

/** Two objects of one kind and name: which of them counts would depend on the order of files. */
function duplicates(names: readonly PolicyDocument[]): Problem[] {
  const first = new Map<string, PolicyDocument>();
  const problems: Problem[] = [];
  for (const named of names) {
    const key = `${named.kind} ${named.name}`;
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, named);
      continue;
    }
    const message = `${key} is also at ${formatPlace(other.place)}`;
    problems.push({ place: named.place, field: '', message });
  }
  return problems;
}
