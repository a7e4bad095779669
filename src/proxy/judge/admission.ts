/**
 * hot path
 *
 * Decides what goes on: an allow, and in dry-run also a denial. The only maker of permits. Each connection has one
 * admission; it makes a permit once for each policy that the connection meets, not for each request.
 */
import {
  type Decision,
  type DenyDecision,
  type HeaderMutation,
  NO_FIELDS,
  NO_MUTATIONS,
} from '../../model/decision.ts';
import type { Permit, PermitFacts } from '../../model/permit.ts';
import type { PolicySubject } from './policy_subject.ts';

export class Admission {
  readonly #subject: PolicySubject;
  /** `--dry-run`: a denied request goes on, and its record says that it was denied. */
  readonly isDryRun: boolean;
  #allowed: Permit | null = null;
  #spared: Permit | null = null;

  constructor(subject: PolicySubject, isDryRun: boolean) {
    this.#subject = subject;
    this.isDryRun = isDryRun;
  }

  /** The denial that is enforced; null: the request goes on. */
  denialOf(decision: Decision): DenyDecision | null {
    return decision.verdict === 'deny' && !this.isDryRun ? decision : null;
  }

  /** The permit for `decision`, the subject's last one; null: the request is refused. */
  permitFor(decision: Decision): Permit | null {
    if (this.denialOf(decision) !== null) return null;
    if (decision.verdict === 'allow') {
      if (this.#allowed === null || this.#isOld(this.#allowed)) this.#allowed = this.#make(false);
      return this.#allowed;
    }
    if (this.#spared === null || this.#isOld(this.#spared)) this.#spared = this.#make(true);
    return this.#spared;
  }

  #isOld(permit: Permit): boolean {
    return permit.judgedBy !== this.#subject.snapshot;
  }

  #make(isDryRun: boolean): Permit {
    const { meta, snapshot, revision } = this.#subject;
    const facts: PermitFacts = {
      connectionId: meta.connectionId,
      remoteIdentity: meta.remoteIdentity,
      secondIdentity: meta.second === null ? null : meta.second.remoteIdentity,
      upstream: meta.upstream,
      revision,
      judgedBy: snapshot,
      isDryRun,
    };
    return facts as Permit;
  }
}

/** What rules change in the head that goes on. One that dry-run lets through goes as it came. */
export function admittedMutations(decision: Decision): readonly HeaderMutation[] {
  return decision.verdict === 'allow' ? decision.mutations : NO_MUTATIONS;
}

/** Fields that were judged in the head: they go on in no trailer. */
export function admittedFields(decision: Decision): readonly string[] {
  return decision.verdict === 'allow' ? decision.judgedFields : NO_FIELDS;
}
