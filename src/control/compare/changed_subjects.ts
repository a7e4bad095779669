/**
 * Whose policy may be another one in the second of two sets: those whom a policy selects that is not the same in both.
 * For all others every rule is the same, and nobody has to be asked. Endpoints with the same labels and named ports are
 * one subject, as they have the same policy.
 */
import { subjectKey } from '../../policy/identity/subject_numbers.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import { SubjectIndex } from '../../policy/resolve/subject_index.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import { LabelSet } from '../../policy/selector.ts';
import type { PolicySet } from '../set/policy_set.ts';

export interface ChangedSubject {
  /** Stands for all of them. */
  readonly first: InventoryEndpoint;
  readonly endpoints: readonly InventoryEndpoint[];
}

export interface SetPair {
  readonly before: PolicySet;
  readonly after: PolicySet;
  /** See `BuildOptions`. */
  readonly isEmptySetOpen: boolean;
}

/** Both sets have one inventory. */
export function changedSubjects(pair: SetPair): readonly ChangedSubject[] {
  const subjects = new Map<string, InventoryEndpoint[]>();
  for (const endpoint of pair.after.inventory.endpoints) {
    const key = subjectKey(endpoint);
    const known = subjects.get(key);
    if (known === undefined) subjects.set(key, [endpoint]);
    else known.push(endpoint);
  }
  const all = [...subjects.values()].map((endpoints) => ({
    first: endpoints[0] as InventoryEndpoint,
    endpoints,
  }));
  if (isClosedAsEmpty(pair.before, pair) !== isClosedAsEmpty(pair.after, pair)) return all;
  const changed = new SubjectIndex(changedSpecs(pair));
  return all.filter(({ first }) => changed.selecting(new LabelSet(first.labels)).length > 0);
}

/** Then nobody is selected, and what everybody has is another thing than in a set with policies. */
function isClosedAsEmpty(set: PolicySet, { isEmptySetOpen }: SetPair): boolean {
  return set.isEmpty && !isEmptySetOpen;
}

/** Of both sets: what only one of them has, and what is about groups of prefixes that are not the same in both. */
function changedSpecs({ before, after }: SetPair): readonly PolicySpec[] {
  const isGroupChanged = !isSameList(before.cidrGroups, after.cidrGroups);
  const changedOf = (set: PolicySet, other: PolicySet): PolicySpec[] => {
    const others = new Set(other.specs);
    return set.specs.filter(
      (spec) => !spec.isDryRun && (!others.has(spec) || (isGroupChanged && hasGroups(spec))),
    );
  };
  return [...new Set([...changedOf(before, after), ...changedOf(after, before)])];
}

function isSameList(a: readonly CidrGroup[], b: readonly CidrGroup[]): boolean {
  return a.length === b.length && a.every((group, index) => group === b[index]);
}

function hasGroups({ rules }: PolicySpec): boolean {
  return rules.some(({ peers }) =>
    (peers ?? []).some(({ kind }) => kind === 'cidr-group' || kind === 'cidr-group-selector'),
  );
}
