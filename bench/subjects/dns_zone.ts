/** What the suite of DNS asks: a thousand names of one zone, each with an address. The policy allows the zone and nothing else. */

export const DNS_ZONE = 'bench.example';
export const DENIED_ZONE = 'denied.example';

const NAME_COUNT = 1000;

export function namesIn(zone: string): readonly string[] {
  return Array.from({ length: NAME_COUNT }, (_, i) => `host-${i}.${zone}`);
}

/** Within a loopback that nobody connects to. */
export function addressOf(index: number): string {
  return `192.0.2.${1 + (index % 250)}`;
}

/** Whom the clients ask, as Sallyport's policy and the agent's know it. */
export function dnsPolicyText(port: number): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: bench, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: dns } }]
      toPorts:
        - ports: [{ port: "${port}", protocol: ANY }]
          rules:
            dns: [{ matchPattern: "*.${DNS_ZONE}" }]
`;
}
