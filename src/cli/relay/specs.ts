/** The argument table of `relay`: the flags of `hubble-relay serve` where they mean the same. */
import type { FlagSpec, VerbSpec } from '../args.ts';

const NODES: readonly FlagSpec[] = [
  {
    name: 'node',
    value: '[NAME=]ADDRESS',
    isRepeated: true,
    about: 'a node: HOST:PORT or unix:///path',
  },
  { name: 'nodes-file', value: 'FILE', about: 'nodes, a line each; read again when it changes' },
  {
    name: 'peer-service',
    value: 'ADDRESS',
    isRepeated: true,
    about: 'the nodes that this one tells of, as they come and go',
  },
  {
    name: 'peer-dns',
    value: 'HOST:PORT',
    isRepeated: true,
    about: 'the nodes behind a name, as of a headless Service',
  },
  { name: 'cluster-name', value: 'NAME', about: 'of certificates of nodes (default)' },
  {
    name: 'retry-timeout',
    value: 'DURATION',
    about: 'the longest pause before a node is tried again (30s)',
  },
];

const SORTING: readonly FlagSpec[] = [
  { name: 'sort-buffer-len-max', value: 'COUNT', about: 'flows that are held to be sorted (100)' },
  {
    name: 'sort-buffer-drain-timeout',
    value: 'DURATION',
    about: 'how long a flow is held while somebody follows (1s)',
  },
];

const TLS: readonly FlagSpec[] = [
  { name: 'listen-address', value: 'ADDRESS', about: 'IP:PORT or unix:///path (127.0.0.1:4245)' },
  { name: 'disable-server-tls', about: 'clients beyond this machine by plain text' },
  { name: 'tls-relay-server-cert-file', value: 'FILE', about: 'our certificate for clients' },
  { name: 'tls-relay-server-key-file', value: 'FILE', about: 'its key' },
  { name: 'tls-relay-client-ca-files', value: 'FILE', about: 'who vouches for clients' },
  { name: 'disable-client-tls', about: 'nodes beyond this machine by plain text' },
  { name: 'tls-hubble-client-cert-file', value: 'FILE', about: 'our certificate for nodes' },
  { name: 'tls-hubble-client-key-file', value: 'FILE', about: 'its key' },
  {
    name: 'tls-hubble-server-ca-files',
    value: 'FILES',
    isRepeated: true,
    about: 'who vouches for nodes',
  },
];

export const RELAY_SPEC: VerbSpec = {
  name: 'relay',
  about: 'Serves the flows of many nodes at one place, as hubble-relay does',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [...NODES, ...SORTING, ...TLS],
  notes: [
    'Without certificates it listens on a loopback address and asks nodes of this machine only, unless\n' +
      '--disable-server-tls and --disable-client-tls say otherwise. Files of certificates are read again.',
    'Exit code 0: it was told to end, 1: it cannot listen, 2: wrong usage.',
  ],
  examples: [
    'sallyport relay --node a=unix:///run/a/hubble.sock --node b=127.0.0.1:4244',
    'sallyport relay --peer-service unix:///run/sallyport/hubble.sock --disable-client-tls',
  ],
};
