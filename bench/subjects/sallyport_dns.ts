/** Sallyport as a DNS proxy: its configuration, and who is who. */
import { HERE } from './start.ts';
import type { Order } from './subject.ts';

export const DNS_ENDPOINTS = `endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: default/dns, ip: 127.0.20.1, labels: { app: dns } }
`;

export const DNS_PORT = 53;

export function sallyportDnsConfig({ originUrl, hasAccessLog }: Order): string {
  return `admin: unix:${HERE}/admin.sock
workers: 1
accessLog: { to: ${hasAccessLog ? `${HERE}/access.log` : 'none'} }
policies: [${HERE}/policy.yaml]
endpoints: ${HERE}/endpoints.yaml
limits: { denialLinesPerSecond: 0 }
listeners:
  - name: dns
    protocol: dns
    address: 127.0.0.1:0
    direction: egress
    destination: 127.0.20.1:${DNS_PORT}
    upstream: ${new URL(originUrl).host}
    identity: [endpoints]
`;
}
