/**
 * The rule that was broken, as one word of a fixed vocabulary: a fault says what became of the request,
 * a detail says why. Never a part of what the peer sent. What Envoy's users know as
 * response_code_details. docs/observability.md lists them all; a test holds that it does.
 */
import { FAULTS, type Fault } from './fault.ts';

export interface DetailSpec {
  /** The fault that it is in a request. In a response it is the upstream's (`upstreamFaultOf`). */
  readonly fault: Fault;
  /** It is about one byte, whose place and value are told. */
  readonly isOfByte: boolean;
  readonly about: string;
}

export const DETAILS = {
  // the start line
  'method-character': byte('malformed-request-line', 'a byte that is not allowed in a method'),
  'method-too-long': rule('method-too-long', 'more than methodBytesMax'),
  'method-connect': rule('connect-refused', 'CONNECT'),
  'target-missing': rule('malformed-request-line', 'nothing between the method and the version'),
  'target-too-long': rule('target-too-long', 'more than targetBytesMax'),
  'version-missing': rule('malformed-request-line', 'the line ends after the target (HTTP/0.9)'),
  'version-form': byte('malformed-request-line', 'not HTTP/ and two digits with a dot, or more'),
  'version-unknown': rule('unsupported-version', 'neither 1.0 nor 1.1'),
  'version-http10': rule('http10-refused', 'HTTP/1.0, which is not enabled'),
  'status-form': byte('malformed-response', 'not three digits and a space'),
  'status-range': rule('malformed-response', 'a status below 100'),
  'reason-character': byte('malformed-response', 'a byte that is not allowed in a reason phrase'),
  'start-line-bare-lf': byte('malformed-request-line', 'a start line that LF ends without CR'),
  'start-line-bare-cr': byte('malformed-request-line', 'CR without LF in or before a start line'),

  // the target
  'target-form': rule('malformed-target', 'no path, no absolute URI with a host, no "*"'),
  'target-character': byte('malformed-target', 'a byte that is not allowed in a target'),
  'target-scheme': rule('malformed-target', 'a scheme other than http'),
  'target-authority': rule('malformed-target', 'the host in it is not valid'),
  'target-asterisk': rule('malformed-target', '"*" with a method other than OPTIONS'),
  'path-character': byte('malformed-target', 'a backslash in a path'),
  'path-escape': byte('malformed-target', '"%u", which some servers decode'),
  'path-hidden-dots': rule(
    'malformed-target',
    'a segment that some read as "." or "..": before a ";", encoded twice, in overlong UTF-8',
  ),
  'path-parameter': rule('malformed-target', 'a ";", which pathParameters refuses here'),
  'path-escaped-control': byte('malformed-target', 'a percent-encoded control character'),

  // fields
  'field-bare-lf': byte('malformed-field', 'a line that LF ends without CR'),
  'field-bare-cr': byte('malformed-field', 'CR without LF'),
  'field-name-empty': byte('malformed-field', 'a line that begins with the colon'),
  'field-name-character': byte('malformed-field', 'a byte that is not allowed in a name'),
  'field-name-space': byte('malformed-field', 'white space between the name and the colon'),
  'field-colon-missing': byte('malformed-field', 'a line without a colon'),
  'field-folded': byte('malformed-field', 'a line that begins with white space (obs-fold)'),
  'field-name-underscore': rule(
    'underscore-field',
    'a name with an underscore, which is refused here',
  ),
  'field-value-character': byte('malformed-field', 'a control character in a value'),
  'field-count': rule('head-too-large', 'more lines than allowed'),
  'head-bytes': rule('head-too-large', 'more bytes than allowed'),
  'field-of-connection': rule('malformed-field', 'a field of the connection, which HTTP/2 forbids'),
  'te-value': rule('malformed-field', 'TE other than "trailers" at HTTP/2'),
  'connection-form': rule('malformed-field', 'Connection is no list of names'),
  'connection-nominates': rule('malformed-field', 'Connection names a field that must stay'),
  'trailer-forbidden': rule('malformed-field', 'a field that may not be a trailer'),
  'trailers-not-last': rule('malformed-field', 'something follows the trailers'),
  'expectation-unknown': rule('malformed-expect', 'Expect other than one 100-continue'),

  // the host
  'host-missing': rule('malformed-host', 'no Host, no :authority'),
  'host-repeated': rule('malformed-host', 'more than one Host'),
  'host-empty': rule('malformed-host', 'an empty Host'),
  'host-userinfo': rule('malformed-host', 'user information before the host'),
  'host-character': byte('malformed-host', 'a byte that is not allowed in a host'),
  'host-address': rule('malformed-host', 'brackets without an IPv6 address'),
  'host-port': rule('malformed-host', 'a port that is no number up to 65535'),
  'host-differs': rule('malformed-host', 'Host, :authority or the target name different hosts'),

  // pseudo-fields
  'pseudo-missing': rule('malformed-pseudo-field', 'one that must be there is not'),
  'pseudo-repeated': rule('malformed-pseudo-field', 'one stands twice'),
  'pseudo-empty': rule('malformed-pseudo-field', 'one is empty'),
  'pseudo-unknown': rule('malformed-pseudo-field', 'one that is not known, or not offered'),
  'pseudo-late': rule('malformed-pseudo-field', 'one stands after a field'),
  'pseudo-value': rule('malformed-pseudo-field', 'one has a value that is not allowed'),

  // how long the content is
  'length-form': rule('malformed-content-length', 'not one number'),
  'length-repeated': rule('malformed-content-length', 'more than one Content-Length'),
  'length-too-large': rule('malformed-content-length', 'a number above 2^53 - 1'),
  'length-mismatch': rule(
    'malformed-content-length',
    'the content is longer or shorter than Content-Length says',
  ),
  'length-forbidden': rule('malformed-response', 'a length or coding with status 1xx or 204'),
  'length-tab': rule('malformed-content-length', 'a tab around a length'),
  'coding-tab': rule('malformed-transfer-encoding', 'a tab around a transfer coding'),
  'two-framings': rule('ambiguous-framing', 'both Content-Length and Transfer-Encoding'),
  'coding-form': rule('malformed-transfer-encoding', 'codings that do not end in one "chunked"'),
  'coding-repeated': rule('malformed-transfer-encoding', 'more than one Transfer-Encoding'),
  'coding-http10': rule('malformed-transfer-encoding', 'a transfer coding at HTTP/1.0'),
  'coding-unknown': rule('unsupported-coding', 'a transfer coding other than chunked'),
  'chunk-size-form': byte('malformed-chunk', 'no hexadecimal number'),
  'chunk-size-too-large': rule('malformed-chunk', 'more than 15 digits, or above 2^53 - 1'),
  'chunk-line-end': byte('malformed-chunk', 'a line of the chunked coding without CR LF'),
  'chunk-data-end': byte('malformed-chunk', 'no CR LF where the size says that the data ends'),
  'chunk-extension-form': byte('malformed-chunk', 'a chunk extension that breaks its grammar'),
  'chunk-extension-too-long': rule('chunk-extension-too-long', 'more bytes than allowed'),

  // upgrades
  'upgrade-form': rule('malformed-upgrade', 'not one protocol'),
  'upgrade-content': rule('malformed-upgrade', 'an upgrade together with content'),
  'upgrade-close': rule('malformed-upgrade', 'an upgrade together with Connection: close'),

  // responses only
  'response-unasked': rule('unsolicited-response', 'bytes when no response was awaited'),
  'response-early': rule('unsolicited-response', 'a response before its request was sent'),
  'informational-count': rule('malformed-response', 'more 1xx than informationalResponseCountMax'),
  'informational-final': rule(
    'malformed-response',
    '1xx from HTTP/1.0, or one that ends something',
  ),
  'switch-unasked': rule(
    'unexpected-upgrade',
    '101 to a request that asked for no upgrade, or another one',
  ),
  'switch-form': rule('malformed-response', '101 that does not name the one protocol'),
  'chunked-to-http10': rule('malformed-response', 'chunked content for a client of HTTP/1.0'),
  'data-before-head': rule('malformed-response', 'content before the head'),

  // connections to an upstream that were never made, as the system tells
  'tcp-refused': rule('connect-failed', 'nothing listens there (ECONNREFUSED)'),
  'tcp-unreachable': rule('connect-failed', 'no way to the host or to its network'),
  'tcp-timed-out': rule('connect-failed', 'the kernel gave up before connectTimeoutMs (ETIMEDOUT)'),
  'tcp-reset': rule('connect-failed', 'reset while it was being made'),
  'tcp-forbidden': rule('connect-failed', 'a filter of this machine forbids it (EACCES, EPERM)'),
  'tcp-no-local-port': rule('connect-failed', 'no local address or port is left to connect from'),
  'tcp-no-descriptor': rule('connect-failed', 'no file descriptor or memory is left here'),
  'tcp-other': rule('connect-failed', 'another error of the system'),

  // the PROXY protocol header
  'proxy-missing': rule('malformed-proxy-protocol', 'the first bytes begin no PROXY header'),
  'proxy-too-long': rule(
    'malformed-proxy-protocol',
    'more than proxyProtocolBytesMax, or 107 bytes of version 1',
  ),
  'proxy-form': rule('malformed-proxy-protocol', 'version 1 without two addresses and two ports'),
  'proxy-address': rule('malformed-proxy-protocol', 'an address or a port that is not valid'),
  'proxy-family': rule('malformed-proxy-protocol', 'something other than TCP over IPv4 or IPv6'),
  'proxy-command': rule('malformed-proxy-protocol', 'not version 2, or neither LOCAL nor PROXY'),
  'proxy-too-short': rule('malformed-proxy-protocol', 'shorter than its addresses'),
  'proxy-tlv': rule('malformed-proxy-protocol', 'a TLV that does not fit'),
  'proxy-checksum': rule('malformed-proxy-protocol', 'a wrong CRC32c, or more than one'),

  // the ClientHello of TLS
  'hello-too-long': rule('malformed-client-hello', 'more than detectBytesMax'),
  'hello-record': rule(
    'malformed-client-hello',
    'a record that is no TLS handshake, or of a wrong size',
  ),
  'hello-message': rule('malformed-client-hello', 'another message of the handshake'),
  'hello-behind': rule('malformed-client-hello', 'bytes after it in its record'),
  'hello-version': rule('malformed-client-hello', 'a version that is not known'),
  'hello-form': rule('malformed-client-hello', 'the lengths in it do not match its parts'),
  'hello-extensions': rule(
    'malformed-client-hello',
    'an extension stands twice, or is longer than its list',
  ),
  'hello-server-name': rule(
    'malformed-client-hello',
    'a server name that is not exactly one DNS name',
  ),
  'hello-alpn': rule('malformed-client-hello', 'a list of protocols (ALPN) that cannot be read'),

  // rules of an HTTP/2 connection
  'h2-preface': rule('http2-error', 'not the preface of a client'),
  'h2-settings-missing': rule('http2-error', 'the first frame is not SETTINGS'),
  'h2-settings-value': rule('http2-error', 'SETTINGS with a value out of range'),
  'h2-settings-timeout': rule('http2-error', 'no SETTINGS, or no acknowledgement, in time'),
  'h2-frame-size': rule('http2-error', 'a frame of a size that is not allowed'),
  'h2-padding': rule('http2-error', 'padding as long as its frame'),
  'h2-headers-form': rule('http2-error', 'HEADERS too short for what its flags say'),
  'h2-hpack': rule('http2-error', 'a header block that cannot be decoded'),
  'h2-in-block': rule(
    'http2-error',
    'a frame within a header block, or CONTINUATION without a header block',
  ),
  'h2-stream-zero': rule('http2-error', 'a frame on stream 0 that belongs to a stream'),
  'h2-stream-nonzero': rule('http2-error', 'a frame on a stream that belongs to the connection'),
  'h2-stream-idle': rule('http2-error', 'a frame on a stream that was never opened'),
  'h2-stream-ended': rule('http2-error', 'a frame after END_STREAM'),
  'h2-stream-number': rule('http2-error', 'HEADERS on a stream that the peer may not open'),
  'h2-self-dependency': rule('http2-error', 'a stream that depends on itself'),
  'h2-push': rule('http2-error', 'PUSH_PROMISE'),
  'h2-window-zero': rule('http2-error', 'WINDOW_UPDATE of 0'),
  'h2-window-overflow': rule('http2-error', 'a window above 2^31 - 1'),
  'h2-window-exceeded': rule('http2-error', 'more content than the window'),

  // what only costs us work, beyond its budget
  'h2-many-resets': rule('http2-abuse', 'streams that were reset'),
  'h2-many-refused': rule('http2-abuse', 'streams that were refused'),
  'h2-many-malformed': rule('http2-abuse', 'requests that were malformed'),
  'h2-many-settings': rule('http2-abuse', 'SETTINGS'),
  'h2-many-pings': rule('http2-abuse', 'PING'),
  'h2-many-goaways': rule('http2-abuse', 'GOAWAY'),
  'h2-many-window-updates': rule('http2-abuse', 'WINDOW_UPDATE'),
  'h2-many-priorities': rule('http2-abuse', 'PRIORITY'),
  'h2-many-unknown': rule('http2-abuse', 'frames of unknown types'),
  'h2-many-empty': rule('http2-abuse', 'empty frames'),
  'h2-many-late': rule('http2-abuse', 'frames of streams that are over'),
  'h2-block-too-large': rule(
    'http2-abuse',
    'a header block with more bytes or frames than allowed',
  ),
  'h2-answers-unread': rule('http2-abuse', 'answers that are not read'),
  'h2-frames-unread': rule('http2-abuse', 'frames that are not read'),
} as const satisfies Record<string, DetailSpec>;

