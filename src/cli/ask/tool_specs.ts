/** The argument tables of the verbs that ask the engine: check, test, explain, verdict, bench; and demo. */
import { type FlagSpec, OUTPUT_FLAG, type VerbSpec } from '../args.ts';

const POLICY_FLAG: FlagSpec = {
  name: 'policy',
  short: 'p',
  value: 'PATH',
  isRepeated: true,
  about: 'a policy file, a directory, or - for standard input',
};

const ENDPOINTS_FLAG: FlagSpec = {
  name: 'endpoints',
  value: 'FILE',
  about: 'endpoints, their labels and addresses',
};

const SECRETS_FLAG: FlagSpec = {
  name: 'secrets',
  value: 'FILE',
  about: 'secrets of header matches: name -> value',
};

const NODE_LABELS_FLAG: FlagSpec = {
  name: 'enable-node-selector-labels',
  about: 'allow fromNodes and toNodes, as the option of that name',
};

export const SOURCE_FLAGS: readonly FlagSpec[] = [
  POLICY_FLAG,
  ENDPOINTS_FLAG,
  SECRETS_FLAG,
  NODE_LABELS_FLAG,
];

/** As a proxy with that configuration decides. */
export const JUDGE_HOST_FLAG: FlagSpec = {
  name: 'judge-host',
  about: 'judge the host like others, as redirect.host: policy does',
};

const CONFIG_FLAG: FlagSpec = {
  name: 'config',
  short: 'c',
  value: 'FILE',
  about: 'instead: what this configuration names, judged as `run` would',
};

export const CHECK_SPEC: VerbSpec = {
  name: 'check',
  about: 'Validates and lints policies',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    {
      name: 'config',
      short: 'c',
      value: 'FILE',
      about: 'instead: the files that this configuration names, and whether `run` would start',
    },
    { name: 'strict', about: 'count notes as findings, too' },
    {
      name: 'ignore',
      value: 'ID',
      isRepeated: true,
      about: 'do not tell findings of this id (docs/findings.md has them)',
    },
    { name: 'all', about: 'tell every finding, also where there are many of one kind' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Every problem is named with file, line, column and field. Exit code 0: clean (notes do not\n' +
      'count unless --strict), 1: findings, or it would not start, 2: a file cannot be read or the\n' +
      'configuration is wrong. JSON and YAML have every finding.',
    'A policy can say itself what is not to be told of it: the annotation\n' +
      'sallyport.dev/ignore-findings: ID, ID',
  ],
  examples: [
    'sallyport check -p policies/',
    'kubectl get cnp -A -o yaml | sallyport check -p -',
    'sallyport check -c sallyport.yaml',
  ],
};

export const TEST_SPEC: VerbSpec = {
  name: 'test',
  about: 'Runs policy unit tests: requests and the verdicts that are expected',
  argumentsForm: 'FILE...',
  argumentCountMin: 1,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    { name: 'junit', value: 'FILE', about: 'write the results as JUnit XML, too' },
    { name: 'quiet', short: 'q', about: 'print failures and the last line only' },
  ],
  notes: [
    'A FILE may be a directory. Exit code 0: all passed, 1: a case failed, 2: a file cannot be read.',
  ],
  examples: ['sallyport test tests/', 'sallyport test api.test.yaml --junit results.xml'],
};

