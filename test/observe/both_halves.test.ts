/** What is counted where both sides' policies were asked. */
import { expect, it } from 'vitest';
import type { RuleRef } from '../../src/model/decision.ts';
import type { MetricName } from '../../src/observe/metrics/table.ts';
import { RecordCounters } from './observing.ts';
import { allow, denied, deny, GET_ORDERS, POLICY, RULES, record } from './records.ts';

it('a decision counts for the side whose word it was, an allow for the rules of both', () => {
  const counters = new RecordCounters({ listeners: ['api'], ruleCountMax: 10 });
  counters.policyChanged(POLICY);
  const counted = (name: MetricName) =>
    (counters.families().find((family) => family.name === name)?.samples ?? []).filter(
      ({ value }) => value > 0,
    );
  const meta = { ...record().meta, direction: 'egress' as const };
  counters.record(denied({ meta, decision: deny({ half: 'ingress' }) }));
  counters.record(denied({ meta, decision: deny({ half: 'egress' }) }));
  const otherRule = RULES[0] as RuleRef;
  counters.record(record({ meta, decision: allow({ half: 'ingress', otherRule }) }));
  const decisions = counted('sallyport_policy_decisions_total');
  expect(decisions.map(({ labels }) => [labels['verdict'], labels['direction']])).toEqual([
    ['allow', 'ingress'],
    ['deny', 'ingress'],
    ['deny', 'egress'],
  ]);
  const hits = counted('sallyport_policy_rule_hits_total');
  expect(hits.map(({ labels }) => labels['rule'])).toEqual([otherRule.rule, GET_ORDERS.rule]);
});
