/** The argument tables of what asks a running proxy. */
import { type FlagSpec, OUTPUT_FLAG, type VerbSpec } from '../args.ts';
import { ACCESS_FLAGS } from '../kube_flags.ts';

const PLACE_FLAGS: readonly FlagSpec[] = [
  {
    name: 'admin',
    value: 'ADDRESS',
    about: 'the admin server of the proxy: 127.0.0.1:9901 or unix:/path',
  },
  {
    name: 'config',
    short: 'c',
    value: 'FILE',
    about: 'or the configuration that names the admin server',
  },
];

export const STATUS_SPEC: VerbSpec = {
  name: 'status',
  about:
    'Shows the state of a running proxy: readiness, policies, workers, decisions, unused rules',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [
    ...PLACE_FLAGS,
    {
      name: 'kube',
      about: 'or a Kubernetes cluster: the proxies of all nodes, as its API has them',
    },
    ...ACCESS_FLAGS,
    {
      name: 'strict',
      about:
        'exit code 1 also when the newest policy set was rejected (STALE), or a policy refused',
    },
    { name: 'all', about: 'list every row, even when there are many' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Without these flags, the address is that of SALLYPORT_ADMIN, else of the configuration that\n' +
      'SALLYPORT_CONFIG names, else 127.0.0.1:9901.',
    'With --kube the nodes and pods of the DaemonSet are told, and policies that proxies refused. What\n' +
      'only a proxy knows (its revision, its counters) is told by `status` in its pod.',
    'Exit code 0: ready, 1: not ready or not reachable, 2: wrong usage.',
  ],
  examples: [
    'sallyport status --admin 127.0.0.1:9901',
    'sallyport status -c sallyport.yaml -o json',
    'sallyport status --kube',
  ],
};

export const FQDN_SPEC: VerbSpec = {
  name: 'fqdn',
  about: 'Lists the addresses that names have in a running proxy, as DNS answers said',
  argumentsForm: 'cache list',
  argumentCountMin: 2,
  argumentCountMax: 2,
  flags: [
    ...PLACE_FLAGS,
    { name: 'endpoint', short: 'e', value: 'NAME', about: 'those that this endpoint asked for' },
    { name: 'matchpattern', short: 'p', value: 'PATTERN', about: 'those whose name it selects' },
    {
      name: 'source',
      value: 'SOURCE',
      about:
        'lookup, or connection: those that are kept only because a connection to them is or was open',
    },
    OUTPUT_FLAG,
  ],
  notes: [
    'Columns are those of `cilium-dbg fqdn cache list`. TTL: seconds that are left of it. Until the time of\n' +
      'expiration, policy still knows the address by the name (docs/dns.md).',
    'Without --admin and --config, the address is found as `status` finds it.',
    'Exit code 0: listed, 1: not reachable, 2: wrong usage.',
  ],
  examples: [
    'sallyport fqdn cache list -c sallyport.yaml',
    "sallyport fqdn cache list -e shop/web -p '*.amazonaws.com' -o json",
  ],
};
