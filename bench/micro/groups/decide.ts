/** A verdict, as rules grow. Heads are made before: a request brings its own. */
import { plainHead, type RequestHead } from '../../../src/model/request_head.ts';
import type { View } from '../../../src/policy/compiled/port_rules.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import {
  compiled,
  httpRule,
  matcher,
  policyOf,
  type RuleKind,
  rulesOf,
  viewOf,
} from '../policies.ts';
import type { Work, Works } from '../work.ts';

const KINDS: readonly RuleKind[] = ['literal path', 'path pattern', 'open pattern', 'host'];
const COUNTS = [10, 1_000, 10_000] as const;
/** The rule that the request is for; null: one that there is not. */
const HITS = { 'first matches': 0, 'last matches': -1, 'none matches': null } as const;

export function works(): Works {
  const all: Record<string, Work> = { ...headerWorks() };
  const one = viewOf(compiled([policyOf(rulesOf('path pattern', 1))]));
  all['one path pattern'] = deciding(one, headFor('path pattern', '0'), 'allow');
  for (const kind of KINDS) {
    for (const count of COUNTS) {
      const view = viewOf(compiled([policyOf(rulesOf(kind, count))]));
      for (const [hit, place] of Object.entries(HITS)) {
        const number = place === null ? 'x' : place < 0 ? count + place : place;
        const head = headFor(kind, `${number}`);
        const verdict = place === null ? 'deny' : 'allow';
        all[`${kind}, ${count} rules, ${hit}`] = deciding(view, head, verdict);
      }
    }
  }
  return all;
}

function headerWorks(): Works {
  const rules = [
    httpRule(0, [matcher(':path', '/items'), matcher('x-tenant', 'blue|green')]),
    httpRule(1, [matcher(':path', '/items'), matcher('x-tenant', 'red')]),
  ];
  const view = viewOf(compiled([policyOf(rules)]));
  const fields = ['accept', '*/*', 'user-agent', 'bench/1.0', 'accept-encoding', 'gzip'];
  const head = (tenant: string): RequestHead =>
    plainHead({
      method: 'GET',
      path: '/items',
      authority: 'api.test',
      fields: [...fields, 'x-request-id', '6f1c9a6e', 'x-tenant', tenant],
    });
  return {
    'a field, 2 rules, last matches': deciding(view, head('red'), 'allow'),
    'a field, 2 rules, none matches': deciding(view, head('grey'), 'deny'),
  };
}

function deciding(view: View, head: RequestHead, expected: string): Work {
  return () => {
    const { verdict } = decideRequest(view, '', head);
    if (verdict !== expected) throw new Error(`${head.path} of ${head.authority}: ${verdict}`);
    return verdict.length;
  };
}

function headFor(kind: RuleKind, number: string): RequestHead {
  const paths: Record<RuleKind, string> = {
    'literal path': `/service/${number}/items`,
    'path pattern': `/service/${number}/items/42`,
    'open pattern': `/service/${number}/items/42`,
    host: '/items',
  };
  const authority = `service-${number}.test`;
  return plainHead({ method: 'GET', path: paths[kind], authority });
}
