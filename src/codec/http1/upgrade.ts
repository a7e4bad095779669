/**
 * What a request asks to switch to (RFC 9110 7.8), and whether a tunnel of it is offered. An Upgrade line without
 * `Connection: upgrade`, or from HTTP/1.0, asks for nothing and is taken out. With it, what follows the request
 * may be anything, so one that has more than one reading is refused rather than served: its tunnel bytes would
 * be read as requests.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import type { ConnectionOptions } from './connection_options.ts';
import { UPGRADE } from './field_kind.ts';
import { joinedValue } from './field_lines.ts';
import { FRAMING_NONE } from './framing.ts';
import type { HeadScanner } from './head_scanner.ts';
import { equalsText, isToken, trimBlanks } from './syntax.ts';

export interface AskedUpgrade {
  /** The one protocol that becomes a tunnel, lower case; '' for a plain request. */
  readonly protocol: string;
  /** Another one was asked for, which must not be served as if it were not. */
  readonly isRefused: boolean;
}

const NONE: AskedUpgrade = Object.freeze({ protocol: '', isRefused: false });
const REFUSED: AskedUpgrade = Object.freeze({ protocol: '', isRefused: true });

/**
 * Other ways to speak HTTP: a client offers them and goes on without (RFC 9110 7.8: a server may ignore it).
 * A tunnel of one would carry requests that nobody judges.
 */
const IGNORED = new Set(['h2c', 'h2', 'http', 'tls']);

/** `offered` are protocols in lower case, such as "websocket" or "spdy/3.1". */
export function upgradeOf(
  raw: Buffer,
  scanner: HeadScanner,
  message: {
    readonly options: ConnectionOptions;
    readonly framing: number;
    readonly offered: readonly string[];
  },
): AskedUpgrade | Cause {
  const count = scanner.counts[UPGRADE] as number;
  if (count === 0 || !message.options.isUpgrade || scanner.isHttp10) return NONE;
  const value = joinedValue(raw, scanner.fieldsStart, UPGRADE).toLowerCase();
  const protocols = value.split(',').map(trimBlanks);
  if (!protocols.every(isProtocol)) return causeOf('upgrade-form');
  if (protocols.every(isIgnored)) return NONE;
  const [protocol = ''] = protocols;
  if (!message.offered.includes(protocol) && protocols.length === 1) return REFUSED;
  // More than one, and the upstream would choose.
  if (protocols.length > 1) return causeOf('upgrade-form');
  if (message.options.isClose) return causeOf('upgrade-close');
  const hasContent = message.framing !== FRAMING_NONE && message.framing !== 0;
  if (hasContent && !mayHaveContent(raw, scanner)) return causeOf('upgrade-content');
  return { protocol, isRefused: false };
}

/** RFC 9110 7.8: protocol-name ["/" protocol-version]. */
export function isProtocol(text: string): boolean {
  const slash = text.indexOf('/');
  if (slash === -1) return isToken(text);
  return isToken(text.slice(0, slash)) && isToken(text.slice(slash + 1));
}

function isIgnored(protocol: string): boolean {
  const slash = protocol.indexOf('/');
  return IGNORED.has(slash === -1 ? protocol : protocol.slice(0, slash));
}

/** `docker exec` sends its options so. Content of others may be ignored, and then it is in the tunnel. */
function mayHaveContent(raw: Buffer, { methodEnd }: HeadScanner): boolean {
  return equalsText(raw, 0, methodEnd, 'POST');
}
