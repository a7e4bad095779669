/** The argument table of `redirect`. */
import type { VerbSpec } from '../args.ts';

export const REDIRECT_ACTIONS = ['up', 'down', 'status'] as const;

export type RedirectAction = (typeof REDIRECT_ACTIONS)[number];

export const REDIRECT_SPEC: VerbSpec = {
  name: 'redirect',
  about: "Puts this node's kernel between its endpoints: policy in the kernel, L7 to the proxy",
  argumentsForm: REDIRECT_ACTIONS.join('|'),
  argumentCountMin: 1,
  argumentCountMax: 1,
  flags: [
    { name: 'config', short: 'c', value: 'FILE', about: "the proxy's configuration" },
    { name: 'follow', about: 'up: stay, and follow policies, endpoints and interfaces' },
    {
      name: 'output',
      short: 'o',
      value: 'FORMAT',
      choices: ['table', 'json'],
      about: 'status: table (the default) or json',
    },
  ],
  notes: [
    'up      loads and attaches the programs, sets rules and routes, fills the tables from the compiled\n' +
      '        policy. Again: brings everything up to date, without a packet in between that is not judged.\n' +
      '        With --follow it logs to stdout and ends on SIGTERM; what it set up stays in force.\n' +
      'down    takes all of it away: packets then pass unjudged.\n' +
      'status  what is loaded, attached, in force and redirected, the last refusals, and what differs from\n' +
      '        the files. Exit code 0: all is well, 1: not up, or something differs.',
    'Needs CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON (root has them).',
  ],
  examples: [
    'sallyport redirect up -c sallyport.yaml --follow',
    'sallyport redirect status -c sallyport.yaml',
    'sallyport redirect down -c sallyport.yaml',
  ],
};
