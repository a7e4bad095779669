/**
 * The endpoints file → Inventory: who is who. Strict: an unknown field, a wrong type or a name that
 * is used twice is a problem with its place; all problems are told, not only the first one.
 */
import { type IpAddress, parseIp, parsePrefix } from '../../../model/address.ts';
import {
  type Identity,
  type Port,
  PROTOCOLS,
  type Protocol,
  parseIdentity,
  parsePort,
  parseProxyId,
} from '../../../model/identity.ts';
import {
  canonicalLabel,
  formatLabel,
  k8sLabel,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
  parseLabel,
  SERVICE_ACCOUNT_KEY,
  sortedLabels,
} from '../../../policy/labels.ts';
import { completeLabels } from '../../../policy/resolve/endpoint_labels.ts';
import type {
  Inventory,
  InventoryCidr,
  InventoryEndpoint,
  InventoryIdentity,
  InventoryService,
  NamedPort,
} from '../../../policy/resolve/inventory.ts';
import type { LabelRequirement, LabelSelector } from '../../../policy/rule.ts';
import type { Field, FieldReader } from '../field.ts';
import type { Problem } from '../problem.ts';
import { type ReaderLimits, readYaml } from '../yaml_fields.ts';
import { DialledFields } from './dialled_fields.ts';
import {
  CIDR_SCHEMA,
  ENDPOINT_SCHEMA,
  ENDPOINTS_SCHEMA,
  IDENTITY_SCHEMA,
  SELECTOR_SCHEMA,
  SERVICE_SCHEMA,
} from './endpoints_schema.ts';

export interface EndpointsText {
  readonly path: string;
  readonly text: string;
}

export type EndpointsResult =
  | { readonly kind: 'ok'; readonly inventory: Inventory }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

/** An empty file is an empty inventory. */
export function decodeEndpoints(source: EndpointsText, limits: ReaderLimits): EndpointsResult {
  const reader = readYaml(source, limits);
  const root = reader.root();
  const inventory = root === null ? null : new EndpointsDecoder(reader).decode(root);
  if (inventory === null || reader.problems.length > 0) {
    return { kind: 'rejected', problems: reader.problems };
  }
  return { kind: 'ok', inventory };
}

class EndpointsDecoder {
  readonly #reader: FieldReader;
  readonly #names = new Set<string>();
  readonly #ips = new Map<string, string>();
  readonly #endpointIds = new Map<number, string>();
  readonly #interfaces = new Map<string, string>();
  readonly #podUids = new Map<string, string>();
  readonly #prefixes = new Set<string>();
  readonly #serviceNames = new Set<string>();
  readonly #dialled: DialledFields;
  #cluster = 'default';

