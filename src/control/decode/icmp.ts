/**
 * icmps (pkg/policy/api icmp.go): checked and then forgotten, as no ICMP message ever comes to the
 * proxy. A wrong one still rejects the policy, so that what is in force is what was written.
 */
import type { DocumentContext } from './context.ts';
import type { Field } from './yaml_fields.ts';

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

export function checkIcmps(context: DocumentContext, field: Field): void {
  const { reader } = context;
  for (const item of reader.list(field)) {
    const fields = reader.object(item, ['fields']).get('fields');
    if (fields === undefined) continue;
    const entries = reader.list(fields);
    if (entries.length > FIELD_COUNT_MAX) {
      reader.fail(fields, `has more than ${FIELD_COUNT_MAX} fields (found ${entries.length})`);
    }
    for (const entry of entries) checkField(context, entry);
  }
}

function checkField(context: DocumentContext, field: Field): void {
  const { reader } = context;
  const fields = reader.object(field, ['family', 'type']);
  const familyField = fields.get('family');
  const family = familyField === undefined ? 'IPv4' : reader.oneOf(familyField, ['IPv4', 'IPv6']);
  const type = fields.get('type');
  if (type === undefined) {
    reader.fail(field, 'type is required');
  } else if (typeof type.value === 'string' && !/^[0-9]+$/.test(type.value)) {
    if (family !== null && !TYPES[family].has(type.value)) {
      reader.fail(
        type,
        `is no ${family} message type (found ${type.shown}; allowed: 0 to 255 or a name such as EchoRequest)`,
      );
    }
  } else if (typeof type.value === 'string' ? Number(type.value) > 255 : true) {
    reader.integer(type, 0, 255);
  }
}
