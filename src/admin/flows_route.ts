/** `GET /flows`: the last flows, and those that come, one JSON document a line. */
import type { Flow } from '../model/flow.ts';
import { jsonDocument } from '../model/json_document.ts';
import { flowDocument } from '../observe/flow/flow_document.ts';
import { asciiOf } from '../observe/log/json_text.ts';
import type { AdminBackend } from './backend.ts';
import { type AdminReply, type AdminRequest, errorReply, type LineFeed } from './reply.ts';

const LAST_DEFAULT = 20;
/** A line may have 50 KiB: so many are one string, and the client reads them before more are made. */
const FOLLOWED_COUNT = 64;
/** Of one reply about the past: a few seconds at a terminal, and some tenths of one to make. */
const LAST_LENGTH_MAX = 32 * 1024 * 1024;
const CONTENT_TYPE = 'application/jsonl; charset=utf-8';
const BOOLEANS: ReadonlyMap<string | null, boolean> = new Map([
  [null, false],
  ['', true],
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

export function flowsReply({ query }: AdminRequest, backend: AdminBackend): AdminReply {
  const isFollowed = BOOLEANS.get(query.get('follow'));
  if (isFollowed === undefined) return errorReply(400, 'follow must be true or false');
  const count = countOf(query.get('last') ?? String(isFollowed ? 0 : LAST_DEFAULT));
  if (count === null) return errorReply(400, 'last must be a whole number');
  const last = count === 0 ? [] : backend.lastFlows(count);
  if (last === null) {
    return errorReply(400, 'no flows are kept: set limits.flowRingCountMax, or give ?follow=true');
  }
  // In one turn: no flow comes twice, and none between the two.
  const more = isFollowed ? feedOf(backend) : undefined;
  if (more === null) return errorReply(503, 'too many follow flows already');
  const reply = { status: 200, contentType: CONTENT_TYPE, body: linesOf(last) };
  return more === undefined ? reply : { ...reply, more };
}

function countOf(text: string): number | null {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : null;
}

function feedOf(backend: AdminBackend): LineFeed | null {
  let tell = (): void => {};
  const feed = backend.followFlows(() => tell());
  if (feed === null) return null;
  return {
    get isEnded() {
      return feed.isEnded;
    },
    start(onReady) {
      tell = onReady;
      // What has come meanwhile.
      onReady();
    },
    take() {
      const { flows, lostCount } = feed.take(FOLLOWED_COUNT);
      return flows.map(lineOf).join('') + (lostCount === 0 ? '' : lostLine(lostCount));
    },
    close: () => feed.close(),
  };
}

/** The youngest, so many as may be told at once. */
function linesOf(flows: readonly Flow[]): string {
  const lines: string[] = [];
  let length = 0;
  for (const [at, flow] of [...flows.entries()].reverse()) {
    const line = lineOf(flow);
    length += line.length;
    if (length > LAST_LENGTH_MAX) {
      lines.push(lostLine(at + 1));
      break;
    }
    lines.push(line);
  }
  return lines.reverse().join('');
}

function lineOf(flow: Flow): string {
  return `${asciiOf(JSON.stringify(jsonDocument('Flow', flowDocument(flow))))}\n`;
}

/** Flows that came between the line before and the next one, and were more than could be taken. */
function lostLine(count: number): string {
  return `${JSON.stringify(jsonDocument('LostFlows', { count }))}\n`;
}
