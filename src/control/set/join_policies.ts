/** Policies that came in wire form beside those that were resolved from rules. */
import type { EndpointPolicy } from '../../policy/ast.ts';

export type JoinResult =
  | { readonly kind: 'ok'; readonly policies: readonly EndpointPolicy[] }
  | { readonly kind: 'conflict'; readonly message: string };

/**
 * An endpoint can have a wire policy or be selected by CNPs, not both: whose word counts would
 * depend on the order. One of the inventory that no CNP selects gives way to the wire policy for
 * its address, and lends it its name.
 */
export function joinPolicies(
  resolved: readonly EndpointPolicy[],
  others: {
    readonly wirePolicies: readonly EndpointPolicy[];
    readonly selecting: ReadonlyMap<string, readonly string[]>;
  },
): JoinResult {
  const wireByIp = new Map<string, EndpointPolicy>();
  for (const policy of others.wirePolicies) {
    for (const ip of policy.endpointIps) wireByIp.set(ip, policy);
  }
  const names = new Map<EndpointPolicy, string>();
  const policies: EndpointPolicy[] = [];
  for (const policy of resolved) {
    const wire = policy.endpointIps.map((ip) => wireByIp.get(ip)).find((one) => one !== undefined);
    if (wire === undefined) {
      policies.push(policy);
      continue;
    }
    const [selecting] = others.selecting.get(policy.name) ?? [];
    if (selecting !== undefined) {
      const message = `endpoint ${policy.name} has the wire policy ${wire.name} and is selected by ${selecting}`;
      return { kind: 'conflict', message };
    }
    const endpointIps = policy.endpointIps.filter((ip) => !wireByIp.has(ip));
    if (endpointIps.length > 0) policies.push({ ...policy, endpointIps });
    else names.set(wire, policy.name);
  }
  for (const wire of others.wirePolicies) {
    policies.push({ ...wire, name: names.get(wire) ?? wire.name });
  }
  return { kind: 'ok', policies };
}
