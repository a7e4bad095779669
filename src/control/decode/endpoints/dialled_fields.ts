/** What clients dial to reach a service of the endpoints file. Of two services that claim one address, neither is taken. */
import type { IpAddress } from '../../../model/address.ts';
import type { Port, Protocol } from '../../../model/identity.ts';
import type { ServicePort, ServiceSpec } from '../../../model/service_spec.ts';
import type { Field } from '../field.ts';
import { SERVICE_PORT_SCHEMA } from './endpoints_schema.ts';

/** What the decoder of the file can read; each tells its problems itself. */
export interface FieldTools {
  items<T>(field: Field | undefined, decode: (item: Field) => T | null): readonly T[];
  map(field: Field, schema: { readonly properties: object }): ReadonlyMap<string, Field>;
  text(field: Field | undefined): string | null;
  ip(field: Field): IpAddress | null;
  port(field: Field | undefined): Port | null;
  protocol(field: Field | undefined): Protocol;
  fail(field: Field, message: string): void;
}

type Fields = ReadonlyMap<string, Field>;

export class DialledFields {
  readonly #tools: FieldTools;
  /** "TCP 10.96.0.10 53" → where it is claimed. */
  readonly #claims = new Map<string, string>();

  constructor(tools: FieldTools) {
    this.#tools = tools;
  }

  /** Null: it says nothing of that. */
  specOf(service: Field, fields: Fields): ServiceSpec | null {
    const tools = this.#tools;
    const clusterIps = tools.items(fields.get('clusterIPs'), (item) => tools.ip(item));
    const externalIps = tools.items(fields.get('externalIPs'), (item) => tools.ip(item));
    const ports = tools.items(fields.get('ports'), (item) => this.#port(item, fields));
    const affinityS = this.#affinity(fields.get('sessionAffinitySeconds'));
    const isConsistentlyHashed = this.#flag(fields.get('consistentHashing'));
    const needing = ['externalIPs', 'ports', 'sessionAffinitySeconds', 'consistentHashing'].filter(
      (name) => fields.has(name),
    );
    if (!fields.has('clusterIPs')) {
      const [first] = needing;
      if (first !== undefined) tools.fail(service, `clusterIPs is missing: ${first} needs it`);
      return null;
    }
    if (!fields.has('ports')) tools.fail(service, 'ports is missing: clusterIPs needs it');
    this.#checkFamilies(service, clusterIps, externalIps);
    this.#checkPorts(service, ports);
    for (const { text } of [...clusterIps, ...externalIps]) {
      for (const { protocol, port } of ports) this.#claim(service, `${protocol} ${text} ${port}`);
    }
    for (const { protocol, nodePort } of ports) {
      if (nodePort !== null) this.#claim(service, `${protocol} nodePort ${nodePort}`);
    }
    return {
      createdS: 0,
      clusterIps: clusterIps.map(({ text }) => text),
      externalIps: externalIps.map(({ text }) => text),
      loadBalancerIps: [],
      ports,
      affinityS,
      isInternalLocal: false,
      isExternalLocal: false,
      isConsistentlyHashed,
    };
  }

  #port(field: Field, service: Fields): ServicePort | null {
    const tools = this.#tools;
    const fields = tools.map(field, SERVICE_PORT_SCHEMA);
    if (!fields.has('port')) tools.fail(field, 'port is missing');
    const port = tools.port(fields.get('port'));
    const protocol = tools.protocol(fields.get('protocol'));
    const nodePort = tools.port(fields.get('nodePort'));
    const name = tools.text(fields.get('name')) ?? '';
    const target = fields.get('targetPort');
    const targetPort = target === undefined ? port : this.#target(target, service);
    return port === null || targetPort === null
      ? null
      : { name, protocol, port, nodePort, targetPort };
  }

  #target(field: Field, service: Fields): Port | string | null {
    if (typeof field.value !== 'string') return this.#tools.port(field);
    const name = this.#tools.text(field);
    if (!service.has('endpoints')) {
      this.#tools.fail(
        field,
        'must be a number: only endpoints have names of ports, and it has ips',
      );
    }
    return name === null ? null : name.toLowerCase();
  }

  #checkFamilies(
    service: Field,
    clusterIps: readonly IpAddress[],
    externalIps: readonly IpAddress[],
  ): void {
    const families = clusterIps.map(({ family }) => family);
    if (families.length === 0 || new Set(families).size < families.length) {
      this.#tools.fail(service, 'clusterIPs must have one address of each family that it has');
    }
    for (const { family, text } of externalIps) {
      if (families.includes(family)) continue;
      this.#tools.fail(service, `${text} needs an address of its family in clusterIPs`);
    }
  }

  #checkPorts(service: Field, ports: readonly ServicePort[]): void {
    const seen = new Set<string>();
    for (const { name } of ports) {
      if (name === '') continue;
      if (seen.has(name)) this.#tools.fail(service, `two ports have the name ${name}`);
      seen.add(name);
    }
  }

  #claim(service: Field, claim: string): void {
    const other = this.#claims.get(claim);
    if (other !== undefined) this.#tools.fail(service, `${claim} is also of ${other}`);
    this.#claims.set(claim, service.path);
  }

  #affinity(field: Field | undefined): number | null {
    if (field === undefined) return null;
    const { value } = field;
    const isRight = typeof value === 'number' && Number.isInteger(value);
    if (isRight && value >= 1 && value <= AFFINITY_S_MAX) return value;
    this.#tools.fail(
      field,
      `must be a whole number, 1 to ${AFFINITY_S_MAX} (found ${field.shown})`,
    );
    return null;
  }

  #flag(field: Field | undefined): boolean {
    if (field === undefined) return false;
    if (typeof field.value === 'boolean') return field.value;
    this.#tools.fail(field, `must be true or false (found ${field.shown})`);
    return false;
  }
}

/** A day, as in the API. */
const AFFINITY_S_MAX = 86_400;
