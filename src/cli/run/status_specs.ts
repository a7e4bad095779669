/** The argument table of `status`. */
import { OUTPUT_FLAG, type VerbSpec } from '../args.ts';

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
    { name: 'strict', about: 'exit code 1 also when the newest policy set was rejected (STALE)' },
    { name: 'all', about: 'list every unused rule, even when there are many' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Without these flags, the address is that of SALLYPORT_ADMIN, else of the configuration that\n' +
      'SALLYPORT_CONFIG names, else 127.0.0.1:9901.',
    'Exit code 0: ready, 1: not ready or not reachable, 2: wrong usage.',
  ],
  examples: [
    'sallyport status --admin 127.0.0.1:9901',
    'sallyport status -c sallyport.yaml -o json',
  ],
};
