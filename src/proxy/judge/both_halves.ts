/**
 * hot path
 *
 * Two verdicts as one: the egress of the source endpoint and the ingress of the destination endpoint,
 * asked one after the other as two proxies on two nodes would.
 */
import {
  applyMutations,
  type Decision,
  type HeaderMutation,
  type RuleRef,
} from '../../model/decision.ts';
import { HOP_FIELDS, plainHead, type RequestHead } from '../../model/request_head.ts';
import { DEFAULT_ALLOW_RULE } from '../../policy/ast.ts';
import { DENY_INTERNAL } from '../../policy/decide/decide.ts';

/** Of one connection: decisions without edits are the compiler's, so the same two come again and again. */
export class BothHalves {
  #egress: Decision | null = null;
  #ingress: Decision | null = null;
  #both: Decision | null = null;

  /** `ingress` null: it was not asked, as the egress had denied. */
  of(egress: Decision, ingress: Decision | null): Decision {
    if (this.#both !== null && egress === this.#egress && ingress === this.#ingress) {
      return this.#both;
    }
    this.#egress = egress;
    this.#ingress = ingress;
    this.#both = combined(egress, ingress);
    return this.#both;
  }
}

function combined(egress: Decision, ingress: Decision | null): Decision {
  if (egress.verdict === 'deny') return { ...egress, half: 'egress' };
  if (ingress === null) return { ...DENY_INTERNAL, cause: new Error(HALF_ALONE) };
  const edits = {
    mutations: [...egress.mutations, ...ingress.mutations],
    missing: [...egress.missing, ...ingress.missing],
    rejected: [...egress.rejected, ...ingress.rejected],
  };
  if (ingress.verdict === 'deny') return { ...ingress, ...edits, half: 'ingress' };
  const judgedFields = [...egress.judgedFields, ...ingress.judgedFields];
  // People look for the rule that somebody wrote; of two such the last one had the last word.
  const ofEgress = writtenRule(egress);
  const ofIngress = writtenRule(ingress);
  return ofIngress === null && ofEgress !== null
    ? { ...egress, ...edits, judgedFields, half: 'egress', otherRule: null }
    : { ...ingress, ...edits, judgedFields, half: 'ingress', otherRule: ofEgress };
}

const HALF_ALONE = 'an allow of one half alone is none';

function writtenRule({ rule }: Decision): RuleRef | null {
  return rule === null || rule.rule === DEFAULT_ALLOW_RULE ? null : rule;
}

/** The request as it would have left the first proxy: rules do not change fields of the hop. */
export function headAfter(head: RequestHead, mutations: readonly HeaderMutation[]): RequestHead {
  if (mutations.length === 0) return head;
  const made = mutations.filter(({ name }) => !HOP_FIELDS.has(name));
  if (made.length === 0) return head;
  const { version, method, scheme, authority, path, isGrpc } = head;
  const fields = applyMutations(head.fields(), made);
  return plainHead({ version, method, scheme, authority, path, isGrpc, fields });
}
