/**
 * Generated answers of GetFlows: Hubble's own client prints them, and `sallyport observe`; every byte is the same but for
 * what a terminal would obey, which is tested elsewhere. The JSON forms say the same.
 *
 *     node test/conformance/hubble_printer.ts [ROUNDS] [SEED...]
 *
 * Builds `test/peers/agent/hubble` with Go ($GO, or `go`; $HUBBLE_PEER: one that is built already).
 */
import { spawn } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { GetFlowsResponseSchema } from '../../src/hubble/generated/observer/observer_pb.ts';
import { FlowPrinter, type PrintForm } from '../../src/hubble/print/flow_printer.ts';
import { hasUnsafeText } from '../../src/model/shown_text.ts';
import { generatedResponse } from '../support/hubble_flows.ts';
import { AGENT_FOLDER, compare, count, goPeer, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

const RESPONSES_EACH = 10;
const FORMS: readonly PrintForm[] = ['compact', 'dict', 'table', 'json'];
const OPTIONS = ['ip-translation', 'node-name', 'policy-names'];

await compare(async () => {
  const peer = new JsonLines(spawn(goPeer(AGENT_FOLDER, './hubble', 'HUBBLE_PEER'), []));
  for (const { count: rounds, random } of seeds(300, 'rounds')) {
    for (let i = 0; i < rounds; i++) await compareRound(random, peer);
  }
  peer.end();
});

async function compareRound(random: PolicySeed, peer: JsonLines): Promise<void> {
  const form = random.oneOf(FORMS);
  const options = OPTIONS.filter(() => random.below(2) === 0);
  const responses = Array.from({ length: RESPONSES_EACH }, () => tamed(generatedResponse(random)));
  const output = form === 'json' ? 'jsonpb' : form;
  const theirs = await peer.ask(JSON.stringify({ output, options, responses }));
  const own = printed(form, options, responses as JsonValue[]);
  const text = String(theirs['text'] ?? theirs['error']);
  const isSame = form === 'json' ? isDeepStrictEqual(values(own), values(text)) : own === text;
  count(isSame, () => ['---', form, options, ...differences(own, text)]);
}

function printed(
  form: PrintForm,
  options: readonly string[],
  responses: readonly JsonValue[],
): string {
  const printer = new FlowPrinter({
    form,
    timeFormat: 'StampMilli',
    isTranslated: options.includes('ip-translation'),
    hasNode: options.includes('node-name'),
    hasPolicies: options.includes('policy-names'),
    isDebug: false,
    paint: (_, text) => text,
    jsonOf: (response) =>
      JSON.stringify(toJson(GetFlowsResponseSchema, response, { useProtoFieldName: true })),
    details: () => [],
  });
  const texts = responses.map((json) => printer.print(fromJson(GetFlowsResponseSchema, json)).out);
  return texts.join('') + printer.end();
}

function values(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function differences(own: string, theirs: string): string[] {
  const [ours, others] = [own.split('\n'), theirs.split('\n')];
  const at = ours.findIndex((line, index) => line !== others[index]);
  return [`ours:   ${ours[at]}`, `theirs: ${others[at]}`];
}

/** Without what a terminal would obey. */
function tamed(value: unknown): unknown {
  if (typeof value === 'string') {
    return hasUnsafeText(value) || /[\n\t]/.test(value) ? 'tame' : value;
  }
  if (Array.isArray(value)) return value.map(tamed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, tamed(one)]));
}
