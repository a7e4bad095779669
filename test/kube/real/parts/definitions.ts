/**
 * Kinds that policy is written in, for scenes that do not care for their schemas: any object of them is taken. Where
 * the schemas count, a scene applies those of `deploy/`.
 */
interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly scope: 'Namespaced' | 'Cluster';
}

const KINDS: readonly Kind[] = [
  {
    kind: 'CiliumNetworkPolicy',
    plural: 'ciliumnetworkpolicies',
    shortName: 'cnp',
    scope: 'Namespaced',
  },
  {
    kind: 'CiliumClusterwideNetworkPolicy',
    plural: 'ciliumclusterwidenetworkpolicies',
    shortName: 'ccnp',
    scope: 'Cluster',
  },
  { kind: 'CiliumCIDRGroup', plural: 'ciliumcidrgroups', shortName: 'ccg', scope: 'Cluster' },
];

/** One text for `ControlPlane.applyDefinitions`. */
export const OPEN_DEFINITIONS = KINDS.map((kind) => JSON.stringify(definitionOf(kind))).join(
  '\n---\n',
);

function definitionOf({ kind, plural, shortName, scope }: Kind): object {
  const any = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const version = {
    name: 'v2',
    served: true,
    storage: true,
    subresources: { status: {} },
    additionalPrinterColumns: [
      { jsonPath: '.metadata.creationTimestamp', name: 'Age', type: 'date' },
      { jsonPath: ".status.conditions[?(@.type=='Valid')].status", name: 'Valid', type: 'string' },
    ],
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: {
          spec: any,
          specs: { type: 'array', items: any },
          status: {
            type: 'object',
            properties: {
              conditions: {
                type: 'array',
                items: {
                  type: 'object',
                  required: ['type', 'status'],
                  properties: {
                    type: { type: 'string' },
                    status: { type: 'string' },
                    reason: { type: 'string' },
                    message: { type: 'string' },
                    lastTransitionTime: { type: 'string', format: 'date-time' },
                    observedGeneration: { type: 'integer', format: 'int64' },
                  },
                },
                'x-kubernetes-list-type': 'map',
                'x-kubernetes-list-map-keys': ['type'],
              },
            },
          },
        },
      },
    },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.cilium.io` },
    spec: {
      group: 'cilium.io',
      scope,
      names: { kind, plural, singular: kind.toLowerCase(), shortNames: [shortName] },
      versions: [version],
    },
  };
}
