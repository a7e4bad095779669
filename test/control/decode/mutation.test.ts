/**
 * A policy with one mistake in it is refused, never read as another policy: a condition that gets
 * lost would allow more than was written. Mistakes: a key with a typing error or in other case, a
 * value of another type, a value where a list of it belongs and the other way round, a field twice.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runs } from '../../support/property_runs.ts';
import { cnp, decodeText, tiers, wireRule } from './decoding.ts';

const SAMPLES: readonly unknown[] = [
  cnp(`
  endpointSelector: { matchLabels: { app: api }, matchExpressions: [{ key: tier, operator: NotIn, values: [a] }] }
  enableDefaultDeny: { ingress: true }
  log: { value: a }
  description: d
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "80", endPort: 90, protocol: TCP }]
          rules:
            http:
              - { path: "/a[0-9]+", method: GET, host: a.test, headers: ["X-A: b"] }
              - headerMatches: [{ name: X-B, value: c, mismatch: REPLACE, secret: { name: s, namespace: n2 } }]
    - fromCIDRSet: [{ cidr: 10.0.0.0/8, except: [10.1.0.0/16] }, { cidrGroupRef: g, except: [10.1.0.0/16] }]
    - icmps: [{ fields: [{ family: IPv6, type: EchoRequest }] }]
  ingressDeny: [{ fromNodes: [{}], toPorts: [{ ports: [{ port: http }] }] }]
  egress:
    - toFQDNs: [{ matchPattern: "*.a.test" }, { matchName: a.test }]
      toPorts: [{ ports: [{ port: dns }], rules: { dns: [{ matchName: a.test }] } }]
    - toServices: [{ k8sService: { serviceName: a, namespace: b } }]
      toPorts: [{ ports: [{ port: "443", protocol: TCP }], serverNames: ["*.a.test"] }]
    - toServices: [{ k8sServiceSelector: { selector: { matchLabels: { a: b } }, namespace: b } }]
      toPorts: [{ ports: [{ port: "443", protocol: TCP }], listener: { name: l, priority: 3, envoyConfig: { kind: CiliumEnvoyConfig, name: c } } }]
  egressDeny: [{ toEntities: [world], toPorts: [{ ports: [{ port: "0" }] }] }]`),
  tiers(
    '{ tier: Admin, priority: 1, subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { a: b } } } }, egress: [{ name: n1, action: Accept, to: [{ networks: [10.0.0.0/8] }, { domainNames: [a.test] }], protocols: [{ tcp: { destinationPort: { range: { start: 80, end: 81 } } } }] }] }',
  ),
  wireRule(
    '{ precedence: 5, pass_precedence: 3, proxy_id: 7, name: r, remote_policies: [43], server_names: ["*.a"], http_rules: { http_rules: [{ headers: [{ name: ":path", string_match: { safe_regex: { regex: "/a.*" }, ignore_case: true } }, { name: b, range_match: { start: 1, end: 5 }, invert_match: true, treat_missing_header_as_empty: true }], header_matches: [{ name: c, value: d, match_action: DELETE_ON_MATCH, mismatch_action: ADD_ON_MISMATCH, value_sds_secret: s }] }] } }',
  ),
].map((text) => parse(text));

type Key = string | number;
type Place = readonly Key[];

interface Site {
  readonly sample: unknown;
  readonly place: Place;
  readonly value: unknown;
}

const SITES: readonly Site[] = SAMPLES.flatMap((sample) =>
  placesOf(sample, []).map((place) => ({ sample, place, value: valueAt(sample, place) })),
);
/** Fields whose names are ours to know; those of label maps are the user's. */
const FIELDS = SITES.filter(
  ({ place }) => typeof place.at(-1) === 'string' && place.at(-2) !== 'matchLabels',
);

