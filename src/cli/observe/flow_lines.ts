/** Flows of a file, or of standard input: what `-o json` prints, what an export writes, or flows alone. */
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { messageOfJson } from '../../hubble/flow/flow_json.ts';
import {
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from '../../hubble/generated/observer/observer_pb.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Io } from '../io.ts';

/** Of one line. */
const LINE_LENGTH_MAX = 4 * 1024 * 1024;
const STDIN = '-';

export type FlowLine =
  | { readonly kind: 'response'; readonly response: GetFlowsResponse }
  /** The line's number, from 1. */
  | { readonly kind: 'unreadable'; readonly line: number };

/** Throws when the file cannot be read. */
export async function* flowLines(from: string, io: Io): AsyncGenerator<FlowLine> {
  const chunks = from === STDIN ? io.stdin : createReadStream(resolve(io.cwd, from));
  const decoder = new TextDecoder();
  let rest = '';
  let number = 0;
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_LENGTH_MAX) {
      throw new Error(`line ${number + 1} has more than ${LINE_LENGTH_MAX} characters`);
    }
    for (const line of lines) {
      number++;
      if (line.trim() !== '') yield read(line, number);
    }
  }
  if (rest.trim() !== '') yield read(rest, number + 1);
}

function read(text: string, line: number): FlowLine {
  const json = parseJson(text, DEFAULT_LIMITS);
  const value = json.kind === 'value' ? json.value : null;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { kind: 'unreadable', line };
  }
  const isResponse = RESPONSES.some((name) => Object.hasOwn(value, name));
  if (!isResponse && !Object.hasOwn(value, 'verdict')) return { kind: 'unreadable', line };
  try {
    const response = isResponse ? value : { flow: value };
    return {
      kind: 'response',
      response: messageOfJson(GetFlowsResponseSchema, response as JsonValue),
    };
  } catch {
    return { kind: 'unreadable', line };
  }
}

const RESPONSES = ['flow', 'lost_events', 'node_status'];
