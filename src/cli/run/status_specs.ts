/** The argument table of `status`. */
import { OUTPUT_FLAG, type VerbSpec } from '../args.ts';
import { ACCESS_FLAGS } from '../kube_flags.ts';

export const STATUS_SPEC: VerbSpec = {
  name: 'status',
  about:
    'Shows the state of a running proxy: readiness, policies, workers, decisions, unused rules',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [
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
