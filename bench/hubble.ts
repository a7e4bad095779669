/**
 * What clients of Hubble cost the thread that serves them, a flow of ours (a request with its response, two flows of
 * Hubble's): kept, told to one who follows everything, and the parts of that.
 *
 *     npm run bench:hubble
 *
 * What it costs a worker is in `npm run bench:micro -- access_log`: "a flow for a follower".
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { compileFilters } from '../src/hubble/filter/filters.ts';
import { extensionsOf } from '../src/hubble/flow/extensions.ts';
import { hubbleFlows } from '../src/hubble/flow/hubble_flows.ts';
import { FlowFilterSchema, FlowSchema } from '../src/hubble/generated/flow/flow_pb.ts';
import { GetFlowsRequestSchema, Observer } from '../src/hubble/generated/observer/observer_pb.ts';
import { HubbleService } from '../src/hubble/serve/hubble_service.ts';
import { serviceDefinition } from '../src/hubble/serve/method.ts';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';
import { decodeBatch } from '../src/observe/flow/wire/decode_batch.ts';
import { FlowBatch } from '../src/observe/flow/wire/flow_batch.ts';
import { nodePlatform } from '../src/platform/node_platform.ts';
import { searchCompiler } from '../src/regex/search.ts';
import { flowCases, NAMING } from '../test/hubble/flow/flow_cases.ts';

const BATCH_FLOWS = 500;
const ROUNDS = 40;
const FOLLOWED_BATCHES = 200;
const BASE = (flowCases[0] as (typeof flowCases)[0]).flow;

const bytes = batchOf(BATCH_FLOWS);
const told = hubbleFlows(BASE, NAMING);
const filters = compileFilters(
  {
    whitelist: [
      create(FlowFilterSchema, { sourcePod: ['shop/'], httpPath: ['^/v1/'] }),
      create(FlowFilterSchema, { destinationLabel: ['app in (api,web)'] }),
    ],
    blacklist: [create(FlowFilterSchema, { destinationFqdn: ['*.example.org'] })],
  },
  searchCompiler(DEFAULT_LIMITS),
);
if (filters.kind === 'error') throw new Error(filters.message);

measured('decoded', () => decodeBatch(bytes));
measured('made flows of Hubble', () => {
  for (let i = 0; i < BATCH_FLOWS; i++) hubbleFlows(BASE, NAMING);
});
measured('two filters, one that excludes', () => {
  for (let i = 0; i < BATCH_FLOWS; i++) for (const flow of told) filters.passes(flow);
});
measured('written as protobuf', () => {
  for (let i = 0; i < BATCH_FLOWS; i++) for (const flow of told) toBinary(FlowSchema, flow);
});
measured('extensions of both', () => {
  for (let i = 0; i < BATCH_FLOWS; i++) for (const _ of told) extensionsOf(BASE);
});
await served();

async function served(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hubble-'));
  const path = join(folder, 'hubble.sock');
  const service = new HubbleService({
    settings: {
      ...{ socket: { path, group: null }, tcp: null, announced: '' },
      ...{ cluster: 'default', node: 'node-1' },
    },
    limits: { ...DEFAULT_LIMITS, hubbleRingCountMax: FOLLOWED_BATCHES * BATCH_FLOWS },
    version: NAMING.version,
    sinks: [],
    clock: nodePlatform().clock,
    onError: console.error,
    onProblem: console.error,
  });
  await service.start();
  measured('kept, nobody reads', () => service.push(bytes));
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  for (const [what, paths] of [
    ['told to a follower, as -o json', []],
    ['told to a follower, as -o compact', ['time', 'verdict', 'IP', 'l4', 'l7', 'Summary']],
  ] as const) {
    await followed(service, client, what, [...paths]);
  }
  client.close();
  await service.stop();
  rmSync(folder, { recursive: true });
}

/** By a client in this process, whose own work is counted, too: bytes that it does not read as messages. */
async function followed(
  service: HubbleService,
  client: Client,
  what: string,
  paths: string[],
): Promise<void> {
  const { path, requestSerialize } = serviceDefinition(Observer)['GetFlows'] ?? fail();
  const request = create(GetFlowsRequestSchema, { follow: true, fieldMask: { paths } });
  const call = client.makeServerStreamRequest(path, requestSerialize, (got) => got, request);
  call.on('error', () => {});
  let count = 0;
  let onAll = (): void => {};
  const wanted = 2 * FOLLOWED_BATCHES * BATCH_FLOWS;
  call.on('data', () => {
    if (++count === wanted) onAll();
  });
  await new Promise((resolve) => call.once('metadata', resolve));
  const all = new Promise<void>((resolve) => {
    onAll = resolve;
  });
  const before = process.cpuUsage();
  for (let i = 0; i < FOLLOWED_BATCHES; i++) service.push(bytes);
  await all;
  tell(what, before, FOLLOWED_BATCHES * BATCH_FLOWS);
  call.cancel();
}

function batchOf(count: number): Uint8Array {
  const batch = new FlowBatch(BASE);
  for (let number = 1; number <= count; number++) batch.add({ ...BASE, number });
  return batch.take();
}

function measured(what: string, work: () => void): void {
  for (let i = 0; i < ROUNDS; i++) work();
  const before = process.cpuUsage();
  for (let i = 0; i < ROUNDS; i++) work();
  tell(what, before, ROUNDS * BATCH_FLOWS);
}

/** Of the processor, so that what runs beside it changes little. */
function tell(what: string, before: NodeJS.CpuUsage, count: number): void {
  const { user, system } = process.cpuUsage(before);
  console.log(`${what.padEnd(36)} ${((user + system) / count).toFixed(2).padStart(8)} us`);
}

function fail(): never {
  throw new Error('no such method');
}
