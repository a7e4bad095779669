/** The argument table of `status`. */
import { OUTPUT_FLAG, type VerbSpec } from '../args.ts';

export const STATUS_SPEC: VerbSpec = {
  name: 'status',
  about: 'Shows how a running proxy is: readiness, policies, workers, decisions, unused rules',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [
    { name: 'admin', value: 'ADDRESS', about: 'its admin server: 127.0.0.1:9901 or unix:/path' },
    { name: 'config', short: 'c', value: 'FILE', about: 'or the configuration that names it' },
    { name: 'strict', about: 'exit code 1 also when the newest policy set was rejected (STALE)' },
    { name: 'all', about: 'list every unused rule, also where there are many' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Without flags: SALLYPORT_ADMIN, then the configuration that SALLYPORT_CONFIG names, then\n' +
      '127.0.0.1:9901. Exit code 0: ready, 1: not ready or not reachable, 2: wrong usage.',
  ],
  examples: [
    'sallyport status --admin 127.0.0.1:9901',
    'sallyport status -c sallyport.yaml -o json',
  ],
};
