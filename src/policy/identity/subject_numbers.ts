/**
 * Numbers for subjects: labels and named ports, which are all that a policy hangs on. Sticky, so that the number says
 * the same in every set of one process.
 */
import { labelSetKey } from '../labels.ts';

export interface Subject {
  readonly labels: readonly string[];
  readonly namedPorts: readonly object[];
}

export class SubjectNumbers {
  readonly #numbers = new Map<string, number>();

  of(subject: Subject): number {
    const key = subjectKey(subject);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

/** Endpoints with the same labels and named ports have the same policy, as in Cilium. */
export function subjectKey({ labels, namedPorts }: Subject): string {
  return `${labelSetKey(labels)} ${JSON.stringify(namedPorts)}`;
}
