/** A question in which people's names of pods stand → one with the names of pods. */
import type { PodNames } from './pod_names.ts';
import type { Question } from './question.ts';

export type NamedQuestion =
  | {
      readonly kind: 'question';
      readonly question: Question;
      /** What was taken for what, one line each. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'error'; readonly message: string };

const PODS_SHOWN_MAX = 3;

export function withPodNames(
  question: Question,
  names: PodNames,
  { isSubjectKept }: { readonly isSubjectKept: boolean } = { isSubjectKept: false },
): NamedQuestion {
  const notes: string[] = [];
  let { subject, remote } = question;
  if (subject.kind === 'name' && !isSubjectKept) {
    const found = names.find(subject.name, 'subject');
    if (found.kind === 'unknown') return { kind: 'error', message: found.message };
    notes.push(...noteOf(subject.name, found.pods));
    subject = { kind: 'name', name: found.name };
  }
  if (remote.kind === 'name') {
    const found = names.find(remote.name, 'remote');
    if (found.kind === 'unknown') return { kind: 'error', message: found.message };
    notes.push(...noteOf(remote.name, found.pods));
    remote = { kind: 'name', name: found.name };
  }
  return { kind: 'question', question: { ...question, subject, remote }, notes };
}

function noteOf(text: string, pods: readonly string[] | null): readonly string[] {
  if (pods === null) return [];
  const [first] = pods;
  if (pods.length === 1) return [`${text} is the pod ${first}`];
  const more = pods.length - PODS_SHOWN_MAX;
  const shown = pods.slice(0, PODS_SHOWN_MAX).join(', ');
  return [
    `${text} is ${pods.length} pods, which are alike to policy: ${shown}${more > 0 ? ` and ${more} more` : ''}`,
  ];
}
