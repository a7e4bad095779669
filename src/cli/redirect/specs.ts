/** The argument table of `redirect`. */
import type { VerbSpec } from '../args.ts';

export const REDIRECT_ACTIONS = ['up', 'down', 'status'] as const;

export type RedirectAction = (typeof REDIRECT_ACTIONS)[number];

export const REDIRECT_SPEC: VerbSpec = {
  name: 'redirect',
  about: "Enforces policy in this node's kernel, and sends connections with L7 rules to the proxy",
  argumentsForm: REDIRECT_ACTIONS.join('|'),
  argumentCountMin: 1,
  argumentCountMax: 1,
  flags: [
    { name: 'config', short: 'c', value: 'FILE', about: "the proxy's configuration" },
    {
      name: 'follow',
      about: 'for up: keep running, and follow policies, endpoints and interfaces',
    },
    {
      name: 'output',
      short: 'o',
      value: 'FORMAT',
      choices: ['table', 'json'],
      about: 'for status: table (the default) or json',
    },
  ],
  notes: [
    'up      Loads and attaches the programs, sets rules and routes, and fills the tables from the compiled\n' +
      '        policy. Run it again to bring everything up to date; no packet passes unjudged meanwhile.\n' +
      '        With --follow it logs to stdout and ends on SIGTERM. What it set up stays in force.\n' +
      'down    Removes all of it: from then on packets pass unjudged.\n' +
      'status  Shows what is loaded, attached, in force and redirected, the last refusals, and what differs\n' +
      '        from the files. Exit code 0: all is well, 1: not up, or something differs.',
    'Needs CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON (root has them).',
  ],
  examples: [
    'sallyport redirect up -c sallyport.yaml --follow',
    'sallyport redirect status -c sallyport.yaml',
    'sallyport redirect down -c sallyport.yaml',
  ],
};
