/** toPorts[].rules: L7 rules of one protocol, and what may not stand together with them. */
import type { L7Protocol } from '../../../model/decision.ts';
import { type Direction, PROTOCOLS } from '../../../model/identity.ts';
import type { DnsRule, L7RulesOf } from '../../../policy/ast.ts';
import type { PortsRule } from '../../../policy/rule.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import type { Fields } from '../object_reader.ts';
import { decodeHttpRule } from './http_rules.ts';
import { decodeNames } from './peers.ts';

const KAFKA_LEFT =
  'Kafka rules left Cilium (deprecated in 1.18, removed in 1.20) and cannot be enforced; remove them or restrict the port at L4';
const PARSERS_LEFT =
  'L7 rules of other parsers left Cilium (removed in 1.20) and cannot be enforced; remove them or restrict the port at L4';

const REFUSED_L7 = new Map([
  ['kafka', KAFKA_LEFT],
  ['l7proto', PARSERS_LEFT],
  ['l7', PARSERS_LEFT],
]);

interface L7Decoder<P extends L7Protocol> {
  decode(context: DocumentContext, items: readonly Field[]): L7RulesOf<P>;
  /** Sanitize of PortRule and of L7Rules. */
  check(context: DocumentContext, place: Field, combination: Combination): void;
}

/** The toPorts element that L7 rules stand in. */
export interface Combination {
  readonly rule: PortsRule;
  readonly options: { readonly direction: Direction; readonly isNodeSubject: boolean };
}

/** By the name of the field. */
const DECODERS: { readonly [P in L7Protocol]: L7Decoder<P> } = {
  http: {
    decode: (context, items) => ({
      kind: 'http',
      rules: items.map((item) => decodeHttpRule(context, item)),
    }),
    check: checkHttp,
  },
  dns: {
    decode: (context, items) => ({
      kind: 'dns',
      rules: items.map((item) => decodeDnsRule(context, item)),
    }),
    check: checkDns,
  },
};

const PROTOCOL_NAMES = Object.keys(DECODERS) as readonly L7Protocol[];

/** `http: []` counts as no L7 rules, `http: [{}]` is one rule that matches every request. */
export function decodeL7(context: DocumentContext, field: Field | undefined): PortsRule['l7'] {
  if (field === undefined) return { kind: 'none' };
  const { reader } = context;
  const fields = reader.object(field, [...PROTOCOL_NAMES, 'HTTP'], { refused: REFUSED_L7 });
  const given = PROTOCOL_NAMES.flatMap((protocol) => {
    const list = protocol === 'http' ? httpField(context, fields) : fields.get(protocol);
    const items = list === undefined ? [] : reader.list(list);
    return items.length === 0 ? [] : { protocol, items };
  });
  if (given.length > 1) {
    const found = given.map(({ protocol }) => protocol).join(' and ');
    reader.fail(field, `has more than one kind of L7 rules (found ${found})`);
  }
  const [first] = given;
  if (first !== undefined) return DECODERS[first.protocol].decode(context, first.items);
  // It looks like a list that allows nothing; to the agent it is a port without L7 rules.
  reader.warn(field, 'has no L7 rule and so restricts nothing');
  return { kind: 'none' };
}

/** What may not stand together. `place`: of the L7 rules. */
export function checkL7(context: DocumentContext, place: Field, combination: Combination): void {
  const { rule, options } = combination;
  const { reader } = context;
  if (rule.l7.kind === 'none') return;
  if (rule.listener !== null) reader.fail(place, 'L7 rules and a listener cannot stand together');
  if (rule.serverNames.length > 0 && !rule.isTlsTerminated) {
    reader.fail(place, 'L7 rules and serverNames need terminatingTLS to stand together');
  }
  if (options.isNodeSubject && (rule.l7.kind !== 'dns' || options.direction === 'ingress')) {
    reader.fail(place, 'L7 rules are not supported on host policies (only DNS on egress)');
  }
  DECODERS[rule.l7.kind].check(context, place, combination);
}

function httpField({ reader }: DocumentContext, fields: Fields): Field | undefined {
  const upper = fields.get('HTTP');
  if (upper !== undefined)
    reader.warn(upper, "the field is called http; HTTP is read as that, as Cilium's agent does");
  const lower = fields.get('http');
  if (upper !== undefined && lower !== undefined) reader.fail(upper, 'http is given twice');
  return lower ?? upper;
}

function decodeDnsRule(context: DocumentContext, field: Field): DnsRule {
  const fields = context.reader.object(field, ['matchName', 'matchPattern']);
  const names = decodeNames(context, fields);
  if (names.matchName === null && names.matchPattern === null) {
    context.reader.warn(field, 'has neither matchName nor matchPattern and so matches no question');
  }
  return { origin: originOf(context, field), ...names };
}

function checkHttp(context: DocumentContext, place: Field, { rule }: Combination): void {
  for (const port of rule.ports ?? []) {
    if (port.protocols.join() !== 'TCP') {
      const found = port.protocols.length === PROTOCOLS.length ? 'ANY' : port.protocols.join();
      context.reader.fail(
        place,
        `HTTP rules need protocol: TCP on every port (found ${found || 'a protocol without ports'})`,
      );
    }
    if (port.port === 0 && port.name === null)
      context.reader.fail(place, 'L7 rules cannot be on port 0');
  }
}

function checkDns(context: DocumentContext, place: Field, { rule, options }: Combination): void {
  const { reader } = context;
  if (options.direction === 'ingress') reader.fail(place, 'DNS rules are allowed on egress only');
  if (rule.ports?.length === 0) reader.fail(place, 'DNS rules need at least one port');
  for (const port of rule.ports ?? []) {
    if (port.port === 0 && port.name === null) reader.fail(place, 'L7 rules cannot be on port 0');
    if (port.endPort !== port.port) reader.fail(place, 'DNS rules cannot be on a port range');
    if (!port.protocols.some((protocol) => protocol !== 'SCTP')) {
      reader.fail(place, 'DNS rules need protocol TCP, UDP or ANY');
    }
  }
}