describe('one mistake is a refusal', () => {
  it('the samples are accepted as they are', () => {
    for (const sample of SAMPLES) expect(problemsOf(sample)).toEqual([]);
  });

  it('a key with a typing error', () => {
    const typo = fc.constantFrom(
      (key: string) => key.slice(0, -1),
      (key: string) => `${key}s`,
      (key: string) => `${key} `,
      (key: string) => `-${key}`,
      (key: string) => key.slice(1) + key.charAt(0),
    );
    fc.assert(
      fc.property(fc.constantFrom(...FIELDS), typo, (site, misspell) => {
        const key = String(site.place.at(-1));
        fc.pre(misspell(key) !== key && misspell(key) !== '');
        refused(changed(site, (parent) => renamed(parent, key, misspell(key))));
      }),
      runs(250),
    );
  });

  it('a key in other case', () => {
    for (const site of FIELDS) {
      const key = String(site.place.at(-1));
      // Cilium's agent reads HTTP as http, which old examples have; it is warned about.
      for (const other of [key.toUpperCase(), key.charAt(0).toUpperCase() + key.slice(1)]) {
        if (other !== key && other !== 'HTTP') {
          refused(changed(site, (parent) => renamed(parent, key, other)));
        }
      }
    }
  });

  it.each([5, -1.5, true, 'a\nb', [], {}, [[]], [5], { a: 1 }].map((value) => [value] as const))(
    'a value of another type: %j',
    (value) => {
      for (const site of SITES) {
        if (typeOf(value) === typeOf(site.value) || isAllowed(site, value)) continue;
        refused(changed(site, (parent, key) => replaced(parent, key, value)));
      }
    },
  );

  it('a value where a list of it belongs, a list of it where a value does', () => {
    for (const site of SITES) {
      const { value } = site;
      const other = Array.isArray(value) ? value[0] : [value];
      refused(changed(site, (parent, key) => replaced(parent, key, other)));
    }
  });

  it('a field twice', () => {
    for (const site of FIELDS) {
      const key = String(site.place.at(-1));
      const text = JSON.stringify(
        changed(site, (parent) => ({ ...(parent as object), [`${key}!`]: site.value })),
      ).replace(`"${key}!"`, `"${key}"`);
      expect(decodeText(text).problems, text).not.toEqual([]);
    }
  });
});

/** What proto3 JSON and Kubernetes let stand in place of the usual form, with the same meaning. */
function isAllowed({ place, value }: Site, other: unknown): boolean {
  const key = place.at(-1);
  // ICMP types are names or numbers; enums of the wire form, too.
  if (key === 'type' || String(key).endsWith('_action')) return other === 5 && key === 'type';
  // Kubernetes' own status of an object, and free texts.
  return typeof value === 'string' && typeof other === 'string';
}

function refused(value: unknown): void {
  expect(problemsOf(value), JSON.stringify(value)).not.toEqual([]);
}

function problemsOf(value: unknown): readonly string[] {
  return decodeText(JSON.stringify(value)).problems.map(
    ({ field, message }) => `${field}: ${message}`,
  );
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  return typeof value;
}

function placesOf(value: unknown, place: Place): Place[] {
  if (typeof value !== 'object' || value === null) return place.length === 0 ? [] : [place];
  const keys: Key[] = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const below = keys.flatMap((key) =>
    placesOf((value as Record<Key, unknown>)[key], [...place, key]),
  );
  return place.length === 0 ? below : [place, ...below];
}

function valueAt(value: unknown, place: Place): unknown {
  return place.reduce<unknown>((at, key) => (at as Record<Key, unknown>)[key], value);
}

/** A copy of the sample with what holds the site changed. */
function changed(site: Site, change: (parent: unknown, key: Key) => unknown): unknown {
  const copy = (value: unknown, place: Place): unknown => {
    const [key, ...rest] = place;
    if (key === undefined) throw new Error('a site is below the root');
    if (rest.length === 0) return change(value, key);
    return replaced(value, key, copy((value as Record<Key, unknown>)[key], rest));
  };
  return copy(site.sample, site.place);
}

function replaced(parent: unknown, key: Key, value: unknown): unknown {
  if (Array.isArray(parent)) return parent.with(Number(key), value);
  return { ...(parent as object), [key]: value };
}

function renamed(parent: unknown, key: string, other: string): unknown {
  return Object.fromEntries(
    Object.entries(parent as object).map(([name, value]) => [name === key ? other : name, value]),
  );
}
