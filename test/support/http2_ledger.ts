/**
 * What one HTTP/2 peer may find in what it was sent: the rules that the proxy has to keep whatever the
 * other side does. Windows are checked against all that was ever given, so late frames do no harm.
 */
import { framesIn } from '../codec/http2/wire.ts';

const [DATA, HEADERS, RST_STREAM, GOAWAY] = [0, 1, 3, 7];

export interface Grants {
  /** SETTINGS_INITIAL_WINDOW_SIZE, the largest that was ever said. */
  readonly initialWindow: number;
  /** Sum of WINDOW_UPDATE by stream; 0 is the connection. */
  readonly updates: ReadonlyMap<number, number>;
}

const CONNECTION_WINDOW = 65_535;

/** Each rule that was broken, in words. */
export function brokenRules(received: string, grants: Grants): string[] {
  const frames = framesIn([Buffer.from(received, 'latin1')]);
  const broken: string[] = [];
  const over = new Map<number, string>();
  const content = new Map<number, number>();
  let isGoneAway = false;
  for (const { type, flags, streamId, payload } of frames) {
    if (isGoneAway) broken.push('frames after a GOAWAY with an error');
    if (type === GOAWAY) isGoneAway = payload.readUInt32BE(4) !== 0;
    if (type !== DATA && type !== HEADERS && type !== RST_STREAM) continue;
    const end = over.get(streamId);
    // RST_STREAM may follow: once behind an end, and for each frame that comes after the peer's own.
    if (end !== undefined && type !== RST_STREAM)
      broken.push(`type ${type} on ${streamId} after ${end}`);
    if (type === RST_STREAM) over.set(streamId, 'reset');
    else if ((flags & 1) !== 0) over.set(streamId, 'end');
    if (type !== DATA) continue;
    for (const id of [0, streamId]) content.set(id, (content.get(id) ?? 0) + payload.length);
  }
  for (const [id, byteCount] of content) {
    const first = id === 0 ? CONNECTION_WINDOW : grants.initialWindow;
    const given = first + (grants.updates.get(id) ?? 0);
    if (byteCount > given) broken.push(`${byteCount} bytes on ${id}, whose window was ${given}`);
  }
  return broken;
}

/** New streams, in the order in which they came. */
export function openedStreams(received: string): number[] {
  const seen = new Set<number>();
  for (const { type, streamId } of framesIn([Buffer.from(received, 'latin1')])) {
    if (type === HEADERS) seen.add(streamId);
  }
  return [...seen];
}