export const EXPLAIN_SPEC: VerbSpec = {
  name: 'explain',
  about: 'Tells the verdict on one request and, rule by rule, why',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    CONFIG_FLAG,
    { name: 'endpoint', value: 'NAME', about: 'whose policy is asked: namespace/name' },
    { name: 'endpoint-ip', value: 'IP', about: 'or by its address' },
    {
      name: 'endpoint-label',
      value: 'LABEL',
      isRepeated: true,
      about: 'or an endpoint that is in no file, by its labels (k8s:app=api)',
    },
    { name: 'remote', value: 'NAME', about: 'the other side: namespace/name' },
    { name: 'remote-ip', value: 'IP', about: 'or by its address' },
    { name: 'identity', value: 'NUMBER', about: 'or by its numeric identity' },
    { name: 'label', value: 'LABEL', isRepeated: true, about: 'or by its labels' },
    {
      name: 'direction',
      value: 'DIRECTION',
      choices: ['ingress', 'egress'],
      about: 'seen from the endpoint (default: ingress)',
    },
    {
      name: 'port',
      value: 'PORT',
      about: 'the destination port (default: that of --url, 53 of --dns, else 80)',
    },
    {
      name: 'protocol',
      value: 'PROTOCOL',
      choices: ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'],
      about: 'TCP (the default), UDP, SCTP, ICMP or ICMPv6',
    },
    {
      name: 'icmp',
      value: 'TYPE',
      about: 'an ICMP message in place of a connection: EchoRequest, or 8 (ICMPv6 with --protocol)',
    },
    { name: 'proxy-id', value: 'NUMBER', about: 'the listener (default: 0)' },
    { name: 'sni', value: 'NAME', about: 'the server name of a TLS connection' },
    { name: 'method', short: 'X', value: 'METHOD', about: 'the method of an HTTP request' },
    { name: 'path', value: 'PATH', about: 'its path, query included' },
    { name: 'host', value: 'HOST', about: 'its Host' },
    { name: 'url', value: 'URL', about: 'host, port and path at once' },
    { name: 'header', short: 'H', value: '"N: V"', isRepeated: true, about: 'one of its fields' },
    { name: 'dns', value: 'NAME', about: 'a DNS question in place of an HTTP request' },
    { name: 'request', value: 'JSON', about: 'the whole request as a line of `verdict`' },
    { name: 'all', about: 'tell of every rule, also where there are many' },
    JUDGE_HOST_FLAG,
    OUTPUT_FLAG,
  ],
  notes: [
    'Without --method, --path, --url and --dns only the connection is judged. The path is normalised\n' +
      'as the proxy does it. Exit code 0: allowed, 1: denied, 2: the question cannot be asked.\n' +
      'JSON and YAML have every rule: `steps` those of the port in asking order, `near` all of the direction.',
  ],
  examples: [
    'sallyport explain -p policies/ --endpoints endpoints.yaml \\\n' +
      '    --endpoint default/api --remote default/client -X POST --url http://api:8080/orders',
  ],
};

export const VERDICT_SPEC: VerbSpec = {
  name: 'verdict',
  about: 'Judges requests for scripts: JSON lines in, JSON lines out',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [...SOURCE_FLAGS, CONFIG_FLAG, JUDGE_HOST_FLAG],
  notes: [
    'A line {"policyFile":"PATH"} swaps the policy set before the next line. Exit code 0, or 2 when a\n' +
      'line cannot be understood (the others are answered).',
  ],
  examples: [
    'echo \'{"endpoint":"default/api","remote":"default/client","port":80,"http":{"method":"GET","path":"/"}}\' \\\n' +
      '    | sallyport verdict -p policies/ --endpoints endpoints.yaml',
  ],
};

export const BENCH_SPEC: VerbSpec = {
  name: 'bench',
  about: 'Measures what the proxy adds to your requests, and which of your rules cost what',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    {
      name: 'requests',
      value: 'FILE',
      about:
        'requests as `verdict` reads them, a file of `sallyport test`, or - for standard input',
    },
    {
      name: 'upstream',
      value: 'URL',
      about: 'http://HOST:PORT to send allowed requests to (default: an embedded origin)',
    },
    { name: 'connections', value: 'COUNT', about: 'requests under way at once (default: 8)' },
    { name: 'seconds', value: 'COUNT', about: 'of a round, each way (default: 5)' },
    { name: 'rounds', value: 'COUNT', about: 'default: 3' },
    { name: 'no-access-log', about: 'without the access log, which goes to a file otherwise' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Starts the proxy with one worker on loopback and sends the requests through it and, those that\n' +
      'are allowed, directly to the origin by turns. A test file brings its own policies; those of -p\n' +
      'stand in their place. What cannot be sent over HTTP/1.1 is judged in process only, and named.',
    'Exit code 0: every answer was as judged, 1: one was not, or the proxy failed, 2: usage.',
  ],
  examples: [
    'sallyport bench -p policies/ --endpoints endpoints.yaml --requests requests.jsonl',
    'sallyport bench --requests tests/orders.test.yaml --connections 1 -o json',
  ],
};

export const DEMO_SPEC: VerbSpec = {
  name: 'demo',
  about: 'Shows the main job on loopback: an origin, the proxy, policies, three identities',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [{ name: 'once', about: 'end after the table instead of staying up' }],
  examples: ['npm run demo'],
};
