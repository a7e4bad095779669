/** Changes of many subjects as few: the same change for the same remotes on the same ports is told once. */
import type { Direction, Identity } from '../../model/identity.ts';
import { compareText } from '../../policy/labels.ts';
import type { ChangedSubject } from './changed_subjects.ts';
import type { DirectionChange, OutcomeChange, PortArea } from './direction_changes.ts';
import type { OutcomeKind } from './outcome.ts';
import type { RemoteClasses } from './remote_classes.ts';

/** One thing that is different, for all those endpoints and remotes for whom it is. */
export interface VerdictChange extends OutcomeChange {
  readonly direction: Direction;
  /** By protocol, and within one ascending. */
  readonly areas: readonly PortArea[];
  readonly subjects: readonly ChangedSubject[];
  /** Ascending. */
  readonly remotes: readonly Identity[];
  /** For whom it is not so. */
  readonly otherRemotes: readonly Identity[];
}

interface Grouped extends DirectionChange {
  readonly direction: Direction;
  readonly subjects: ChangedSubject[];
}

export class GroupedChanges {
  readonly #classes: RemoteClasses;
  readonly #byKey = new Map<string, Grouped>();

  constructor(classes: RemoteClasses) {
    this.#classes = classes;
  }

  add(change: DirectionChange, direction: Direction, subject: ChangedSubject): void {
    const { before, after, areas, groups, exceptions } = change;
    const key = JSON.stringify([direction, before.key, after.key, areas, groups, exceptions]);
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, { ...change, direction, subjects: [subject] });
    else known.subjects.push(subject);
  }

  /** What closes most comes first, then what opens most; the same for equal inputs. */
  changes(): readonly VerdictChange[] {
    const all = [...this.#byKey.values()].map(({ groups, exceptions, ...change }) => {
      const others = new Set(exceptions);
      const isMember = (index: number): boolean =>
        groups.includes(this.#classes.groupOf[index] as number) !== others.has(index);
      return {
        ...change,
        remotes: this.#identities(isMember),
        otherRemotes: this.#identities((index) => !isMember(index)),
      };
    });
    return all.sort(compareChanges);
  }

  #identities(isMember: (index: number) => boolean): readonly Identity[] {
    return this.#classes.all
      .flatMap(({ identities }, index) => (isMember(index) ? identities : []))
      .sort((a, b) => a - b);
  }
}

function compareChanges(a: VerdictChange, b: VerdictChange): number {
  return (
    rankOf(a) - rankOf(b) ||
    endpointCount(b) - endpointCount(a) ||
    b.remotes.length - a.remotes.length ||
    compareText(nameOf(a), nameOf(b)) ||
    compareText(JSON.stringify(a.areas), JSON.stringify(b.areas))
  );
}

const KINDS: readonly OutcomeKind[] = ['deny', 'rules', 'allow'];

/** What may do less comes before what may do more, and by how much. */
function rankOf({ before, after }: OutcomeChange): number {
  return KINDS.indexOf(after.kind) - KINDS.indexOf(before.kind) + (closes(before, after) ? 0 : 10);
}

function closes(before: OutcomeChange['before'], after: OutcomeChange['after']): boolean {
  return KINDS.indexOf(after.kind) < KINDS.indexOf(before.kind);
}

function endpointCount({ subjects }: VerdictChange): number {
  return subjects.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
}

function nameOf({ subjects, direction }: VerdictChange): string {
  return `${subjects[0]?.first.name ?? ''} ${direction}`;
}
