/** HTTP/2 peers that send exactly the frames they are told to, and tell in words what they got. */

import { CLIENT_PREFACE } from '../../src/codec/http2/frame.ts';
import { SETTINGS_ACK, settings, told } from '../codec/http2/wire.ts';
import type { Rig } from './plane_rig.ts';
import type { RawClient, RawClientOptions } from './raw_client.ts';
import type { OriginConnection } from './raw_origin.ts';

const LOOK_EVERY_MS = 5;
const GIVE_UP_MS = 8_000;

/** Frames in what was received so far, in words: "HEADERS 1 end", "RST_STREAM 1 CANCEL". */
export function framesOf(peer: { readonly received: string }): string[] {
  return told([Buffer.from(peer.received, 'latin1')]);
}

/** Resolves with all frames so far once `isMet` is true of them. */
export async function untilFrames(
  peer: { readonly received: string },
  isMet: (frames: readonly string[]) => boolean,
): Promise<string[]> {
  const lastMs = performance.now() + GIVE_UP_MS;
  for (;;) {
    const frames = framesOf(peer);
    if (isMet(frames)) return frames;
    if (performance.now() > lastMs) throw new Error(`in vain: ${frames.join(' | ')}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Until each of `wanted` is among them. */
export function untilEach(
  peer: { readonly received: string },
  ...wanted: readonly string[]
): Promise<string[]> {
  return untilFrames(peer, (frames) => wanted.every((one) => frames.includes(one)));
}

/** Preface and SETTINGS sent, ours acknowledged. */
export async function wireClient(
  rig: Rig,
  options: RawClientOptions & { readonly entries?: readonly (readonly [number, number])[] } = {},
): Promise<RawClient> {
  const client = await rig.client(options);
  client.send(Buffer.concat([CLIENT_PREFACE, settings(...(options.entries ?? [])), SETTINGS_ACK]));
  return client;
}

/** The upstream connection of that index, greeted with these SETTINGS. */
export async function wireUpstream(
  rig: Rig,
  options: {
    readonly index?: number;
    readonly entries?: readonly (readonly [number, number])[];
  } = {},
): Promise<OriginConnection> {
  const upstream = await rig.origin.connection(options.index ?? 0);
  upstream.send(Buffer.concat([settings(...(options.entries ?? [])), SETTINGS_ACK]));
  return upstream;
}
