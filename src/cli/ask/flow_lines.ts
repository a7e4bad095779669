/** Flows of before: lines of a file, of standard input, or of the admin server of a running proxy. */
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { Agent, request } from 'undici';
import type { FlowComparison } from '../../control/compare/flow_changes.ts';
import { parseSocketAddress } from '../../model/address.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Io } from '../io.ts';
import { readErrorText, STDIN } from './sources.ts';

/** Of one line; the longest that a proxy writes is shorter. */
const LINE_LENGTH_MAX = 1024 * 1024;
/** All that it keeps. */
const LAST = 999_999_999;

/** Null: all of them were taken; else why not, in one line. */
export async function readFlowLines(
  from: string,
  io: Io,
  comparison: FlowComparison,
): Promise<string | null> {
  try {
    const address = adminAddress(from);
    if (address !== null) return await takeFromAdmin(address, from, comparison);
    await takeLines(
      from === STDIN ? io.stdin : createReadStream(resolve(io.cwd, from)),
      comparison,
    );
    return null;
  } catch (error) {
    return `--flows: ${readErrorText(error)}`;
  }
}

interface AdminAddress {
  readonly origin: string;
  readonly socketPath: string | null;
}

/** Null: it is the name of a file. */
function adminAddress(from: string): AdminAddress | null {
  if (from.startsWith('unix:')) {
    return { origin: 'http://localhost', socketPath: from.slice('unix:'.length) };
  }
  const address = parseSocketAddress(from.replace(/^localhost:/, '127.0.0.1:'));
  return address === null ? null : { origin: `http://${from}`, socketPath: null };
}

async function takeFromAdmin(
  { origin, socketPath }: AdminAddress,
  from: string,
  comparison: FlowComparison,
): Promise<string | null> {
  const { adminTimeoutMs, connectTimeoutMs } = DEFAULT_LIMITS;
  const agent = new Agent({
    headersTimeout: adminTimeoutMs,
    bodyTimeout: adminTimeoutMs,
    connect: { timeout: connectTimeoutMs, ...(socketPath === null ? {} : { socketPath }) },
  });
  try {
    const { statusCode, body } = await request(`${origin}/flows?last=${LAST}`, {
      dispatcher: agent,
    });
    if (statusCode === 200) {
      await takeLines(body, comparison);
      return null;
    }
    const text = (await body.text()).slice(0, 200).trim();
    return `--flows: ${from} answered ${statusCode}: ${text}`;
  } finally {
    await agent.close();
  }
}

async function takeLines(
  chunks: AsyncIterable<Uint8Array | string>,
  comparison: FlowComparison,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) takeLine(line, comparison);
    if (rest.length > LINE_LENGTH_MAX) {
      throw new Error(`a line has more than ${LINE_LENGTH_MAX} characters`);
    }
  }
  takeLine(rest, comparison);
}

function takeLine(line: string, comparison: FlowComparison): void {
  if (line.trim() === '') return;
  const json = parseJson(line, DEFAULT_LIMITS);
  if (json.kind === 'value') comparison.take(json.value);
  else comparison.unreadable();
}
