/** What a DNS client by TCP makes the worker keep is told as its own, so at the bound of memory it is who gives back. */
import { afterEach, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { message, opt, option, question } from '../../support/dns_messages.ts';
import { closeDnsRigs, startDnsRig } from '../../support/dns_rig.ts';

afterEach(closeDnsRigs);

const PADDING = option(12, Buffer.alloc(3000));
const PADDED = message({
  questions: [question('api.example.com')],
  additional: [opt(1232, 0, PADDING)],
});

it('questions that wait for their answers count', async () => {
  const rig = await startDnsRig({ script: () => [], limits: { memoryBytesMax: 1 } });
  const client = await rig.tcp();
  client.send(...Array.from({ length: 20 }, () => PADDED));
  await rig.server.untilHeard(20);
  rig.time.advance(DEFAULT_LIMITS.sweepIntervalMs);
  expect(rig.recorder.evictions).toEqual(['memory busy']);
});
