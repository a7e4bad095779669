/** What every connection of a data plane shares: options, clocks, and the two states of the whole. */
import type { RequestParserOptions } from '../../codec/http1/request_parser.ts';
import { TurnWrites } from './gathered_write.ts';
import { ContentMemory } from './memory/content_memory.ts';
import { ReadMemory } from './memory/read_memory.ts';
import type { DataPlaneOptions } from './options.ts';
import { OwnAddresses } from './own_addresses.ts';
import { Shares } from './shares.ts';

export interface Plane {
  readonly options: DataPlaneOptions;
  /** One object for all parsers of HTTP/1.1: a connection has two. */
  readonly parsing: RequestParserOptions;
  readonly readMemory: ReadMemory;
  readonly contentMemory: ContentMemory;
  readonly turnWrites: TurnWrites;
  readonly ownAddresses: OwnAddresses;
  /** Who holds what of the worker, and who makes room at its bounds. */
  readonly shares: Shares;
  /** The same of DNS questions by UDP, of all listeners. */
  readonly questionShares: Shares;
  /** No new request is taken. */
  isDraining: boolean;
}

export function newPlane(options: DataPlaneOptions): Plane {
  const { limits, platform, recorder, behaviour } = options;
  const { releaseYoung = null, releaseAll = null } = platform.memory ?? {};
  return {
    options,
    parsing: { ...behaviour, limits },
    readMemory: new ReadMemory(limits.readMemoryBytesMax, releaseYoung),
    contentMemory: new ContentMemory(limits),
    turnWrites: new TurnWrites(platform.soon),
    ownAddresses: new OwnAddresses(),
    shares: new Shares(limits, recorder, releaseAll),
    questionShares: new Shares(
      { ...limits, connectionCountMax: limits.dnsQuestionCountMax },
      recorder,
      null,
      'questions',
    ),
    isDraining: false,
  };
}
