/** Decodes texts for tests: the whole file, what is wrong with it, or the one policy in it. */

import { decodePolicyFile } from '../../../src/control/decode/policy_file.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { EndpointPolicy } from '../../../src/policy/ast.ts';
import type { DirectionRule, PolicySpec } from '../../../src/policy/rule.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { type Decoded, flattened } from './flattened.ts';

const OPTIONS = {
  limits: { ...DEFAULT_LIMITS, yamlAliasCountMax: 10, regexBytesMax: 64 },
  regexEngine: createRe2Engine(DEFAULT_LIMITS),
  hasNodeLabels: true,
};

export function decodeText(text: string): Decoded {
  return flattened(decodePolicyFile({ path: 'policy.yaml', text }, OPTIONS));
}

/** "field: message" of each problem. */
export function problemsOf(text: string): readonly string[] {
  return decodeText(text).problems.map(({ field, message }) => `${field}: ${message}`);
}

/** "field: message" of each warning of a text without problems. */
export function warningsOf(text: string): readonly string[] {
  return valid(text).warnings.map(({ field, message }) => `${field}: ${message}`);
}

export function valid(text: string): Decoded {
  const problems = problemsOf(text);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return decodeText(text);
}

/** A CiliumNetworkPolicy shop/p with this spec. */
export function cnp(spec: string): string {
  return `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: shop }\nspec: ${spec}\n`;
}

/** A CiliumClusterwideNetworkPolicy c with this spec. */
export function ccnp(spec: string): string {
  return `apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: { name: c }\nspec: ${spec}\n`;
}

/** A CiliumNetworkPolicy with one ingress element. */
export function ingress(element: string): string {
  return cnp(`{ endpointSelector: {}, ingress: [${element}] }`);
}

export function egress(element: string): string {
  return cnp(`{ endpointSelector: {}, egress: [${element}] }`);
}

/** A CiliumNetworkPolicy with one HTTP rule on port 80. */
export function http(rule: string): string {
  return ingress(
    `{ toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { http: [${rule}] } }] }`,
  );
}

/** The only spec of a text without problems. */
export function specOf(text: string): PolicySpec {
  const { specs } = valid(text);
  const [spec] = specs;
  if (spec === undefined || specs.length > 1) throw new Error(`has ${specs.length} specs`);
  return spec;
}

/** The only rule of the only spec. */
export function ruleOf(text: string): DirectionRule {
  const { rules } = specOf(text);
  const [rule] = rules;
  if (rule === undefined || rules.length > 1) throw new Error(`has ${rules.length} rules`);
  return rule;
}

/** A ClusterNetworkPolicy t with this spec. */
export function tiers(spec: string): string {
  return `apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: { name: t }\nspec: ${spec}\n`;
}

/** A wire policy of endpoint 42 with these further fields. */
export function wire(fields: string): string {
  return `{ endpoint_ips: ["10.1.2.3"], endpoint_id: 42, ${fields} }`;
}

/** A wire policy with one rule on ingress port 80. */
export function wireRule(rule: string): string {
  return wire(`ingress_per_port_policies: [{ port: 80, rules: [${rule}] }]`);
}

export function wirePolicyOf(text: string): EndpointPolicy {
  const { wirePolicies } = valid(text);
  const [policy] = wirePolicies;
  if (policy === undefined || wirePolicies.length > 1) throw new Error('has no single wire policy');
  return policy;
}
