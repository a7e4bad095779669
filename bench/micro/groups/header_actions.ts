/** Header actions of a rule: decided, applied, and the head written with them. */
import { HEAD } from '../../../src/codec/http1/events.ts';
import type { Http1RequestHead } from '../../../src/codec/http1/request_head.ts';
import { RequestParser } from '../../../src/codec/http1/request_parser.ts';
import { serialiseRequestHead } from '../../../src/codec/http1/serialise.ts';
import type { HeaderMatch, MismatchAction } from '../../../src/policy/ast.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { PARSER_OPTIONS, requestBytes } from '../heads.ts';
import { compiled, httpRule, matcher, policyOf, viewOf } from '../policies.ts';
import type { Work, Works } from '../work.ts';

export function works(): Works {
  return {
    'none: written again': acting([]),
    ADD: acting([action('x-tenant', 'add')]),
    REPLACE: acting([action('x-forwarded-proto', 'replace')]),
    DELETE: acting([action('cookie', 'delete')]),
    'ADD, REPLACE and DELETE': acting([
      action('x-tenant', 'add'),
      action('x-forwarded-proto', 'replace'),
      action('cookie', 'delete'),
    ]),
  };
}

function acting(headerMatches: readonly HeaderMatch[]): Work {
  const path = '/api/items';
  const rules = [httpRule(0, [matcher(':path', path)], headerMatches)];
  const view = viewOf(compiled([policyOf(rules)]));
  const head = headOf(requestBytes(20, path));
  return () => {
    const decision = decideRequest(view, '', head);
    if (decision.verdict !== 'allow' || decision.mutations.length !== headerMatches.length) {
      throw new Error(`${decision.verdict} with ${decision.mutations.length} changes`);
    }
    return serialiseRequestHead(head, decision.mutations).length;
  };
}

function action(name: string, mismatchAction: MismatchAction): HeaderMatch {
  return { name, value: 'blue', secret: null, matchAction: 'continue', mismatchAction };
}

function headOf(bytes: Buffer): Http1RequestHead {
  const parser = new RequestParser(PARSER_OPTIONS);
  if (parser.next(bytes, 0) !== HEAD) throw new Error(parser.fault);
  return parser.head;
}