export type Detail = keyof typeof DETAILS;

/** A detail, and the byte at fault if it is of one. Made only when something is wrong. */
export class Cause {
  readonly detail: Detail;
  /**
   * From the first byte of the head, of the content as it was framed, or of the trailers; at HTTP/2, of the
   * value. -1: it is of no byte.
   */
  readonly offset: number;
  /** 0 to 255, or -1. */
  readonly byte: number;

  constructor(detail: Detail, offset: number, byte: number) {
    const { isOfByte } = DETAILS[detail];
    this.detail = detail;
    this.offset = isOfByte ? offset : -1;
    this.byte = isOfByte ? byte : -1;
  }

  /** As a client's request has it. */
  get fault(): Fault {
    return DETAILS[this.detail].fault;
  }
}

const CAUSES: ReadonlyMap<Detail, Cause> = new Map(
  (Object.keys(DETAILS) as Detail[]).map((detail) => [detail, new Cause(detail, -1, -1)]),
);

/** One that is of no byte: always the same object. */
export function causeOf(detail: Detail): Cause {
  return CAUSES.get(detail) as Cause;
}

/** The same in what an upstream sends: it has few faults, as its client can do nothing about them. */
export function upstreamFaultOf({ fault }: Cause): Fault {
  if (FAULTS[fault].blame === 'upstream') return fault;
  if (fault === 'head-too-large') return 'response-head-too-large';
  return fault === 'http2-error' || fault === 'http2-abuse'
    ? 'upstream-http2-error'
    : 'malformed-response';
}

function rule(fault: Fault, about: string): DetailSpec {
  return { fault, isOfByte: false, about };
}

function byte(fault: Fault, about: string): DetailSpec {
  return { fault, isOfByte: true, about };
}