  constructor(reader: FieldReader) {
    this.#reader = reader;
    this.#dialled = new DialledFields({
      items: (field, decode) => this.#items(field, decode),
      map: (field, schema) => this.#map(field, schema),
      text: (field) => this.#optionalText(field),
      ip: (field) => this.#ip(field),
      port: (field) => this.#number(field, PORT_NUMBER),
      protocol: (field) => this.#protocol(field),
      fail: (field, message) => this.#fail(field, message),
    });
  }

  decode(root: Field): Inventory {
    const fields = root.isEmpty ? new Map<string, Field>() : this.#map(root, ENDPOINTS_SCHEMA);
    this.#cluster = this.#optionalText(fields.get('cluster')) ?? 'default';
    const endpoints = this.#items(fields.get('endpoints'), (field) => this.#endpoint(field));
    return {
      cluster: this.#cluster,
      endpoints,
      identities: this.#items(fields.get('identities'), (field) => this.#identity(field)),
      cidrs: this.#items(fields.get('cidrs'), (field) => this.#cidr(field)),
      services: this.#items(fields.get('services'), (field) => this.#service(field)),
      here: null,
      listeners: this.#listeners(fields.get('listeners')),
    };
  }

  #endpoint(field: Field): InventoryEndpoint | null {
    const fields = this.#map(field, ENDPOINT_SCHEMA);
    const name = this.#slashedName(fields.get('name'), field);
    if (name === null) return null;
    const [namespace = ''] = name.split('/');
    if (this.#names.has(name)) this.#fail(fields.get('name') ?? field, `${name} is there twice`);
    this.#names.add(name);
    return {
      name,
      ips: this.#endpointIps(fields, field, name),
      labels: this.#endpointLabels(fields, namespace),
      identity: this.#number(fields.get('identity'), IDENTITY_NUMBER),
      endpointId: this.#endpointId(fields.get('endpointId'), name),
      namedPorts: this.#namedPorts(fields.get('namedPorts')),
      isLocal: true,
      interface: this.#interface(fields.get('interface'), name),
      podUid: this.#podUid(fields.get('podUid'), name),
    };
  }

  #endpointIps(
    fields: ReadonlyMap<string, Field>,
    field: Field,
    name: string,
  ): readonly IpAddress[] {
    const one = fields.get('ip');
    const many = fields.get('ips');
    if (one !== undefined && many !== undefined) this.#fail(one, 'ip and ips cannot both be given');
    const ips = one === undefined ? this.#items(many, (item) => this.#ip(item)) : [this.#ip(one)];
    const found = ips.filter((ip) => ip !== null);
    for (const { text } of found) {
      const other = this.#ips.get(text);
      if (other !== undefined) this.#fail(one ?? many ?? field, `${text} is also of ${other}`);
      this.#ips.set(text, name);
    }
    return found;
  }

  #endpointLabels(fields: ReadonlyMap<string, Field>, namespace: string): readonly string[] {
    const labels = [...this.#labels(fields.get('labels'))];
    const account = this.#optionalText(fields.get('serviceAccount'));
    if (account !== null) labels.push(k8sLabel(SERVICE_ACCOUNT_KEY, account));
    for (const [key, field] of this.#entries(fields.get('namespaceLabels'))) {
      labels.push(k8sLabel(`${NAMESPACE_LABELS_PREFIX}${key}`, this.#text(field) ?? ''));
    }
    return completeLabels(labels, { namespace, cluster: this.#cluster });
  }

  #endpointId(field: Field | undefined, name: string): number {
    const endpointId = this.#number(field, IDENTITY_NUMBER) ?? 0;
    if (field === undefined || endpointId === 0) return 0;
    const other = this.#endpointIds.get(endpointId);
    if (other !== undefined) this.#fail(field, `endpointId ${endpointId} is also of ${other}`);
    this.#endpointIds.set(endpointId, name);
    return endpointId;
  }

  #interface(field: Field | undefined, name: string): string | null {
    const text = field === undefined ? null : this.#text(field);
    if (field === undefined || text === null) return null;
    if (!INTERFACE_NAME.test(text)) {
      this.#fail(field, `must be an interface name, at most 15 characters (found ${field.shown})`);
      return null;
    }
    const other = this.#interfaces.get(text);
    if (other !== undefined) this.#fail(field, `${text} is also the interface of ${other}`);
    this.#interfaces.set(text, name);
    return text;
  }

  #podUid(field: Field | undefined, name: string): string | null {
    const text = field === undefined ? null : this.#text(field);
    if (field === undefined || text === null) return null;
    if (!POD_UID.test(text)) {
      this.#fail(field, `must be the UID of a pod (found ${field.shown})`);
      return null;
    }
    const other = this.#podUids.get(text);
    if (other !== undefined) this.#fail(field, `${text} is also the UID of ${other}`);
    this.#podUids.set(text, name);
    return text;
  }

  #namedPorts(field: Field | undefined): readonly NamedPort[] {
    return this.#entries(field).flatMap(([key, value]) => {
      const name = key.toLowerCase();
      if (!value.isMap) return this.#namedPort(name, value, 'TCP');
      const fields = this.#map(value, NAMED_PORT_SCHEMA);
      const number = fields.get('port');
      if (number === undefined) {
        this.#fail(value, 'port is missing');
        return [];
      }
      return this.#namedPort(name, number, this.#protocol(fields.get('protocol')));
    });
  }

  #namedPort(name: string, field: Field, protocol: Protocol): NamedPort[] {
    const port = this.#number(field, PORT_NUMBER);
    return port === null ? [] : [{ name, port, protocol }];
  }

  #protocol(field: Field | undefined): Protocol {
    if (field === undefined) return 'TCP';
    const protocol = PROTOCOLS.find((known) => known === field.value);
    if (protocol === undefined) {
      this.#fail(field, `must be one of ${PROTOCOLS.join(', ')} (found ${field.shown})`);
    }
    return protocol ?? 'TCP';
  }

  #identity(field: Field): InventoryIdentity | null {
    const fields = this.#map(field, IDENTITY_SCHEMA);
    const id = fields.get('id');
    if (id === undefined) this.#fail(field, 'id is missing');
    if (!fields.has('labels')) this.#fail(field, 'labels is missing');
    const identity = this.#number(id, IDENTITY_NUMBER);
    if (identity === null) return null;
    const place = { namespace: null, cluster: this.#cluster };
    return { identity, labels: completeLabels(this.#labels(fields.get('labels')), place) };
  }

  #cidr(field: Field): InventoryCidr | null {
    const fields = this.#map(field, CIDR_SCHEMA);
    const cidr = fields.get('cidr');
    const text = cidr === undefined ? null : this.#text(cidr);
    if (cidr === undefined) this.#fail(field, 'cidr is missing');
    if (cidr === undefined || text === null) return null;
    const prefix = parsePrefix(text, { allowBare: false, allowHostBits: false });
    if (prefix === null) {
      this.#fail(
        cidr,
        `must be a prefix such as 203.0.113.0/24, no bits set beyond it (found ${text})`,
      );
      return null;
    }
    if (this.#prefixes.has(prefix.text)) this.#fail(cidr, `${prefix.text} is there twice`);
    this.#prefixes.add(prefix.text);
    const place = { namespace: null, cluster: this.#cluster };
    const identity = this.#number(fields.get('identity'), IDENTITY_NUMBER);
    return { prefix, identity, labels: completeLabels(this.#labels(fields.get('labels')), place) };
  }

  #service(field: Field): InventoryService | null {
    const fields = this.#map(field, SERVICE_SCHEMA);
    const fullName = this.#slashedName(fields.get('name'), field);
    if (fullName === null) return null;
    if (this.#serviceNames.has(fullName)) this.#fail(field, `${fullName} is there twice`);
    this.#serviceNames.add(fullName);
    const [namespace = '', name = ''] = fullName.split('/');
    const selector = fields.get('endpoints');
    return {
      namespace,
      name,
      labels: this.#labels(fields.get('labels')),
      ips: this.#items(fields.get('ips'), (item) => this.#ip(item)),
      selector: selector === undefined ? null : this.#selector(selector, namespace),
      spec: this.#dialled.specOf(field, fields),
      slices: null,
    };
  }

  /** Scoped to the service's namespace, as a Service's selector is. */
  #selector(field: Field, namespace: string): LabelSelector {
    const fields = this.#map(field, SELECTOR_SCHEMA);
    const requirements: LabelRequirement[] = this.#entries(fields.get('matchLabels')).map(
      ([key, value]) => ({
        key: selectorKey(key),
        operator: 'in',
        values: [this.#text(value) ?? ''],
      }),
    );
    for (const item of this.#items(fields.get('matchExpressions'), (one) =>
      this.#expression(one),
    )) {
      requirements.push(item);
    }
    requirements.push({ key: `k8s:${NAMESPACE_KEY}`, operator: 'in', values: [namespace] });
    return { requirements };
  }

  #expression(field: Field): LabelRequirement | null {
    const fields = this.#map(field, SELECTOR_SCHEMA.properties.matchExpressions.items);
    const key = this.#optionalText(fields.get('key'));
    const operatorField = fields.get('operator') ?? field;
    const operator = OPERATORS.get(operatorField.value);
    const values = this.#items(fields.get('values'), (item) => this.#text(item));
    if (key === null) this.#fail(field, 'key is missing');
    if (operator === undefined) {
      this.#fail(operatorField, `must be one of ${[...OPERATORS.keys()].join(', ')}`);
    }
    if (key === null || operator === undefined) return null;
    const wantsValues = operator === 'in' || operator === 'not-in';
    if (wantsValues !== values.length > 0) {
      this.#fail(field, wantsValues ? 'values is missing' : 'values must be empty here');
    }
    return { key: selectorKey(key), operator, values };
  }

  #listeners(field: Field | undefined): ReadonlyMap<string, number> {
    const listeners = new Map<string, number>();
    for (const [name, value] of this.#entries(field)) {
      const proxyId = this.#number(value, PROXY_NUMBER);
      if (proxyId !== null) listeners.set(name, proxyId);
    }
    return listeners;
  }

  #labels(field: Field | undefined): readonly string[] {
    if (field === undefined) return [];
    if (field.isMap) {
      return sortedLabels(
        this.#entries(field).flatMap(([key, value]) => {
          const text = this.#text(value);
          if (text === null) return [];
          const name = parseLabel(key);
          if (name !== null && name.value === '') return [formatLabel({ ...name, value: text })];
          this.#fail(value, `"${key}" is no key of a label`);
          return [];
        }),
      );
    }
    return sortedLabels(this.#items(field, (item) => this.#label(item)));
  }

  #label(field: Field): string | null {
    const text = this.#text(field);
    if (text === null) return null;
    const label = canonicalLabel(text);
    if (label === null) this.#fail(field, `must be a label "source:key=value" (found ${text})`);
    return label;
  }

  #ip(field: Field): IpAddress | null {
    const text = this.#text(field);
    if (text === null) return null;
    const ip = parseIp(text);
    if (ip === null) this.#fail(field, `must be an IP address (found ${text})`);
    return ip;
  }

  #slashedName(field: Field | undefined, parent: Field): string | null {
    if (field === undefined) {
      this.#fail(parent, 'name is missing: "namespace/name"');
      return null;
    }
    const text = this.#text(field);
    if (text === null) return null;
    if (/^[^/\s]+\/[^/\s]+$/.test(text)) return text;
    this.#fail(field, `must be "namespace/name" (found ${text})`);
    return null;
  }

  #number<T>(field: Field | undefined, kind: NumberKind<T>): T | null {
    if (field === undefined) return null;
    const number = field.value === 0 ? null : kind.parse(field.value);
    if (number === null) {
      this.#fail(field, `must be a whole number, 1 to ${kind.max} (found ${field.shown})`);
    }
    return number;
  }

  #optionalText(field: Field | undefined): string | null {
    if (field === undefined) return null;
    const text = this.#text(field);
    if (text === '') this.#fail(field, 'must not be empty');
    return text;
  }

  #text(field: Field): string | null {
    if (typeof field.value === 'string') return field.value;
    const hint = typeof field.value === 'number' || typeof field.value === 'boolean';
    this.#fail(field, `must be a text (found ${field.shown}${hint ? '; put it in quotes' : ''})`);
    return null;
  }

  #map(field: Field, schema: { readonly properties: object }): ReadonlyMap<string, Field> {
    const allowed = Object.keys(schema.properties);
    const fields = new Map<string, Field>();
    for (const [key, value] of this.#entries(field)) {
      if (allowed.includes(key)) fields.set(key, value);
      else this.#fail(value, `unknown field (allowed: ${allowed.join(', ')})`);
    }
    return fields;
  }

  #entries(field: Field | undefined): readonly (readonly [string, Field])[] {
    return field === undefined ? [] : this.#reader.entries(field);
  }

  #items<T>(field: Field | undefined, decode: (item: Field) => T | null): T[] {
    if (field === undefined) return [];
    return this.#reader.items(field).flatMap((item) => {
      const decoded = decode(item);
      return decoded === null ? [] : [decoded];
    });
  }

  #fail(field: Field, message: string): void {
    this.#reader.fail(field, message);
  }
}

interface NumberKind<T> {
  readonly max: number;
  readonly parse: (value: unknown) => T | null;
}

/** What Linux takes as a name (dev_valid_name): no slash, colon or space, IFNAMSIZ with its zero. */
const INTERFACE_NAME = /^(?!\.{1,2}$)[^\s/:\u0000]{1,15}$/;

/** Of an API object; of a static pod the kubelet's hash of it, which has no dashes. */
const POD_UID = /^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

const IDENTITY_NUMBER: NumberKind<Identity> = { max: 0xffff_ffff, parse: parseIdentity };
const PORT_NUMBER: NumberKind<Port> = { max: 0xffff, parse: parsePort };
const PROXY_NUMBER: NumberKind<number> = { max: 0xffff, parse: parseProxyId };

const NAMED_PORT_SCHEMA = { properties: { port: {}, protocol: {} } } as const;

const OPERATORS: ReadonlyMap<unknown, LabelRequirement['operator']> = new Map([
  ['In', 'in'],
  ['NotIn', 'not-in'],
  ['Exists', 'exists'],
  ['DoesNotExist', 'does-not-exist'],
]);

/** A key without a source matches a label of any source. */
function selectorKey(key: string): string {
  return key.includes(':') ? key : `any:${key}`;
}
