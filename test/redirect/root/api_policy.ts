/** Of pods in the namespace "shop": the API on port 8080, of which the web may get one path. */
export const WEB_MAY_GET_OK = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app: 'web' } }],
        toPorts: [
          {
            ports: [{ port: '8080', protocol: 'TCP' }],
            rules: { http: [{ method: 'GET', path: '/ok' }] },
          },
        ],
      },
    ],
  },
});
