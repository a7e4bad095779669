import { type IpPrefix, parseIp, parsePrefix, prefixContains } from '../../model/address.ts';
import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';
import { BadFilterError } from './bad_filter.ts';
import type { FlowTest } from './flow_test.ts';

/** An address is compared as it is written, so one of IPv6 has to be in its short form. */
export function addressesTest(
  texts: readonly string[],
  addressOf: (flow: HubbleFlow) => string | undefined,
): FlowTest {
  const addresses = texts.filter((text) => !text.includes('/'));
  const prefixes = texts.filter((text) => text.includes('/')).map(prefixOf);
  for (const text of addresses) {
    if (parseIp(text) === null) throw new BadFilterError(`invalid IP address "${text}" in filter`);
  }
  return (flow) => {
    const address = addressOf(flow) ?? '';
    if (address === '') return false;
    if (addresses.includes(address)) return true;
    if (prefixes.length === 0) return false;
    const own = parsePrefix(address, { allowBare: true, allowHostBits: false });
    return own !== null && prefixes.some((prefix) => prefixContains(prefix, own));
  };
}

function prefixOf(text: string): IpPrefix {
  const prefix = parsePrefix(text, { allowBare: false, allowHostBits: true });
  if (prefix === null) throw new BadFilterError(`invalid IP prefix "${text}" in filter`);
  return prefix;
}
