/**
 * What the decoder refuses, said in keywords that a structural schema may have: conditions between fields. Bounds and
 * budgets of CEL leave no room for rules in lists within lists, and these cost nothing.
 */

import type { OpenApi } from './crd_schema.ts';
import { icmpTypeNames } from './icmp.ts';

/** Of these lists one at most may have items. */
export function atMostOneFilled(names: readonly string[]): OpenApi {
  const pairs = names.flatMap((a, index) => names.slice(index + 1).map((b) => filled(a, b)));
  return not({ anyOf: pairs });
}

export function notTogether(a: OpenApi, b: OpenApi): OpenApi {
  return not({ allOf: [a, b] });
}

export function filled(...names: readonly string[]): OpenApi {
  return {
    required: names,
    properties: Object.fromEntries(names.map((name) => [name, { minItems: 1 }])),
  };
}

export function not(fragment: OpenApi): OpenApi {
  return { not: fragment };
}

export function given(...names: readonly string[]): OpenApi {
  return { required: names };
}

/** Where `a` holds, `b` does. */
export function implies(a: OpenApi, b: OpenApi): OpenApi {
  return { anyOf: [not(a), b] };
}

export function exactlyOne(...names: readonly string[]): OpenApi {
  return { oneOf: names.map((name) => given(name)) };
}

export const LABEL_VALUE = {
  maxLength: 63,
  pattern: '^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$',
} as const satisfies OpenApi;

/** An optional source, an optional DNS name, and a name (`isKeyValid`). */
export const LABEL_KEY = {
  maxLength: 400,
  pattern:
    '^([A-Za-z0-9][-A-Za-z0-9_.]*:)?([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$',
} as const satisfies OpenApi;

/** In and NotIn need values, the others take none. */
export const EXPRESSION_VALUES: OpenApi = {
  oneOf: [
    {
      ...filled('values'),
      properties: { operator: enumOf('In', 'NotIn'), values: { minItems: 1 } },
    },
    { properties: { operator: enumOf('Exists', 'DoesNotExist'), values: { maxItems: 0 } } },
  ],
};

const ZERO = '^0[0_]*$';
const NUMBER =
  '0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|0_?[0-7]+(_[0-7]+)*';
/** A letter, at most 15 characters (RFC 6335 5.1); RE2 looks at no two things at once, so there are two patterns. */
const NAME = '[A-Za-z0-9](-?[A-Za-z0-9])*';

/** "0" to "65535" or the name of a port; as in Go, digits may have "_" between them after a 0. */
export const PORT: readonly OpenApi[] = [
  {
    anyOf: [
      { pattern: `^(${NUMBER})$`, maxLength: 64 },
      { pattern: `^${NAME}$`, maxLength: 15, allOf: [{ pattern: '[A-Za-z]' }] },
      { pattern: '^0[xXbBoO]_?[0-9a-fA-F_]+$', maxLength: 64 },
      { enum: [''] },
    ],
  },
];

const WITHOUT_PORTS = enumOf('VRRP', 'IGMP');

/** One element of `ports`: what may stand beside its port. */
export const PORT_PARTS: readonly OpenApi[] = [
  {
    anyOf: [
      { required: ['port'], properties: { port: { minLength: 1 } } },
      { required: ['protocol'], properties: { protocol: WITHOUT_PORTS } },
    ],
  },
  implies(
    { required: ['protocol', 'port'], properties: { protocol: WITHOUT_PORTS } },
    { properties: { port: enumOf('', '0') } },
  ),
  // A range from 0, and one of a name.
  not({
    required: ['port', 'endPort'],
    properties: {
      endPort: { minimum: 1 },
      port: {
        anyOf: [
          { pattern: ZERO },
          { pattern: `^${NAME}$`, maxLength: 15, allOf: [{ pattern: '[A-Za-z]' }] },
        ],
      },
    },
  }),
];

const hasHttp = ruled('http');
const hasDns = ruled('dns');
const hasL7: OpenApi = { anyOf: [hasHttp, hasDns] };

function ruled(protocol: string): OpenApi {
  return { required: ['rules'], properties: { rules: filled(protocol) } };
}

/** One element of `toPorts`: what L7 rules need and exclude. */
export function l7Parts(direction: 'ingress' | 'egress'): readonly OpenApi[] {
  return [
    implies(hasHttp, { properties: { ports: { items: onTcp } } }),
    direction === 'ingress'
      ? not(hasDns)
      : implies(hasDns, {
          ...filled('ports'),
          properties: { ports: { minItems: 1, items: onDns } },
        }),
    notTogether(hasL7, given('listener')),
    implies({ allOf: [hasL7, filled('serverNames')] }, given('terminatingTLS')),
    ...(direction === 'ingress' ? [not(given('listener'))] : []),
  ];
}

const notAll: OpenApi = { not: { pattern: ZERO } };
const onTcp: OpenApi = {
  required: ['protocol'],
  properties: { protocol: enumOf('TCP'), port: notAll },
};
const onDns: OpenApi = { properties: { protocol: enumOf('TCP', 'UDP', 'ANY'), port: notAll } };

/** A host policy has DNS rules on egress and no other. */
export const HOST_L7: OpenApi = implies(given('nodeSelector'), {
  properties: {
    ingress: { items: { properties: { toPorts: { items: not(hasL7) } } } },
    egress: { items: { properties: { toPorts: { items: not(hasHttp) } } } },
  },
});

/** With a secret or an action, a match may be run on a field only; one that changes a request, on few of them. */
export const HEADER_MATCH: readonly OpenApi[] = [
  implies(
    { anyOf: [given('secret'), given('mismatch')] },
    { properties: { name: { pattern: '^[^:]', not: { pattern: '^[hH][oO][sS][tT]$' } } } },
  ),
  implies(
    { required: ['mismatch'], properties: { mismatch: enumOf('ADD', 'DELETE', 'REPLACE') } },
    {
      properties: {
        name: {
          pattern: "^[-!#$%&'*+.^_`|~0-9a-zA-Z]+$",
          not: {
            pattern:
              '^(?i:connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$',
          },
        },
        value: { pattern: '^[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$' },
      },
    },
  ),
];

/** No NUL and no line end in the name, which ends at the first blank. */
export const HEADER: OpenApi = {
  pattern: '^([^ \\x00\\r\\n]+|[^ \\x00\\r\\n]*[^ :\\x00\\r\\n][^ \\x00\\r\\n]* (?s:.*))$',
};

/** A number, or a name that the family has; IPv4 is meant where none is given. */
export const ICMP_TYPE: OpenApi = {
  anyOf: [
    {
      required: ['family'],
      properties: { family: enumOf('IPv6'), type: { pattern: icmpPattern('IPv6') } },
    },
    { properties: { family: enumOf('IPv4'), type: { pattern: icmpPattern('IPv4') } } },
  ],
};

function icmpPattern(family: 'IPv4' | 'IPv6'): string {
  const number = '0*(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
  return `^(${number}|${icmpTypeNames(family).join('|')})$`;
}

export function enumOf(...words: readonly string[]): OpenApi {
  return { enum: words };
}
