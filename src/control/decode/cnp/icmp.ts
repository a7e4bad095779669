/**
 * icmps (pkg/policy/api icmp.go): message types by family, as number or name. No ICMP message ever comes
 * to the proxy; the kernel enforces them where `sallyport redirect` is up.
 */
import type { IcmpSelector } from '../../../policy/rule.ts';
import type { DocumentContext } from '../context.ts';
import type { Field } from '../field.ts';

const FIELD_COUNT_MAX = 40;

const TYPES = {
  IPv4: new Map(
    Object.entries({
      EchoReply: 0,
      DestinationUnreachable: 3,
      Redirect: 5,
      Echo: 8,
      EchoRequest: 8,
      RouterAdvertisement: 9,
      RouterSelection: 10,
      TimeExceeded: 11,
      ParameterProblem: 12,
      Timestamp: 13,
      TimestampReply: 14,
      Photuris: 40,
      ExtendedEchoRequest: 42,
      ExtendedEchoReply: 43,
    }),
  ),
  IPv6: new Map(
    Object.entries({
      DestinationUnreachable: 1,
      PacketTooBig: 2,
      TimeExceeded: 3,
      ParameterProblem: 4,
      EchoRequest: 128,
      EchoReply: 129,
      MulticastListenerQuery: 130,
      MulticastListenerReport: 131,
      MulticastListenerDone: 132,
      RouterSolicitation: 133,
      RouterAdvertisement: 134,
      NeighborSolicitation: 135,
      NeighborAdvertisement: 136,
      RedirectMessage: 137,
      RouterRenumbering: 138,
      ICMPNodeInformationQuery: 139,
      ICMPNodeInformationResponse: 140,
      InverseNeighborDiscoverySolicitation: 141,
      InverseNeighborDiscoveryAdvertisement: 142,
      HomeAgentAddressDiscoveryRequest: 144,
      HomeAgentAddressDiscoveryReply: 145,
      MobilePrefixSolicitation: 146,
      MobilePrefixAdvertisement: 147,
      DuplicateAddressRequestCodeSuffix: 157,
      DuplicateAddressConfirmationCodeSuffix: 158,
      ExtendedEchoRequest: 160,
      ExtendedEchoReply: 161,
    }),
  ),
} as const;

export type IcmpFamily = keyof typeof TYPES;

/** Null: the family has no message of that name. */
export function icmpTypeNamed(name: string, family: IcmpFamily): number | null {
  return TYPES[family].get(name) ?? null;
}

export function icmpTypeNames(family: IcmpFamily): readonly string[] {
  return [...TYPES[family].keys()];
}

export function decodeIcmps(context: DocumentContext, field: Field): readonly IcmpSelector[] {
  const { reader } = context;
  const selectors: IcmpSelector[] = [];
  for (const item of reader.list(field)) {
    const fields = reader.object(item, ['fields']).get('fields');
    if (fields === undefined) continue;
    const entries = reader.list(fields);
    if (entries.length > FIELD_COUNT_MAX) {
      reader.fail(fields, `has more than ${FIELD_COUNT_MAX} fields (found ${entries.length})`);
    }
    for (const entry of entries) {
      const selector = decodeField(context, entry);
      if (selector !== null) selectors.push(selector);
    }
  }
  return selectors;
}

function decodeField(context: DocumentContext, field: Field): IcmpSelector | null {
  const { reader } = context;
  const fields = reader.object(field, ['family', 'type']);
  const familyField = fields.get('family');
  const family = familyField === undefined ? 'IPv4' : reader.oneOf(familyField, ['IPv4', 'IPv6']);
  const typeField = fields.get('type');
  if (typeField === undefined) return reader.fail(field, 'type is required');
  if (family === null) return null;
  const type = decodeType(context, typeField, family);
  return type === null ? null : { protocol: family === 'IPv4' ? 'ICMP' : 'ICMPv6', type };
}

function decodeType(context: DocumentContext, field: Field, family: IcmpFamily): number | null {
  const { reader } = context;
  if (typeof field.value !== 'string') return reader.integer(field, 0, 255);
  if (/^[0-9]+$/.test(field.value)) {
    const number = Number(field.value);
    return number <= 255 ? number : reader.integer(field, 0, 255);
  }
  const named = icmpTypeNamed(field.value, family);
  if (named !== null) return named;
  return reader.fail(
    field,
    `is no ${family} message type (found ${field.shown}; allowed: 0 to 255 or a name such as EchoRequest)`,
  );
}
