/**
 * Which fields may stand in a trailer section (RFC 9110 6.5.1), and which of one message go on: one rule for
 * both HTTP versions, requests and responses. A trailer is never merged into a head and never satisfies a
 * rule; what a rule changed or asked for in the head does not come back behind the content.
 */
import { NO_FIELDS } from './decision.ts';
import { isAlias, type UnderscoreAction } from './field_alias.ts';

export interface TrailerRule {
  /** Of a request. The upstream's are read more liberally: what may not stand there is left out. */
  readonly isRequest: boolean;
  /** Names that rules looked at or changed in the head of the message, lower case. */
  readonly judged: readonly string[];
  readonly underscores: UnderscoreAction;
}

/** refuse: the whole message is malformed. */
export type TrailerAction = 'keep' | 'drop' | 'refuse';

export const RESPONSE_TRAILERS: TrailerRule = Object.freeze({
  isRequest: false,
  judged: NO_FIELDS,
  underscores: 'allow',
});

/** Of a request that was allowed by what `judged` had in its head (`AllowDecision.judgedFields`). */
export function requestTrailers(
  judged: readonly string[],
  underscores: UnderscoreAction,
): TrailerRule {
  return { isRequest: true, judged, underscores };
}

/** `name` is a token; case does not matter. */
export function trailerAction(name: string, rule: TrailerRule): TrailerAction {
  const { isRequest, judged, underscores } = rule;
  const lower = name.toLowerCase();
  if (FORBIDDEN.has(lower)) return isRequest ? 'refuse' : 'drop';
  if (underscores !== 'allow' && lower.includes('_')) return underscores;
  if (judged.some((other) => other === lower || isAlias(lower, other))) return 'drop';
  return 'keep';
}

/**
 * Framing, routing, request modifiers, authentication, response control and how content is read. Whoever
 * put one there wants a reader that merges.
 */
const FORBIDDEN = new Set([
  'age',
  'authentication-info',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);
