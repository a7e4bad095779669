/**
 * Two verdicts as one: the egress of the source endpoint and the ingress of the destination endpoint,
 * asked one after the other as two proxies on two nodes would. Pure.
 */
import { applyMutations, type Decision, type HeaderMutation } from '../model/decision.ts';
import { HOP_FIELDS, plainHead, type RequestHead } from '../model/request_head.ts';

/** `judgeSecond` is asked only if the first allows, about the request as the first leaves it. */
export function bothAllow(
  first: Decision,
  head: RequestHead | null,
  judgeSecond: (head: RequestHead | null) => Decision,
): Decision {
  if (first.verdict === 'deny') return { ...first, half: 'egress' };
  const second = judgeSecond(head === null ? null : headAfter(head, first.mutations));
  const both = {
    mutations: [...first.mutations, ...second.mutations],
    missing: [...first.missing, ...second.missing],
    rejected: [...first.rejected, ...second.rejected],
  };
  if (second.verdict === 'deny') return { ...second, ...both, half: 'ingress' };
  // One of the two has the L7 rules, and it is that one which people look for.
  return second.rule === null && first.rule !== null
    ? { ...first, ...both, half: 'egress', otherRule: null }
    : { ...second, ...both, half: 'ingress', otherRule: first.rule };
}

/** The request as it would have left the first proxy: rules do not change fields of the hop. */
function headAfter(head: RequestHead, mutations: readonly HeaderMutation[]): RequestHead {
  const made = mutations.filter(({ name }) => !HOP_FIELDS.has(name));
  if (made.length === 0) return head;
  const { version, method, scheme, authority, path } = head;
  const fields = applyMutations(head.fields(), made);
  return plainHead({ version, method, scheme, authority, path, fields });
}
