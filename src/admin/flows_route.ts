/** `GET /flows`: the last flows, and those that come, one JSON document a line. */
import type { Flow } from '../model/flow.ts';
import { jsonDocument } from '../model/json_document.ts';
import { flowDocument } from '../observe/flow/flow_document.ts';
import { asciiOf } from '../observe/log/json_text.ts';
import type { AdminBackend } from './backend.ts';
import { type AdminReply, type AdminRequest, errorReply, type LineFeed } from './reply.ts';

const LAST_DEFAULT = 20;
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
  const body = last.map(lineOf).join('');
  const reply = { status: 200, contentType: CONTENT_TYPE, body };
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
      const { flows, lostCount } = feed.take();
      return flows.map(lineOf).join('') + (lostCount === 0 ? '' : lostLine(lostCount));
    },
    close: () => feed.close(),
  };
}

function lineOf(flow: Flow): string {
  return `${asciiOf(JSON.stringify(jsonDocument('Flow', flowDocument(flow))))}\n`;
}

/** Flows that came between the line before and the next one, and were more than could be taken. */
function lostLine(count: number): string {
  return `${JSON.stringify(jsonDocument('LostFlows', { count }))}\n`;
}
