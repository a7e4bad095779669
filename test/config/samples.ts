/** Configurations that are accepted or rejected for their shape, by the decoder and the schema alike. */
export const MINIMAL = {
  listeners: [{ name: 'api', address: '127.0.0.1:0', direction: 'ingress' }],
};

const listener = MINIMAL.listeners[0];

function withListener(fields: Record<string, unknown>): unknown {
  return { listeners: [{ ...listener, ...fields }] };
}

export const ACCEPTED: Readonly<Record<string, unknown>> = {
  minimal: MINIMAL,
  everything: {
    admin: '127.0.0.1:9901',
    adminAllowRemote: false,
    workers: 2,
    logLevel: 'debug',
    accessLog: {
      to: 'logs/access.log',
      headers: ['x-request-id'],
      query: true,
      allowSampling: 0.5,
    },
    policies: ['policies/', 'more.yaml'],
    endpoints: 'endpoints.yaml',
    secrets: 'secrets.yaml',
    behaviour: {
      dryRun: true,
      http10: true,
      trailers: true,
      pathNormalisation: false,
      denial: {
        status: 404,
        body: 'no\n',
        contentType: 'text/html; charset=utf-8',
        showReason: true,
      },
    },
    limits: {
      headBytesMax: 8192,
      idleTimeoutMs: '10s',
      bufferBytesMax: '64KiB',
      requestTimeoutMs: 0,
    },
    listeners: [
      {
        name: 'a.b-c_d',
        address: '[::1]:0',
        direction: 'egress',
        proxyId: 65535,
        destination: '10.0.0.7:8080',
        upstream: '127.0.0.1:9001',
        identity: 4294967295,
      },
      { ...listener, name: 'b', destination: 'local-address', upstream: 'original-destination' },
      { ...listener, name: 'c', destination: 'proxy-protocol', identity: ['endpoints'] },
    ],
  },
  'admin on a unix socket': { ...MINIMAL, admin: 'unix:/run/sallyport.sock' },
  'admin off': { ...MINIMAL, admin: 'none' },
  'no policies': { ...MINIMAL, policies: [] },
  'an empty section': { ...MINIMAL, limits: {}, behaviour: {}, accessLog: {} },
  'highest port': withListener({ address: '127.0.0.1:65535' }),
};

export const REJECTED: Readonly<Record<string, unknown>> = {
  'no listeners': {},
  'an empty list of listeners': { listeners: [] },
  'listeners not in a list': { listeners: listener },
  'an unknown field': { ...MINIMAL, listener: [] },
  'an unknown limit': { ...MINIMAL, limits: { headBytes: 1 } },
  'an unknown field of a listener': withListener({ port: 80 }),
  'a limit below its range': { ...MINIMAL, limits: { headBytesMax: 1023 } },
  'a limit above its range': { ...MINIMAL, limits: { headBytesMax: 1048577 } },
  'a limit that is no integer': { ...MINIMAL, limits: { headFieldCountMax: 1.5 } },
  'a limit with an unknown unit': { ...MINIMAL, limits: { idleTimeoutMs: '10d' } },
  'a count with a unit': { ...MINIMAL, limits: { headFieldCountMax: '10s' } },
  'a number as text': { ...MINIMAL, workers: '2' },
  'no workers': { ...MINIMAL, workers: 0 },
  'a boolean as text': { ...MINIMAL, behaviour: { dryRun: 'true' } },
  'null for a boolean': { ...MINIMAL, behaviour: { dryRun: null } },
  'a policy path that is no text': { ...MINIMAL, policies: [1] },
  'policies that are no list': { ...MINIMAL, policies: 'policies/' },
  'an empty path': { ...MINIMAL, endpoints: '' },
  'an unknown log level': { ...MINIMAL, logLevel: 'verbose' },
  'a header name in upper case': { ...MINIMAL, accessLog: { headers: ['X-Id'] } },
  'a sampling above one': { ...MINIMAL, accessLog: { allowSampling: 1.01 } },
  'a denial that allows': { ...MINIMAL, behaviour: { denial: { status: 200 } } },
  'a content type with a line break': {
    ...MINIMAL,
    behaviour: { denial: { contentType: 'text/plain\r\nx: y' } },
  },
  'a listener without a name': { listeners: [{ address: '127.0.0.1:0', direction: 'ingress' }] },
  'a listener without an address': { listeners: [{ name: 'a', direction: 'ingress' }] },
  'a listener without a direction': { listeners: [{ name: 'a', address: '127.0.0.1:0' }] },
  'an unknown direction': withListener({ direction: 'inward' }),
  'a name with a space': withListener({ name: 'a b' }),
  'an address without a port': withListener({ address: '127.0.0.1' }),
  'a host name': withListener({ address: 'localhost:80' }),
  'an octet above 255': withListener({ address: '256.0.0.1:80' }),
  'an octet with a leading zero': withListener({ address: '127.0.0.01:80' }),
  'a port above 65535': withListener({ address: '127.0.0.1:65536' }),
  'an IPv6 address without brackets': withListener({ address: '::1:80' }),
  'an IPv4 address in brackets': withListener({ address: '[127.0.0.1]:80' }),
  'a destination port of 0': withListener({ destination: '10.0.0.7:0' }),
  'an unknown destination': withListener({ destination: 'local' }),
  'an upstream that is a URL': withListener({ upstream: 'http://127.0.0.1:80' }),
  'a negative identity': withListener({ identity: -1 }),
  'an identity of 33 bits': withListener({ identity: 4294967296 }),
  'no identity source': withListener({ identity: [] }),
  'an unknown identity source': withListener({ identity: ['dns'] }),
  'an identity source that is not built': withListener({ identity: ['bpf-ipcache'] }),
  'a proxy id above 16 bits': withListener({ proxyId: 65536 }),
  'an admin path that is relative': { ...MINIMAL, admin: 'unix:sallyport.sock' },
  'an admin port alone': { ...MINIMAL, admin: 9901 },
  'a list for the whole': [MINIMAL],
};
