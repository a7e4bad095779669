/** The argument tables of `run`, `version` and `help`. */
import { OUTPUT_FLAG, type VerbSpec } from './args.ts';

export const RUN_SPEC: VerbSpec = {
  name: 'run',
  about: 'Runs the proxy',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [
    { name: 'config', short: 'c', value: 'FILE', about: 'the configuration (YAML or JSON)' },
    {
      name: 'policy',
      short: 'p',
      value: 'PATH',
      isRepeated: true,
      about: 'policy file or directory, instead of `policies`',
    },
    { name: 'endpoints', value: 'FILE', about: 'endpoints file, instead of `endpoints`' },
    { name: 'secrets', value: 'FILE', about: 'secrets file, instead of `secrets`' },
    {
      name: 'admin',
      value: 'ADDRESS',
      about: 'address of the admin server: 127.0.0.1:9901, unix:/path or none',
    },
    { name: 'admin-allow-remote', about: 'let the admin server bind a non-loopback address' },
    { name: 'workers', value: 'COUNT', about: 'number of worker processes' },
    { name: 'access-log', value: 'TO', about: 'where the access log goes: stdout, none or a file' },
    {
      name: 'log-level',
      value: 'LEVEL',
      about: 'least severe level: trace, debug, info, warn, error or silent',
    },
    { name: 'dry-run', about: 'judge, log and count, but let denied requests through' },
    {
      name: 'set',
      value: 'FIELD=VALUE',
      isRepeated: true,
      about: 'any other field of the configuration: limits.headBytesMax=8192',
    },
    { name: 'check-config', about: 'read the configuration, list every problem, and exit' },
  ],
  notes: [
    'A flag overrides the environment (SALLYPORT_ADMIN, SALLYPORT_LIMITS_HEAD_BYTES_MAX, ...), the\n' +
      'environment overrides the file, and the file overrides the default.',
    'SIGTERM and SIGINT drain the proxy; a second signal ends it at once. SIGHUP reads policies,\n' +
      'endpoints and secrets again. SIGUSR1 opens the access log file again.',
  ],
  examples: [
    'sallyport run -c sallyport.yaml',
    'sallyport run -c sallyport.yaml --set limits.headBytesMax=8192 --workers 2',
  ],
};

export const VERSION_SPEC: VerbSpec = {
  name: 'version',
  about: 'Prints the versions of Sallyport and of Node, and the platform',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [OUTPUT_FLAG],
  examples: ['sallyport version -o json'],
};

export const HELP_SPEC: VerbSpec = {
  name: 'help',
  about: 'Prints the verbs, or the help of one',
  argumentsForm: '[VERB]',
  argumentCountMin: 0,
  argumentCountMax: 1,
  flags: [],
  examples: ['sallyport help run'],
};
